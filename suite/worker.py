"""A process that runs cells, one after another: JSON lines in, JSON lines out.

    in    {"warm": CELL}                                          import what the cell needs, then answer "ready"
          {"cell": CELL, "folder": "...", "plan": "...", "converged": true, "resume": false,
           "packed": false, "checkpoint_s": 60}
    out   {"event": "ready"}
          {"event": "progress", "key": "...", "step": 20, "steps": 200, "loss": 1.93}
          {"event": "note", "text": "..."}                      what a person should know
          {"event": "done", "key": "...", "outcome": "ok"}

One process serves one (backend, precision, device, threads): x64, Keras's floatx and thread pools are process-wide.
Whatever libraries print goes to worker.log in the cell's folder. An exception ends the process; its parent records it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from suite import cell as cells
from suite import clock, registry
from suite.protocol import end_first, end_with_parent, private_stdout
from suite.spec.cell import Cell
from suite.spec.contract import Precision, Unsupported
from suite.training import Progress

PROGRESS_S = 0.5
Kind = tuple[str, Precision, str, int]


def kind(cell: Cell) -> Kind:
    """What a process is good for: (backend, precision, device, threads)."""
    return cell.backend, cell.precision, cell.device, cell.threads


def main() -> None:
    """Serve the specs on standard input until it ends, or until the parent process does."""
    out = private_stdout()
    end_with_parent()
    end_first()
    mine: Kind | None = None
    fresh = True

    def emit(event: str, **values: Any) -> None:
        out.write(json.dumps({"event": event, **values}, allow_nan=False) + "\n")
        out.flush()

    for line in sys.stdin:
        spec = json.loads(line)
        cell = Cell.from_json(spec["warm"] if "warm" in spec else spec["cell"])
        mine = mine or kind(cell)
        if kind(cell) != mine:
            raise ValueError(f"worker: this process serves {mine}, not {kind(cell)}; start another one")
        if "warm" in spec:
            _warm(cell)
            emit("ready")
            continue
        folder = Path(spec["folder"])
        _log_to(folder)
        record = cells.run(
            cell,
            folder,
            spec["plan"],
            converged=spec["converged"],
            fresh=fresh,
            resume=spec["resume"],
            packed=spec["packed"],
            checkpoint_s=spec["checkpoint_s"],
            progress=_throttled(cell, emit),
            note=lambda text: emit("note", text=text),
        )
        fresh = False
        emit("done", key=cell.key, outcome=record.outcome)


def _warm(cell: Cell) -> None:
    """Import the framework; a cell that cannot run here says so itself, when its turn comes."""
    try:
        module = registry.backend(cell.backend)
        registry.implementation(module, cell.arch, cell.impl)
        cells.setup(*kind(cell))
    except Unsupported:
        return


def _log_to(folder: Path) -> None:
    """From now on both standard streams go to the folder's worker.log."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(folder / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)


def _throttled(cell: Cell, emit: Any) -> Progress:
    last_ns = clock.now_ns()

    def progress(step: int, loss: float) -> None:
        nonlocal last_ns
        if clock.since_s(last_ns) >= PROGRESS_S:
            last_ns = clock.now_ns()
            emit("progress", key=cell.key, step=step, steps=cell.steps, loss=loss)

    return progress
