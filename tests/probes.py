"""Cells and plans around the plug-in in ``tests/plugin``: the reference backend, tiny shapes, faults on request."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.plan import Plan
from suite.spec.cell import Cell
from suite.spec.contract import Optim, Sizes

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests" / "plugin"
TINY = Cell(
    task="probe",
    arch="rnn",
    backend="reference",
    sizes=Sizes(hidden=4, embed=3),
    batch=3,
    steps=4,
    eval_every=2,
    precision="float64",
)
ADDING = (("test_size", 4), ("time", 3), ("val_size", 4))
HUGE = Optim("sgd", lr=1e200)  # the first update is right, and the square of the next output overflows
DIVERGING = replace(TINY, task="adding", options=ADDING, optim=HUGE)


def tiny(fault: str = "", **changes: Any) -> Cell:
    """A cell of a second at most; ``fault`` is one of the plug-in's."""
    return replace(TINY, options=(("fault", fault),) if fault else (), **changes)


def plan(*cells: Cell) -> Plan:
    """A plan of these cells."""
    return Plan("probes", "t", "d", False, cells)


def environment(**more: str) -> dict[str, str]:
    """The environment in which the plug-in is installed."""
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(PLUGIN)))} | more


def suite(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """``python -m suite`` with the plug-in installed."""
    command = [sys.executable, "-m", "suite", *map(str, arguments)]
    return subprocess.run(command, env=environment(**more), cwd=cwd, capture_output=True, text=True, timeout=120)


def start(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.Popen[str]:
    """The same, not waited for; in a process group of its own, as a shell would start it."""
    command = [sys.executable, "-m", "suite", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment(**more),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
