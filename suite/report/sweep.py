"""Which of several learning rates was best: the trials of a sweep that differ in the rate alone, by validation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from suite.record import Record
from suite.spec.cell import Cell


def question(cell: Cell) -> Cell:
    """What the trials of one choice have in common, and what they decide for: the cell but for its rate, backend,
    implementation and seed; gradient flow is only looked at.
    """
    optim = replace(cell.optim, lr=0.0)
    return replace(cell, optim=optim, backend="", impl="", seed=0, flow_at=())


def best(records: Iterable[Record]) -> dict[Cell, float]:
    """Question -> the rate whose last validation score is best; of equals the lower rate. Trials that ended badly lose.

    ValueError where a question has no trial that ended well.
    """
    trials: dict[Cell, list[Record]] = {}
    for r in records:
        trials.setdefault(question(r.cell), []).append(r)
    return {asked: _choose(asked, found) for asked, found in trials.items()}


def _choose(asked: Cell, found: list[Record]) -> float:
    well = sorted((r for r in found if r.outcome == "ok" and r.curve), key=lambda r: r.cell.optim.lr)
    if not well:
        raise ValueError(f"sweep: no trial of {asked.arch} on {asked.task} ended well; try lower rates")
    sign = 1.0 if well[0].better == "higher" else -1.0
    return max(well, key=lambda r: sign * r.curve[-1][r.metric]).cell.optim.lr  # the first of equals
