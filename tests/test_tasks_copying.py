"""variable_copy and selective_copy: what is shown is asked for, in order, and guessing gets the bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from suite.contract import right_answers
from suite.spec.contract import Array, Batch
from tasks.copy_memory import CopyMemory, asked_back
from tasks.selective_copy import SelectiveCopy
from tasks.variable_copy import VariableCopy
from tests.task_runs import scored, training, whole


def guess(b: Batch) -> Array:
    """Blank up to the marker, then every symbol alike; it sees nothing but whether the marker has come."""
    asked = np.cumsum(b.x == 9, axis=1) - (b.x == 9) > 0
    logits = np.zeros((*b.x.shape, 9))
    logits[~asked] = -60.0 * (np.arange(9) > 0)
    logits[asked] = -60.0 * (np.arange(9) == 0)
    return logits


# variable_copy


def test_every_row_shows_waits_and_asks() -> None:
    waits = []
    for b in training(VariableCopy(time=7, symbols=3, length=4, val_size=2, test_size=2), 20):
        for x, y, scored_, n in zip(b.x.tolist(), b.y.tolist(), b.scored, b.lengths, strict=True):
            wait = x.index(4, 4) - 3  # from the last symbol to the marker: blanks and the marker itself
            waits.append(wait)
            assert x == x[:4] + [0] * (wait - 1) + [4] + [0] * (15 - 4 - wait)
            assert set(x[:4]) <= {1, 2, 3}
            assert y == [0] * (4 + wait) + x[:4] + [0] * (7 - wait)
            assert n == 8 + wait
            assert scored_.tolist() == [t < n for t in range(15)]
    counts = np.bincount(waits, minlength=8)
    assert counts[0] == 0
    assert ((counts[1:] - len(waits) / 7) ** 2 / (len(waits) / 7)).sum() <= 22.5  # chi square, 6 degrees, p = .001


def test_a_wait_of_the_whole_time_is_copy_memory() -> None:
    b = CopyMemory(time=6).batch("train", 0, 0, 4)
    again = asked_back(b.x[:, :10], np.full(4, 6), marker=9, steps=26)
    for name in ("x", "y", "lengths", "scored"):
        assert np.array_equal(getattr(b, name), getattr(again, name))


def test_guessing_gets_the_bounds_of_variable_copy() -> None:
    task = VariableCopy(time=30)
    test = whole(task, "test")
    floor, ceiling = task.bounds(False)
    found = scored(task, test, guess)
    assert abs(found["recall"] - floor.value) <= 3 * found["recall_se"]
    waits = np.concatenate([b.lengths[b.scored.any(1)] for b in test]) - 20
    assert found["loss"] == pytest.approx(10 * math.log(8) / (waits.mean() + 20), abs=1e-9)
    assert found["loss"] == pytest.approx(task.memoryless_loss, rel=0.02)  # waits of 2000 rows
    assert scored(task, test, lambda b: right_answers(task.signature, b))["recall"] == ceiling.value == 1.0


def test_counting_steps_does_not_tell_when_the_marker_comes() -> None:
    task = VariableCopy(time=20)
    share = np.mean(np.concatenate([b.x[:, 10:30] == 9 for b in training(task, 40)]), axis=0)
    assert np.abs(share - 1 / 20).max() <= 4 * math.sqrt(0.05 * 0.95 / 2560)


# selective_copy


def test_every_row_asks_for_its_symbols_in_their_order() -> None:
    task = SelectiveCopy(time=20, symbols=5, length=6, val_size=2, test_size=2)
    for b in training(task, 5):
        for x, y, asked in zip(b.x.tolist(), b.y.tolist(), b.scored.tolist(), strict=True):
            assert [symbol - 1 for symbol in x[:20] if symbol] == y[20:]
            assert x[20:] == [6] * 6
            assert asked == [False] * 20 + [True] * 6
            assert set(y[20:]) <= set(range(5))


def test_symbols_fall_anywhere_and_are_any() -> None:
    task = SelectiveCopy()
    x = np.concatenate([b.x for b in training(task, 40)])
    occupied = (x[:, :128] > 0).mean(axis=0)
    p = 8 / 128
    assert np.abs(occupied - p).max() <= 4.5 * math.sqrt(p * (1 - p) / len(x))
    counts = np.bincount(x[:, :128][x[:, :128] > 0])[1:]
    assert len(counts) == 8
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() <= 24.3  # chi square, 7 degrees, p = .001


def test_guessing_gets_the_bounds_of_selective_copy() -> None:
    task = SelectiveCopy()
    test = whole(task, "test")
    floor, ceiling = task.bounds(True)
    found = scored(task, test, lambda b: np.zeros((*b.x.shape, 8)))
    assert found["loss"] == pytest.approx(math.log(8), abs=1e-12)
    assert "2.079 nats" in floor.what
    assert abs(found["recall"] - floor.value) <= 3 * found["recall_se"]
    assert scored(task, test, lambda b: right_answers(task.signature, b))["recall"] == ceiling.value == 1.0


def test_who_forgets_the_order_is_wrong() -> None:
    task = SelectiveCopy()
    test = whole(task, "test")
    backwards = [right_answers(task.signature, b) for b in test]
    for p in backwards:
        p[:, -8:] = p[:, -8:][:, ::-1]
    found = task.score(backwards, test)
    assert abs(found["recall"] - 1 / 8) <= 3 * found["recall_se"]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (VariableCopy, {"time": 0}, "variable_copy: time is 0; use a whole number >= 1"),
        (VariableCopy, {"symbols": 1}, "variable_copy: symbols is 1; use a whole number >= 2"),
        (SelectiveCopy, {"time": 7}, "selective_copy: time is 7; use a whole number >= 8"),
        (SelectiveCopy, {"length": 0}, "selective_copy: length is 0; use a whole number >= 1"),
    ],
)
def test_an_impossible_value_is_refused(task: type, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**options)
