"""Intervals that the report prints. Every function takes plain numbers and refuses an empty list or a NaN.

t_interval       mean +- t(n-1) s / sqrt(n)             seeds, paired differences
median_interval  order statistics x(k), x(n+1-k): P = 1 - 2 P(Binomial(n, 1/2) < k)   few samples, any distribution
spread           the middle 90 % of samples             steps of one run: they are no independent sample
iqm              mean of the middle half                many runs with a heavy tail
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """A value between two ends, from ``n`` samples. From one sample the ends are infinite: nothing is known."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    def __contains__(self, x: float) -> bool:
        return self.low <= x <= self.high


def _finite(values: Iterable[float]) -> np.ndarray:
    x = np.asarray(list(values), float)
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"stats: needs at least one number and only finite ones, got {x.tolist()}")
    return x


def standard_error(values: Iterable[float]) -> float:
    """s / sqrt(n) with s over n - 1; infinite for one value."""
    x = _finite(values)
    return float(x.std(ddof=1) / math.sqrt(x.size)) if x.size > 1 else math.inf


def t_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Student's interval of the mean."""
    from scipy.stats import t

    x = _finite(values)
    mean = float(x.mean())
    half = float(t.ppf((1 + confidence) / 2, x.size - 1)) * standard_error(x) if x.size > 1 else math.inf
    return Interval(mean, mean - half, mean + half, x.size)


def median_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """The narrowest symmetric pair of order statistics that covers the median with at least ``confidence``.

    Fewer than six samples cannot reach 95 %: the ends are then infinite.
    """
    from scipy.stats import binom

    x = np.sort(_finite(values))
    k = int(binom.ppf((1 - confidence) / 2, x.size, 0.5))  # the largest k with P(Binomial < k) <= (1 - confidence) / 2
    low, high = (float(x[k - 1]), float(x[-k])) if k > 0 else (-math.inf, math.inf)
    return Interval(float(np.median(x)), low, high, x.size)


def spread(values: Iterable[float], share: float = 0.9) -> Interval:
    """The median and the ends of the middle ``share`` of the samples: how they scatter, not how sure the median is."""
    x = _finite(values)
    low, mid, high = np.quantile(x, [(1 - share) / 2, 0.5, (1 + share) / 2])
    return Interval(float(mid), float(low), float(high), x.size)


def iqm(values: Iterable[float]) -> float:
    """The interquartile mean: a quarter of the samples (rounded down) left out at each end."""
    x = np.sort(_finite(values))
    cut = x.size // 4
    return float(x[cut : x.size - cut].mean())
