"""The statistics of `compare` on simulated pairs: what is planted is found, and what is not there is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from suite import stats
from suite.perf import paired, verdict
from suite.perf.machine import Around
from suite.perf.paired import Pair
from suite.perf.verdict import ALPHA, Look
from suite.spec.random import Stream
from tests.comparing import logs

DELTA = 0.02
AROUND = Around(1.0, 0, (3e-3, 3e-3))


def decided(stream: Stream, ratio: float, pairs: int) -> str:
    """A look without its bootstrap, which takes longer than all the rest."""
    centres = np.median(logs(stream, ratio, pairs), axis=1)
    return verdict.decide(paired.exp(stats.t_interval(centres.tolist(), 1 - 2 * ALPHA)), DELTA)


def shares(ratio: float, pairs: int, times: int = 300) -> dict[str, float]:
    stream = Stream(f"shares/{ratio}/{pairs}")
    found = [decided(stream, ratio, pairs) for _ in range(times)]
    return {name: found.count(name) / times for name in ("REGRESSED", "FASTER", "OK", "INCONCLUSIVE")}


def test_ten_per_cent_are_flagged_and_equals_are_not() -> None:
    assert shares(1.10, 6)["REGRESSED"] >= 0.97
    equal = shares(1.0, 6)
    assert equal["REGRESSED"] == 0.0
    assert shares(1.0, 12)["OK"] >= 0.5  # on a busy machine; the rest is inconclusive
    assert shares(0.9, 6)["FASTER"] >= 0.97


def test_a_change_of_just_the_least_effect_is_flagged_as_rarely_as_promised() -> None:
    found = shares(1 + DELTA, 12, times=2000)["REGRESSED"]
    assert 0.5 * ALPHA <= found <= 1.6 * ALPHA  # 25 of 2000, with a standard error of 5


def test_a_real_change_is_never_called_ok() -> None:
    assert shares(1.06, 12)["OK"] == 0.0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.021, 1.2, "REGRESSED"),
        (1.019, 1.2, "INCONCLUSIVE"),
        (0.9, 0.979, "FASTER"),
        (0.9, 0.981, "OK"),
        (0.99, 1.019, "OK"),
        (1.005, 1.019, "OK"),  # slower for certain, and by less than matters
        (0.9, 1.021, "INCONCLUSIVE"),
    ],
)
def test_verdicts_at_their_borders(low: float, high: float, expected: str) -> None:
    assert verdict.decide(stats.Interval((low + high) / 2, low, high, 6), DELTA) == expected


def test_only_twice_counts() -> None:
    assert verdict.twice("REGRESSED", "REGRESSED") == "REGRESSED"
    assert {verdict.twice("REGRESSED", other) for other in ("OK", "FASTER", "INCONCLUSIVE")} == {"INCONCLUSIVE"}


def test_a_look_has_everything() -> None:
    found = verdict.look(logs(Stream("look"), 1.1, 6).tolist(), DELTA)
    assert found.verdict == "REGRESSED"
    assert found.ratio.low < 1.1 < found.ratio.high
    assert found.detects == DELTA + found.ratio.half
    assert found.bootstrap.value == pytest.approx(found.ratio.value)
    assert found.bootstrap.half < found.ratio.half  # with six pairs it is too narrow


def test_the_bootstrap_agrees_where_there_are_many_pairs() -> None:
    found = verdict.look(logs(Stream("many"), 1.0, 60).tolist(), DELTA)
    assert found.bootstrap.half == pytest.approx(found.ratio.half, rel=0.25)
    assert verdict.bootstrap([[0.0, 0.1]] * 5) == verdict.bootstrap([[0.0, 0.1]] * 5)  # the same every time


@pytest.mark.parametrize(("pairs", "delta"), [(4, 0.02), (6, 0.0), (6, math.nan)])
def test_what_cannot_be_decided_is_refused(pairs: int, delta: float) -> None:
    with pytest.raises(ValueError, match="it takes 5 pairs and a delta above 0"):
        verdict.look([[0.0, 0.0]] * pairs, delta)


def test_an_interval_without_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="has no ends"):
        verdict.decide(stats.Interval(1.0, -math.inf, math.inf, 1), DELTA)


def canary(value: float, half: float) -> Look:
    interval = stats.Interval(value, value - half, value + half, 6)
    return Look(interval, interval, "OK", 0.0)


def test_the_canary() -> None:
    assert verdict.unsteady(canary(1.01, 0.02), DELTA) == ""
    assert "[1.010, 1.050]: an interval without 1" in verdict.unsteady(canary(1.03, 0.02), DELTA)
    assert "known within 5.0% only; 4.0% would do" in verdict.unsteady(canary(1.0, 0.05), DELTA)
    assert "without 1" in verdict.unsteady(canary(math.nan, 0.01), DELTA)


def test_a_pair_is_the_median_of_its_blocks() -> None:
    pair = Pair((1.0, 1.0, 2.0), (1.1, 9.0, 2.2), (1.0,) * 3, (1.0,) * 3, AROUND)
    assert math.exp(pair.log_ratio) == pytest.approx(1.1)
    ratio = paired.ratio([pair] * 3)
    assert (ratio.value, ratio.n) == (pytest.approx(1.1), 3)
    assert paired.ratio([pair]).high == math.inf
    assert paired.ratio([pair]).low == 0.0


class Fake:
    """A probe that says when it was started, warmed and asked, and what it was asked for."""

    def __init__(self, name: str, seconds: float, log: list[str]) -> None:
        self.name, self.seconds, self.log = name, seconds, log
        log.append(f"start {name}")

    def ready(self) -> dict[str, object]:
        self.log.append(f"ready {self.name}")
        return {}

    def run(self, count: int) -> object:
        from suite.perf.driver import Block

        self.log.append(f"{self.name}{count}")
        return Block((self.seconds,) * count, self.seconds * count, 1)

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append(f"end {self.name}")


@pytest.mark.parametrize("number", [0, 1])
def test_blocks_take_turns_and_have_as_many_calls(number: int) -> None:
    log: list[str] = []
    pair = paired.measure(
        lambda: Fake("a", 0.01, log),  # type: ignore[arg-type,return-value]
        lambda: Fake("b", 0.02, log),  # type: ignore[arg-type,return-value]
        blocks=4,
        number=number,
    )
    x, y = ("a", "b") if number == 0 else ("b", "a")
    order = [f"{name}4" for name in (x, y, y, x, x, y, y, x)]
    assert log[:2] == [f"start {x}", f"start {y}"]
    assert set(log[2:4]) == {"ready a", "ready b"}, "side by side, and nothing is timed before both are warm"
    assert log[4:] == [f"{x}4", f"{y}4", *order, f"end {y}", f"end {x}"]
    assert math.exp(pair.log_ratio) == pytest.approx(2.0)
    assert pair.around.cpu_per_s == pytest.approx(1.0)
    assert pair.around.switches == 8, "of every block that counts"
    assert len(pair.around.product_s) == 2
    assert all(0 < s < 1 for s in pair.around.product_s)
