"""parity and delayed_parity: the rule by another way, floors by simulation, test strings longer than training's."""

from __future__ import annotations

import itertools
import operator

import numpy as np
import pytest

from suite.contract import right_answers
from tasks import TASKS
from tasks.parity import delayed_parity, parity
from tests.task_runs import scored, training, whole


def test_running_parity_is_the_xor_of_all_bits_so_far() -> None:
    for b in training(parity(longest=12), 5):
        for x, y, n, asked in zip(b.x.tolist(), b.y.tolist(), b.lengths, b.scored, strict=True):
            assert y[:n] == list(itertools.accumulate(x[:n], operator.xor))
            assert asked.tolist() == [t < n for t in range(12)]
            assert not any(x[n:] + y[n:])


def test_delayed_parity_is_the_xor_with_the_bit_some_steps_ago() -> None:
    for b in training(delayed_parity(delay=3, longest=9), 5):
        for x, y, n, asked in zip(b.x.tolist(), b.y.tolist(), b.lengths, b.scored, strict=True):
            assert y[3:n] == [now ^ then for now, then in zip(x[3:n], x[: n - 3], strict=True)]
            assert asked.tolist() == [3 <= t < n for t in range(9)]


@pytest.mark.parametrize(("name", "options", "shortest"), [("parity", {}, 1), ("delayed_parity", {"delay": 4}, 5)])
def test_lengths_and_bits_are_uniform(name: str, options: dict[str, int], shortest: int) -> None:
    batches = training(TASKS[name](longest=8, **options), 50)
    lengths = np.concatenate([b.lengths for b in batches])
    counts = np.bincount(lengths)[shortest:]
    assert len(counts) == 9 - shortest
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() <= 24.3  # chi square, at most 7 degrees, p = .001
    bits = np.concatenate([b.x[b.valid] for b in batches])
    assert abs(bits.mean() - 0.5) <= 3 * 0.5 / len(bits) ** 0.5


@pytest.mark.parametrize("name", ["parity", "delayed_parity"])
def test_test_strings_may_be_longer_than_any_in_training(name: str) -> None:
    task = TASKS[name](test_longest=100)
    test, val = (np.concatenate([b.lengths for b in whole(task, split, 1000)]) for split in ("test", "val"))
    assert (test.min(), test.max()) == (41, 100)
    assert val.max() == max(b.lengths.max() for b in training(task, 10)) == 40
    assert max(b.lengths.max() for b in whole(TASKS[name](), "test")) == 40


@pytest.mark.parametrize("test_longest", [None, 100])
def test_the_floors_of_running_parity_by_simulation(test_longest: int | None) -> None:
    task = parity(test_longest=test_longest)
    test = whole(task, "test")
    chance, repeated, ceiling = task.bounds(False)
    for bound, predict in ((chance, lambda b: np.zeros_like(b.x)), (repeated, lambda b: b.x)):
        found = scored(task, test, lambda b, predict=predict: np.eye(2)[predict(b)])  # type: ignore[misc]
        assert abs(found["accuracy"] - bound.value) <= 3 * found["accuracy_se"]
    assert chance.value == 0.5 < repeated.value < 0.53
    assert scored(task, test, lambda b: right_answers(task.signature, b))["accuracy"] == ceiling.value == 1.0


def test_delayed_parity_is_chance_to_a_memory_one_step_too_short() -> None:
    task = delayed_parity(delay=5)
    weights = 2 ** np.arange(5)

    def context(x: np.ndarray) -> np.ndarray:
        """The five last bits as one number, (N, T)."""
        return sum(w * np.pad(x, ((0, 0), (lag, 0)))[:, : x.shape[1]] for lag, w in enumerate(weights))

    counts = np.zeros((32, 2))
    for b in training(task, 100):
        np.add.at(counts, (context(b.x)[b.scored], b.y[b.scored]), 1)
    test = whole(task, "test")
    found = scored(task, test, lambda b: counts[context(b.x)])
    assert abs(found["accuracy"] - task.bounds(False)[0].value) <= 3 * found["accuracy_se"]
    assert scored(task, test, lambda b: right_answers(task.signature, b))["accuracy"] == task.bounds(False)[-1].value


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("parity", {"longest": 1}, "parity: longest is 1; use a whole number >= 2"),
        ("parity", {"test_longest": 40}, "parity: test_longest is 40; use a whole number >= 41"),
        ("parity", {"delay": 5}, "parity has no option 'delay'"),
        ("delayed_parity", {"delay": 0}, "delayed_parity: delay is 0; use a whole number >= 1"),
        ("delayed_parity", {"longest": 6}, "delayed_parity: longest is 6; use a whole number >= 7"),
    ],
)
def test_an_impossible_value_is_refused(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS[name](**options)
