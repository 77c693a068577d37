"""`compare` with real processes on copies of this checkout: what is gone, what changed, and what is slower."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from suite.perf import driver
from suite.perf.driver import Probe, ProbeFailed, ProbeRefused
from tests.probes import ADDING, ROOT, TINY, environment, suite

CELL = replace(TINY, task="adding", options=ADDING)
PLAN = """
name = "two"
title = "t"
description = "d"
converged = false
[[grid]]
task = "adding"
arch = ["rnn", "gru"]
backend = "reference"
precision = "float64"
batch = 3
steps = 4
options = { time = 4, val_size = 2, test_size = 2 }
sizes = { hidden = 4 }
"""
COUNTS = """
def compiled(model):
    asked = iter(range(10**6))
    return lambda: next(asked)


def tensor():
    return str
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "two.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A copy of this checkout."""
    return copied(tmp_path / "head")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Another."""
    return copied(tmp_path / "base")


def copied(folder: Path) -> Path:
    for name in ("suite", "tasks", "backends"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def change(head: Path, file: str, was: str, now: str) -> None:
    path = head / file
    text = path.read_text(encoding="utf-8")
    assert was in text
    path.write_text(text.replace(was, now), encoding="utf-8")


def compare(head: Path, plan: Path, *more: str | Path, base: Path = ROOT) -> subprocess.CompletedProcess[str]:
    options = ["--cells", plan, "--tracking-uri", "none", *more]
    command = [sys.executable, "-m", "suite", "compare", str(base), str(head), *map(str, options)]
    return subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=900)


def test_a_deleted_cell_and_a_step_that_compiles_are_found(head: Path, plan: Path, tmp_path: Path) -> None:
    change(head, "backends/reference/__init__.py", "for arch in ARCHS}", 'for arch in ARCHS if arch != "rnn"}')
    (head / "backends/reference/counts.py").write_text(COUNTS)
    done = compare(head, plan, "--exact", "--json", tmp_path / "found.json")
    assert done.returncode == 5, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert {cell["name"].split("/")[1]: cell["outcome"] for cell in found["cells"]} == {
        "rnn": "MISSING",
        "gru": "CHANGED",
    }
    assert "MISSING (1 of 2): BASE runs these, HEAD does not" in done.stdout
    assert "reference has no rnn/scan" in done.stdout
    assert "compiles 1 times in 8 updates after it was warm, was 0" in done.stdout
    assert "reference/rnn/adding" in done.stderr  # it says where it is


def test_a_copy_passes_and_another_network_does_not(head: Path, plan: Path) -> None:
    plan.write_text(PLAN.replace('["rnn", "gru"]', '"rnn"'))
    done = compare(head, plan, "--exact")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("as before, by the gates that need no clock (exit code 0)\n")
    change(head, "backends/reference/trainer.py", "self._optim, lr, self._step", "self._optim, 2 * lr, self._step")
    done = compare(head, plan, "--exact")
    assert done.returncode == 5, done.stdout  # it is held against the oracle before anything else
    assert "is not the specification: update/parameters" in done.stdout


def test_base_may_be_run_by_another_python(head: Path, plan: Path, tmp_path: Path) -> None:
    """Such as one of an environment with older versions: a change of what is installed is a change."""
    plan.write_text(PLAN.replace('["rnn", "gru"]', '"rnn"'))
    other, seen = tmp_path / "python", tmp_path / "seen"
    other.write_text(f'#!/bin/sh\npwd >> "{seen}"\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    done = compare(head, plan, "--exact", "--base-python", other)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"by {other}" in done.stdout.splitlines()[0]
    assert seen.read_text().splitlines() == [str(ROOT), str(ROOT)], "the plan's cells and the one cell, of BASE alone"


def test_a_plan_that_nobody_knows_is_exit_code_2(head: Path) -> None:
    done = suite("compare", ROOT, head, "--cells", "smokee", cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "recurbench: compare: plan 'smokee' is not known; did you mean 'smoke'? known: "
        + (done.stderr.split("known: ")[-1])
    )


def test_a_probe_runs_the_code_of_its_own_checkout(head: Path) -> None:
    change(head, "backends/reference/trainer.py", 'return f"numpy', 'return f"HEAD numpy')
    shutil.rmtree(head / "suite" / "perf")  # older than the probe
    (head / "suite" / "parity.py").unlink()  # which the installed suite must not lend
    with Probe(CELL, "step", head) as probe, pytest.raises(ProbeFailed, match=r"in .*head: ended .*parity"):
        probe.ready()
    shutil.copy(ROOT / "suite" / "parity.py", head / "suite")
    with Probe(CELL, "step", head) as probe:
        told = probe.ready()
        assert told["ran"].startswith("HEAD numpy")
        assert told["root"] == str(head)
        assert len(told["losses"]) == 8
        assert (told["reads"], probe.run(2).compiled) == (None, None)
        assert len(probe.run(3).seconds) == 3


def test_what_a_probe_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        Probe(replace(CELL, impl="stock"), "step") as probe,
        pytest.raises(ProbeRefused, match="NumPy ships no recurrent"),
    ):
        probe.ready()
    with (
        Probe(replace(CELL, task="hmmm"), "step") as probe,
        pytest.raises(ProbeRefused, match="task 'hmmm' is not known"),
    ):
        probe.ready()
    monkeypatch.setattr(driver, "READY_S", 0.01)
    with Probe(CELL, "step") as probe, pytest.raises(ProbeFailed, match="no answer within 0 s"):
        probe.ready()


def test_a_step_that_is_a_tenth_slower_fails_and_base_beside_itself_does_not(
    base: Path, head: Path, plan: Path
) -> None:
    """By a clock of each checkout's own, for a machine's own makes a test fail by chance."""
    plan.write_text(PLAN.replace('["rnn", "gru"]', '"rnn"'))
    for tree, ms in ((base, 5.0), (head, 5.5)):
        change(tree, "suite/clock.py", "    value = call()\n", f"    value = call()\n    return value, {ms} / 1e3\n")
    done = compare(head, plan, "--pairs", "5", base=base)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "REGRESSED (1 of 1): slower, seen twice" in done.stdout
    assert "BASE against itself: 1.000 [1.000, 1.000]" in done.stdout
    assert " 1.100 " in done.stdout
