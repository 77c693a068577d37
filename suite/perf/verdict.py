"""What pairs of processes prove: statistics alone, no clock and no process.

    ratio       exp(mean of d), d a pair's median over blocks of log(head / base), with Student's interval over pairs
    REGRESSED   low > 1 + delta        FASTER   high < 1 - delta        OK   high < 1 + delta        else INCONCLUSIVE
    two looks   after few pairs and, where they are inconclusive, after more; alpha = 0.0125 a side at each look: a
                change of just delta is called REGRESSED at most 2.5 times in a hundred
    twice       REGRESSED stands only if fresh processes show it again: of m cells about m alpha^2 then fail by chance
    canary      BASE against itself: what cannot tell that these are equal can tell nothing

A bootstrap over pairs and over blocks within them is shown beside Student's interval and decides nothing: with so few
pairs its percentiles are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from suite import stats
from suite.perf.paired import exp
from suite.spec.random import Stream

Verdict = Literal["REGRESSED", "FASTER", "OK", "INCONCLUSIVE"]

ALPHA = 0.0125  # a side, a look
FEWEST = 5  # pairs: Student's factor is 3.5 for five, 4.8 for four
CANARY_ROOM = 0.02  # how much wider than the least effect the canary's interval may be, a side
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Look:
    """What K pairs show of head / base.

    detects   a slow-down of this size would be called REGRESSED about every second time
    """

    ratio: stats.Interval
    bootstrap: stats.Interval
    verdict: Verdict
    detects: float


def look(logs: Sequence[Sequence[float]], delta: float) -> Look:
    """The verdict on pairs, each given as log(head / base) of its blocks; ``delta`` is the least effect that matters.

    ValueError for fewer than `FEWEST` pairs, or for a delta that is not positive.
    """
    if len(logs) < FEWEST or not delta > 0:
        raise ValueError(f"verdict: {len(logs)} pairs and delta = {delta}; it takes {FEWEST} pairs and a delta above 0")
    ratio = exp(stats.t_interval([float(np.median(pair)) for pair in logs], 1 - 2 * ALPHA))
    return Look(ratio, bootstrap(logs), decide(ratio, delta), delta + ratio.half)


def decide(ratio: stats.Interval, delta: float) -> Verdict:
    """What an interval of head / base says."""
    if not all(map(math.isfinite, (ratio.low, ratio.high))):
        raise ValueError(f"verdict: the interval [{ratio.low}, {ratio.high}] has no ends; measure more pairs")
    if ratio.low > 1 + delta:
        return "REGRESSED"
    if ratio.high < 1 - delta:
        return "FASTER"
    return "OK" if ratio.high < 1 + delta else "INCONCLUSIVE"


def twice(first: Verdict, again: Verdict) -> Verdict:
    """REGRESSED if fresh processes have shown it as well, and INCONCLUSIVE if they have not."""
    return "REGRESSED" if first == again == "REGRESSED" else "INCONCLUSIVE"


def unsteady(canary: Look, delta: float) -> str:
    """What is wrong with BASE measured against itself; "" where nothing is."""
    ratio, room = canary.ratio, delta + CANARY_ROOM
    if 1.0 not in ratio:
        return f"BASE against itself is {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]: an interval without 1"
    if not ratio.half <= room:
        return f"BASE against itself is known within {ratio.half:.1%} only; {room:.1%} would do"
    return ""


def bootstrap(logs: Sequence[Sequence[float]]) -> stats.Interval:
    """head / base with percentiles over pairs drawn with replacement, and in each of them blocks."""
    table, stream = np.array(logs, float), Stream("compare/bootstrap")
    pairs, blocks = table.shape
    drawn = stream.integers(pairs, (DRAWS, pairs))[..., None], stream.integers(blocks, (DRAWS, pairs, blocks))
    means = np.median(table[drawn], axis=-1).mean(axis=-1)
    low, high = np.quantile(means, [ALPHA, 1 - ALPHA])
    return exp(stats.Interval(float(np.median(table, axis=-1).mean()), float(low), float(high), pairs))
