"""What a comparison found, as plain data, and the exit code that says it.

EXACT       the gates without a clock hold, but for what is intended, and nothing was timed
OK, FASTER, INCONCLUSIVE, REGRESSED      see `suite.perf.verdict`
CHANGED     a gate failed that was not meant to: another network, or a step that does, compiles or reads more
UNRELIABLE  BASE could not be told to be equal to itself
MISSING     BASE runs the cell, HEAD does not know it or refuses it
CRASHED     HEAD ended with an error, or either side did while it was timed
NEW         HEAD runs the cell, BASE does not
SKIPPED     neither does, such as where a framework is not installed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from suite import registry
from suite.perf import verdict
from suite.perf.gates import INTENDED, Exact
from suite.perf.machine import Around
from suite.perf.tree import Tree
from suite.perf.verdict import Look
from suite.spec.cell import Cell

Outcome = verdict.Verdict | Literal["EXACT", "CHANGED", "UNRELIABLE", "MISSING", "CRASHED", "NEW", "SKIPPED"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to compare. ``looks``: pairs after which to decide.

    delta     the least slow-down that matters, 0.02 = 2 %
    budget_s  seconds of timing after which no pair is begun, but for what is REGRESSED and measured again
    exact     only what needs no clock
    intended  gates that are told and do not fail, of `gates.INTENDED`
    """

    looks: tuple[int, ...] = (6, 12)
    delta: float = 0.02
    budget_s: float = 1800.0
    exact: bool = False
    intended: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.looks or self.looks[0] < verdict.FEWEST or list(self.looks) != sorted(set(self.looks)):
            got = "..".join(map(str, self.looks))
            raise ValueError(f"compare: pairs are {got}; give 6..12 or one number, at least {verdict.FEWEST}, growing")
        for name in self.intended:
            if name not in INTENDED:
                raise registry.unknown("gate", name, INTENDED)
        if not 0 < self.delta < 1:
            raise ValueError(f"compare: the least effect is {self.delta}; it must lie between 0 and 1, 0.02 for 2 %")


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a cell. ``looks``: the last of the first measurement, then that of its repetition.

    base_s, head_s   the median over pairs of the median block's fastest call, in seconds; 0 where none was timed
    base_median_s, head_median_s   the same of a block's median call
    around           what the machine was like, of each pair
    intended         what gates said that were told to let it pass
    """

    cell: Cell
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    base: Exact | None = None
    head: Exact | None = None
    looks: tuple[Look, ...] = ()
    base_s: float = 0.0
    head_s: float = 0.0
    base_median_s: float = 0.0
    head_median_s: float = 0.0
    intended: tuple[str, ...] = ()
    around: tuple[Around, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it. ``canary``: BASE against itself; None where nothing was timed."""

    base: Tree
    head: Tree
    settings: Settings
    rows: tuple[Row, ...]
    canary: Row | None
    machine: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    took_s: float = 0.0

    def exit_code(self, strict: bool = False) -> int:
        """0 well; 1 slower, or a gate failed; 3 inconclusive and ``strict``; 4 too noisy; 5 missing or crashed.

        Of several the first in the order 5, a gate's 1, 4, 1, 3: what is certain goes before what is measured.
        """
        outcomes = {row.outcome for row in self.rows}
        order: Sequence[tuple[set[Outcome], int]] = (
            ({"MISSING", "CRASHED"}, 5),
            ({"CHANGED"}, 1),
            ({"UNRELIABLE"}, 4),
            ({"REGRESSED"}, 1),
            ({"INCONCLUSIVE"}, 3 if strict else 0),
        )
        return next((code for these, code in order if outcomes & these), 0)
