"""Two probes in turn: the ratio of their times, and how sure it is.

    block    calls in a row, about `BLOCK_S` long; its value is the fastest: stalls are no cost of the code
    pair     two fresh processes, blocks in the order ABBA ABBA ..., as many calls in each, for the fastest of more
             calls is faster; d = median over blocks of log(min B / min A)
    ratio    exp(mean of d over pairs), with Student's interval over the pairs: processes are what varies, not blocks

Every second pair begins with B, so that neither side is always the first to start. Measured on two cores with other
work beside it, ratios of block minima scatter by a tenth of what medians of separate sessions do.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from suite import stats
from suite.perf import machine
from suite.perf.driver import Block

BLOCK_S, FEWEST = 0.06, 4
BLOCKS = 20


class Timed(Protocol):
    """What is timed: a process of its own, such as a `Probe`, which its context ends."""

    def ready(self) -> object:
        """Wait until it is warm."""

    def run(self, count: int) -> Block:
        """Time so many calls."""

    def __enter__(self) -> Timed: ...

    def __exit__(self, *_: object) -> None: ...


Start = Callable[[], Timed]


@dataclass(frozen=True, slots=True)
class Pair:
    """What two processes showed: for each block of either side its fastest and its median call, in seconds."""

    base_min: tuple[float, ...]
    head_min: tuple[float, ...]
    base_median: tuple[float, ...]
    head_median: tuple[float, ...]
    around: machine.Around

    @property
    def logs(self) -> tuple[float, ...]:
        """log(head / base) of each block."""
        return tuple(math.log(h / b) for b, h in zip(self.base_min, self.head_min, strict=True))

    @property
    def log_ratio(self) -> float:
        """The median over blocks of log(head / base)."""
        return statistics.median(self.logs)


def measure(base: Start, head: Start, blocks: int = BLOCKS, number: int = 0) -> Pair:
    """One pair of fresh processes. ``number``: which pair it is; odd ones begin with ``head``."""
    with contextlib.ExitStack() as both:
        probes = [both.enter_context(start()) for start in ((base, head) if number % 2 == 0 else (head, base))]
        with ThreadPoolExecutor(len(probes)) as pool:  # nothing is timed until both are warm
            list(pool.map(lambda probe: probe.ready(), probes))
        calls = min(length(probe) for probe in probes)  # the slower one's: the other's would take it for ever
        found: list[list[Block]] = [[], []]
        before_s = machine.product_s()
        for k in range(blocks):
            for side in (0, 1) if k % 2 == 0 else (1, 0):
                found[side].append(probes[side].run(calls))
        products_s = before_s, machine.product_s()
    a, b = found if number % 2 == 0 else reversed(found)
    both_sides = (*a, *b)
    cpu_per_s = sum(block.cpu_s for block in both_sides) / sum(sum(block.seconds) for block in both_sides)
    return Pair(
        tuple(min(block.seconds) for block in a),
        tuple(min(block.seconds) for block in b),
        tuple(statistics.median(block.seconds) for block in a),
        tuple(statistics.median(block.seconds) for block in b),
        machine.Around(cpu_per_s, sum(block.switches for block in both_sides), products_s),
    )


def length(probe: Timed) -> int:
    """How many calls make a block."""
    return max(FEWEST, math.ceil(BLOCK_S / min(probe.run(FEWEST).seconds)))


def ratio(pairs: Sequence[Pair], confidence: float = 0.95) -> stats.Interval:
    """head / base over the pairs, as an interval."""
    return exp(stats.t_interval([pair.log_ratio for pair in pairs], confidence))


def exp(i: stats.Interval) -> stats.Interval:
    """An interval of logarithms as one of ratios; infinite ends become 0 and infinity."""
    low, high = (math.exp(x) if math.isfinite(x) else (math.inf if x > 0 else 0.0) for x in (i.low, i.high))
    return stats.Interval(math.exp(i.value), low, high, i.n)
