"""Intervals against known values, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from suite import stats


def test_t_interval_of_a_known_sample() -> None:
    # Student's t(4) at 97.5 % is 2.776445; the sample has mean 3 and s = sqrt(2.5)
    got = stats.t_interval([1, 2, 3, 4, 5])
    half = 2.776445105 * math.sqrt(2.5) / math.sqrt(5)
    assert (got.value, got.n) == (3.0, 5)
    assert abs(got.half - half) <= 1e-8
    assert 3.0 in got
    assert 5.0 not in got


def test_one_value_has_no_interval() -> None:
    got = stats.t_interval([0.7])
    assert (got.low, got.high) == (-math.inf, math.inf)
    assert stats.median_interval([1.0, 2.0]).high == math.inf


@pytest.mark.parametrize(("n", "k"), [(6, 1), (8, 1), (9, 2), (20, 6), (50, 18), (100, 40)])
def test_median_interval_uses_the_tabulated_order_statistics(n: int, k: int) -> None:
    got = stats.median_interval(list(range(1, n + 1)))
    assert (got.low, got.high) == (k, n + 1 - k)


def test_median_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = [0.0 in stats.median_interval(rng.standard_cauchy(25).tolist()) for _ in range(400)]
    assert 0.93 <= np.mean(inside) <= 0.995


def test_spread_and_iqm() -> None:
    got = stats.spread(range(101))
    assert [got.low, got.value, got.high] == pytest.approx([5.0, 50.0, 95.0])
    assert stats.iqm([0, 1, 2, 1000]) == 1.5
    assert stats.iqm([4.0]) == 4.0


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf]])
def test_what_is_refused(bad: list[float]) -> None:
    for f in (stats.t_interval, stats.median_interval, stats.spread, stats.iqm):
        with pytest.raises(ValueError, match="at least one number"):
            f(bad)
