"""One subject a file: a Python file of more than 300 lines is listed here with its reason, or it is split.

And what is committed of results stays small, for everybody clones it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMIT = 300
MOST_BYTES = 10_000_000  # of results/
LONGER: dict[str, str] = {}  # file -> why it may be longer


def too_long(root: Path, longer: dict[str, str]) -> Iterator[str]:
    """Every file over the limit that is not listed, and every listed one that is not over it."""
    for folder in ("suite", "tasks", "backends", "tests"):
        for path in sorted((root / folder).rglob("*.py")):
            name, lines = path.relative_to(root).as_posix(), len(path.read_text(encoding="utf-8").splitlines())
            if (lines > LIMIT) != (name in longer):
                yield f"{name} has {lines} lines; the limit is {LIMIT}" + " and it is listed as longer" * (
                    name in longer
                )


def test_files_have_one_subject() -> None:
    assert list(too_long(ROOT, LONGER)) == []


@pytest.mark.parametrize(
    ("lines", "listed", "message"), [(301, {}, "has 301 lines"), (300, {"suite/x.py": "why"}, "listed")]
)
def test_a_planted_file_is_found(lines: int, listed: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite/x.py").write_text("x = 1\n" * lines)
    (found,) = too_long(tmp_path, listed)
    assert message in found


def tracked(root: Path) -> list[Path]:
    """The files of results/ that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z", "results"], cwd=root, capture_output=True, text=True, check=True)
    return [root / name for name in listed.stdout.split("\0") if name]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout: git does not say what is committed")
def test_results_stay_small() -> None:
    files = tracked(ROOT)
    assert len(files) > 1000, "the published records are committed"
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
