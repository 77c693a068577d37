"""Schedules: each shape by hand, continuous where warm-up ends, and what is refused."""

from __future__ import annotations

import pytest

from suite.spec.schedule import Schedule


def rates(schedule: Schedule, n: int) -> list[float]:
    return [round(schedule.rate(1.0, t, n), 6) for t in range(1, n + 1)]


@pytest.mark.parametrize(
    ("schedule", "want"),
    [
        (Schedule(), [1, 1, 1, 1]),
        (Schedule("linear"), [1, 0.75, 0.5, 0.25]),
        (Schedule("linear", final=0.5), [1, 0.875, 0.75, 0.625]),
        (Schedule("linear", warmup=1), [0.5, 1, 0.666667, 0.333333]),
        (Schedule("cosine"), [1, 0.853553, 0.5, 0.146447]),
        (Schedule("cosine", final=1.0), [1, 1, 1, 1]),
        (Schedule("inverse_sqrt"), [1, 0.707107, 0.57735, 0.5]),
        (Schedule("inverse_sqrt", warmup=2), [0.333333, 0.666667, 1, 0.866025]),
    ],
)
def test_four_updates(schedule: Schedule, want: list[float]) -> None:
    assert rates(schedule, 4) == want


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine", "inverse_sqrt"])
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_the_rate_is_whole_once_and_never_zero(shape: str, warmup: int) -> None:
    r = rates(Schedule(shape, warmup), 20)  # type: ignore[arg-type]
    assert r[warmup] == max(r) == 1
    assert min(r) > 0
    assert r[: warmup + 1] == sorted(r[: warmup + 1])
    assert r[warmup:] == sorted(r[warmup:], reverse=True)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"shape": "step"}, "shape is 'step'; it must be one of constant, linear, cosine, inverse_sqrt"),
        ({"warmup": -1}, "warmup is -1; it must be a number of updates, 0 for none"),
        ({"shape": "linear", "final": 2.0}, r"final is 2.0; it must be a share of the rate, 0\.\.1"),
        ({"final": 0.1}, "final belongs to linear and cosine, not to constant"),
    ],
)
def test_what_is_refused(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Schedule(**keys)  # type: ignore[arg-type]
