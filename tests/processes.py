"""Runs in processes of their own, for tests that kill them: started, waited for, and everything that they started."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.probes import start

CHILD = "a child of the probe"  # see tests/plugin
PLAN = """
name = "probes"
title = "t"
description = "d"
converged = false
[defaults]
arch = "rnn"
backend = "reference"
precision = "float64"
sizes = {{ hidden = 4, embed = 3 }}
batch = 3
steps = 4
[[grid]]
task = "probe"
[[grid]]
task = "probe"
options = {{ fault = "{fault}" }}
[[grid]]
task = "probe"
arch = "gru"
"""


def start_and_wait(*command: str, cwd: Path, gate: Path, folder: Path, points: int) -> subprocess.Popen[str]:
    """Start ``python -m suite``, and wait until the probe waits and the curve in ``folder`` has so many points."""
    runner = start(*command, cwd=cwd, PROBE_GATE=str(gate))
    curve = folder / "metrics.jsonl"
    reached = gate.with_suffix(".reached")  # in the next update: the checkpoint of the last is written before
    until(lambda: reached.exists() and curve.exists() and curve.read_text().count("\n") == points, runner)
    return runner


def until(condition: Callable[[], Any], runner: subprocess.Popen[str]) -> None:
    """Wait, a minute at most, while the runner lives."""
    for _ in range(1200):
        if condition():
            return
        assert runner.poll() is None, runner.communicate()
        time.sleep(0.05)
    for process in family(runner):
        process.kill()
    raise AssertionError(f"waited for 60 s in vain: {runner.communicate()}")


def heard(runner: subprocess.Popen[str], words: str) -> None:
    """Wait until the runner has said so."""
    assert runner.stderr is not None
    line = " "
    while line and words not in line:
        line = runner.stderr.readline()
    assert line, f"it ended without a word of {words!r}"


def family(runner: subprocess.Popen[str]) -> list[psutil.Process]:
    """The runner's processes, itself first."""
    first = psutil.Process(runner.pid)
    return [first, *first.children(recursive=True)]


def children_of_the_probe() -> list[psutil.Process]:
    """What the probe's fault "child" has started and nobody has ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(CHILD in word for word in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def words(process: psutil.Process) -> list[str]:
    """Its command line; none of a process that has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
