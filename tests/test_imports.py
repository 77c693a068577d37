"""Importing the command line or a backend must import no framework: listing, reporting and help stay instant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite.registry import PEERS

HEAVY = {"torch", "jax", "tensorflow", "keras", "mlflow", "flax", "equinox", "haiku"}
ROOT = Path(__file__).parents[1]
LIGHT = ["suite.cli", "suite.exam", "suite.report", "suite.registry", "tasks", *(f"backends.{name}" for name in
         ("reference", "pytorch", "tensorflow", "jax", *(f"peers.{name}" for name in PEERS)))]  # fmt: skip


def stays_light(module: str, path: Path = ROOT) -> None:
    """Import ``module`` in a fresh process, with ``path`` first among the places to import from."""
    code = f"import sys, {module}; print(*sorted({HEAVY} & set(sys.modules)))"
    env = os.environ | {"PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split(), f"importing {module} imports {done.stdout.strip()}"


@pytest.mark.parametrize("module", LIGHT)
def test_importing_imports_no_framework(module: str) -> None:
    stays_light(module)


def test_a_framework_that_comes_along_is_found(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "middle.py").write_text("import torch")
    (tmp_path / "guilty.py").write_text("import middle")
    with pytest.raises(AssertionError, match="importing guilty imports torch"):
        stays_light("guilty", tmp_path)


def test_a_module_that_breaks_is_found(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        stays_light("broken", tmp_path)
