"""Comparisons with planted numbers in place of processes: what a probe would say, pairs of known ratio and noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from suite.perf.compare import compare
from suite.perf.gates import Exact
from suite.perf.machine import Around
from suite.perf.outcome import Comparison, Settings
from suite.perf.paired import Pair
from suite.perf.tree import Tree
from suite.spec.cell import Cell
from suite.spec.random import Stream

BASE, HEAD = Tree("old", Path("/old"), "0123456789ab"), Tree(".", Path("/new"), "ba9876543210+")
CELLS = [Cell("hmm_tag", arch, "jax") for arch in ("gru", "lstm")]
EXACT = Exact(1000, 2_000_000, (2.0, 1.9, 1.8), 0, 1.0, "a loop", 0.5, 300)
BETWEEN, WITHIN = 0.023, 0.01  # spread of log-ratios: between processes on a busy machine, between blocks of a pair
QUIET = 0.008
Planted = Callable[[Cell, bool, int], float]  # (cell, whether HEAD is BASE, how often it was measured) -> head / base


def logs(stream: Stream, ratio: float, pairs: int, between: float = BETWEEN, blocks: int = 20) -> np.ndarray:
    """log(head / base) of each block, (pairs, blocks)."""
    centres = math.log(ratio) + between * stream.normal((pairs, 1))
    return centres + WITHIN * stream.normal((pairs, blocks))


def slow(arch: str, ratio: float, times: int = 99) -> Planted:
    """HEAD is slower in one architecture, in the first so many measurements of it."""
    return lambda cell, same, number: ratio if cell.arch == arch and not same and number < times else 1.0


@dataclass
class World:
    """Two checkouts and a machine. ``told``: what differs from `EXACT`, or an exception, by (side, architecture)."""

    ratio: Planted = lambda cell, same, times: 1.0
    between: float = QUIET
    told: dict[tuple[str, str], Any] = field(default_factory=dict)
    measured: list[tuple[str, bool, int]] = field(default_factory=list)  # (architecture, HEAD is BASE, pair)
    said: list[str] = field(default_factory=list)
    stream: Stream = field(default_factory=lambda: Stream("comparing"))

    def examine(self, cell: Cell, side: Tree) -> Exact:
        """Without a clock."""
        told = self.told.get(("base" if side == BASE else "head", cell.arch), {})
        if isinstance(told, Exception):
            raise told
        return replace(EXACT, **told)

    def measure(self, cell: Cell, base: Tree, head: Tree, number: int) -> Pair:
        """One pair."""
        same = base == head
        times = sum(seen[:2] == (cell.arch, same) and seen[2] == 0 for seen in self.measured) - (number > 0)
        self.measured.append((cell.arch, same, number))
        (blocks,) = logs(self.stream, self.ratio(cell, same, times), 1, self.between)
        ones = tuple(0.01 for _ in blocks)
        slow = tuple(0.01 * math.exp(x) for x in blocks)
        return Pair(ones, slow, ones, slow, Around(0.98, 2, (3e-3, 4e-3)))

    def compare(self, **settings: Any) -> Comparison:
        """The comparison of `BASE` and `HEAD` in this world."""
        chosen = Settings(**settings)
        return compare(BASE, HEAD, CELLS, chosen, self.said.append, examine=self.examine, measure=self.measure)
