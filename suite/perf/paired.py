"""Two probes in turn: the ratio of their times, and how sure it is.

    block    calls in a row, about `BLOCK_S` long; its value is the fastest: a stall is no cost of the code
    pair     two fresh processes, blocks in the order ABBA BAAB ...; d = median over blocks of log(min B / min A)
    ratio    exp(mean of d over pairs), with Student's interval over the pairs: processes are what varies, not blocks

Measured on two cores with other work beside it, ratios of block minima scatter by a tenth of what medians of separate
sessions do.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from suite import stats
from suite.perf.driver import Block, Probe

BLOCK_S, FEWEST = 0.06, 4
BLOCKS = 20
Start = Callable[[], Probe]


@dataclass(frozen=True, slots=True)
class Pair:
    """What two processes showed: for each block of either side its fastest and its median call, in seconds."""

    base_min: tuple[float, ...]
    head_min: tuple[float, ...]
    base_median: tuple[float, ...]
    head_median: tuple[float, ...]
    cpu_share: float  # processor seconds per second: below the number of threads where others ran

    @property
    def log_ratio(self) -> float:
        """The median over blocks of log(head / base)."""
        return statistics.median(math.log(h / b) for b, h in zip(self.base_min, self.head_min, strict=True))


def measure(base: Start, head: Start, blocks: int = BLOCKS) -> Pair:
    """One pair of fresh processes."""
    with contextlib.ExitStack() as both:
        a, b = (both.enter_context(start()) for start in (base, head))
        for probe in (a, b):  # one after the other: two that compile at once disturb each other
            probe.ready()
        counts = {probe: length(probe) for probe in (a, b)}
        values: dict[Probe, list[Block]] = {a: [], b: []}
        for k in range(blocks):
            for probe in (a, b) if k % 2 == 0 else (b, a):
                values[probe].append(probe.run(counts[probe]))
    took = sum(sum(block.seconds) for side in values.values() for block in side)
    used = sum(block.cpu_s for side in values.values() for block in side)
    return Pair(
        tuple(min(block.seconds) for block in values[a]),
        tuple(min(block.seconds) for block in values[b]),
        tuple(statistics.median(block.seconds) for block in values[a]),
        tuple(statistics.median(block.seconds) for block in values[b]),
        used / took,
    )


def length(probe: Probe) -> int:
    """How many calls make a block."""
    return max(FEWEST, math.ceil(BLOCK_S / min(probe.run(FEWEST).seconds)))


def ratio(pairs: Sequence[Pair], confidence: float = 0.95) -> stats.Interval:
    """head / base over the pairs, as an interval."""
    i = stats.t_interval([pair.log_ratio for pair in pairs], confidence)
    return stats.Interval(
        *(math.exp(x) if math.isfinite(x) else (math.inf if x > 0 else 0.0) for x in (i.value, i.low, i.high)), i.n
    )
