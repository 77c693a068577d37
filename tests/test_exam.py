"""The exam as a command: every backend's rows in float64 on one network, and the exit codes of wrong backends.

`make exam` runs all of it; here each (architecture, implementation) passes one shape, in a process of its own backend.
XLA compiles every one of them for 3 to 15 seconds, so what it compiles is in part left to the slow tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from suite import registry
from suite.spec.contract import IMPLEMENTATIONS

ROOT = Path(__file__).parents[1]


def check(tmp_path: Path, *arguments: str) -> tuple[int, str, list[dict[str, Any]]]:
    """Exit code, output and rows of ``suite check``, with the plug-ins of tests/plugin in reach."""
    path = tmp_path / "rows.json"
    command = [sys.executable, "-m", "suite", "check", "--precision", "float64", "--json", str(path), *arguments]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "plugin")])}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr, json.loads(path.read_text()) if path.exists() else []


# the core exam, which CI runs beside the tests, has the first three; gru_attention is made as the last two are
LEFT = ("rnn", "gru", "lstm", "rnn_attention", "lstm_attention")
COMPILED = ("scan-compiled", "fused")  # by XLA, for seconds each; fused: see tests/test_fused_*.py
XLA, PLAIN = ("tensorflow", "jax"), ("pytorch", "reference")


def rows_of(backends: Sequence[str], archs: Sequence[str], impls: Sequence[str], tmp_path: Path) -> None:
    """The backends side by side, those that are installed."""
    modules = {name: registry.backend(name) for name in backends}
    there = {name: module for name, module in modules.items() if registry.installed(module)}
    if not there:
        pytest.skip(f"{' and '.join(module.REQUIRES for module in modules.values())} are not installed")
    wanted = [f"--{kind}={n}" for kind, ns in (("backend", there), ("arch", archs), ("impl", impls)) for n in ns]
    code, said, rows = check(tmp_path, "--case", "label", *wanted)
    assert code == 0, said
    examined = {
        (r["backend"], r["arch"], r["impl"]) for r in rows if r["check"] in ("label/gradients", "translate/gradients")
    }
    assert examined == {
        (backend, arch, impl)
        for backend, module in there.items()
        for arch, impl in module.TABLE
        if arch in archs and impl in impls and (backend, impl) != ("pytorch", "scan-compiled")  # too slow to compile
    }
    assert {"backend", "arch", "impl", "precision", "check", "error", "limit", "ok", "reason"} <= set(rows[0])


def test_every_row_passes_one_network(tmp_path: Path) -> None:
    rows_of(PLAIN, registry.archs(), IMPLEMENTATIONS, tmp_path)


def test_every_architecture_that_xla_compiles_passes_one_network(tmp_path: Path) -> None:
    archs = [arch for arch in registry.archs() if arch not in LEFT]
    rows_of(XLA, archs, [impl for impl in IMPLEMENTATIONS if impl not in COMPILED], tmp_path)


@pytest.mark.slow  # five minutes
def test_every_row_that_xla_compiles_passes_one_network(tmp_path: Path) -> None:
    rows_of(XLA, registry.archs(), IMPLEMENTATIONS, tmp_path)


def test_a_wrong_backend_fails_and_is_told_why(tmp_path: Path) -> None:
    code, said, rows = check(tmp_path, "--backend", "swapped", "--backend", "reference", "--arch", "gru")
    assert code == 1
    assert "FAIL  swapped/gru/scan float64: label/outputs" in said
    assert "gates r and z are swapped" in said
    failed = {r["check"] for r in rows if not r["ok"]}
    assert "resume from reference/scan/20 losses" in failed
    assert not any(r["backend"] == "reference" and not r["ok"] for r in rows if "resume" not in r["check"])


def test_a_backend_that_cannot_start_fails(tmp_path: Path) -> None:
    code, said, _ = check(tmp_path, "--backend", "broken")
    assert code == 1
    assert "libframework.so.1" in said


def test_nothing_checked_is_no_success(tmp_path: Path) -> None:
    code, said, _ = check(tmp_path, "--backend", "reference", "--impl", "stock")
    assert code == 1
    assert "nothing was checked: NumPy ships no recurrent layer" in said


def test_a_file_that_cannot_be_written_is_said_before_the_exam(tmp_path: Path) -> None:
    code, said, _ = check(tmp_path, "--json", str(tmp_path / "no" / "rows.json"))
    assert code == 2
    assert "there is no folder" in said
