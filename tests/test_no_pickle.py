"""Nothing that comes from outside is unpickled: a pickle is a program."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def unpickled(root: Path) -> list[str]:
    """Where anything could be unpickled, as "file:line"."""
    found = []
    for folder in ("suite", "tasks", "backends"):
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                bad = any(name.split(".")[0] in PICKLES for name in names)
                if isinstance(node, ast.Call):
                    bad = ast.unparse(node.func) in ("torch.load", "numpy.load") or any(
                        k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords
                    )
                if bad:
                    found.append(f"{path.relative_to(root).as_posix()}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def test_nothing_is_unpickled() -> None:
    assert unpickled(ROOT) == []


@pytest.mark.parametrize(
    "code", ["import pickle", "from joblib import load", "torch.load(x)", "f(x, allow_pickle=True)"]
)
def test_planted_pickles_are_found(code: str, tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "x.py").write_text(code)
    assert unpickled(tmp_path) == ["suite/x.py:1"]
