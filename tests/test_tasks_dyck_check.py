"""dyck_check: a stack written another way solves it, floors by simulation, the shares of the drawing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from suite.spec.contract import Array, Batch
from tasks.dyck_check import DyckCheck
from tests.task_runs import scored, training, whole


def closers(row: list[int], types: int = 4) -> Iterator[tuple[int, int, bool]]:
    """Of each closer its step, its opener's step, and whether its type is another; the row must balance."""
    stack: list[int] = []
    for step, bracket in enumerate(row):
        if bracket <= types:
            stack.append(step)
        else:
            opener = stack.pop()
            yield step, opener, bracket - types != row[opener]
    assert not stack


def by_stack(b: Batch) -> Array:
    out = np.zeros((*b.x.shape, 2))
    for row, (x, n) in enumerate(zip(b.x.tolist(), b.lengths, strict=True)):
        for step, _, wrong in closers(x[:n] if b.scored[row].any() else []):
            out[row, step, int(wrong)] = 1
    return out


@pytest.mark.parametrize("split", ["test", "test_long"])
def test_a_stack_solves_it(split: str) -> None:
    task = DyckCheck(test_size=100)
    found = scored(task, whole(task, split), by_stack)
    assert found["accuracy"] == found["far"] == task.bounds(False)[-1].value == 1.0


def test_rows_balance_within_their_depth_and_length() -> None:
    task = DyckCheck(types=3, depth=3, shortest=2, longest=6)
    heights, lengths = set(), set()
    for b in training(task, 10):
        for x, y, n, asked in zip(b.x.tolist(), b.y.tolist(), b.lengths.tolist(), b.scored.tolist(), strict=True):
            assert {step: wrong for step, _, wrong in closers(x[:n], 3)} == {t: y[t] for t in range(12) if asked[t]}
            assert not any(x[n:] + y[n:])
            heights.add(max(np.cumsum([1 if bracket <= 3 else -1 for bracket in x[:n]])))
            lengths.add(n)
    assert heights == {1, 2, 3}
    assert lengths == {4, 6, 8, 10, 12}


def test_the_long_split_is_longer_than_training() -> None:
    task = DyckCheck()
    lengths = {split: np.concatenate([b.lengths for b in whole(task, split, 1000)]) for split in ("test", "test_long")}
    assert (lengths["test"].min(), lengths["test"].max()) == (20, 60)
    assert (lengths["test_long"].min(), lengths["test_long"].max()) == (80, 120)


def test_the_drawing_has_its_shares() -> None:
    batches = training(DyckCheck(), 40)
    x, y, asked = (np.concatenate([getattr(b, name) for b in batches]) for name in ("x", "y", "scored"))
    shares = [((x > 0) & ~asked).sum(), (asked & (y == 0)).sum(), (y == 1).sum()]
    assert np.array(shares) / (x > 0).sum() == pytest.approx([0.5, 0.425, 0.075], abs=0.003)
    openers, wrong = np.bincount(x[(x > 0) & ~asked])[1:], np.zeros((4, 4))
    for row in x.tolist():
        for step, opener, _ in closers([bracket for bracket in row if bracket]):
            wrong[row[opener] - 1, row[step] - 5] += 1
    assert ((openers - openers.mean()) ** 2 / openers.mean()).sum() <= 16.3  # chi square, 3 degrees, p = .001
    others = wrong[~np.eye(4, dtype=bool)]
    assert ((others - others.mean()) ** 2 / others.mean()).sum() <= 31.3  # 11 degrees
    height = np.cumsum(np.where(x > 4, -1, 1) * (x > 0), axis=1)[:, :19]  # no closing is forced before step 10
    free = (height[:, :-1] > 0) & (height[:, :-1] < 10) & (np.arange(18) < 9)
    opened = (x[:, 1:19] <= 4)[free]
    assert abs(opened.mean() - 0.5) <= 3 * 0.5 / len(opened) ** 0.5


def test_floors_by_simulation_and_nothing_counted_from_two_brackets_is_better() -> None:
    task = DyckCheck()
    test = whole(task, "test")
    always, back, _ = task.bounds(False)
    said = scored(task, test, lambda b: np.tile([1.0, 0.0], (*b.x.shape, 1)))
    assert said["accuracy"] == always.value
    assert abs(always.value - 0.85) <= 3 * said["accuracy_se"]

    def before(x: Array) -> Array:
        return np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)

    counts = np.zeros((9, 9, 2))
    for b in training(task, 100):
        np.add.at(counts, (before(b.x)[b.scored], b.x[b.scored], b.y[b.scored]), 1)
    counted = scored(task, test, lambda b: counts[before(b.x), b.x])
    assert counted["accuracy"] == pytest.approx(back.value, abs=1e-12)
    assert abs(back.value - 0.928) <= 0.005
    assert abs(counted["far"] - 0.85) <= 0.01


def test_far_counts_the_closers_whose_opener_is_not_right_before() -> None:
    task = DyckCheck(test_size=50)
    test = whole(task, "test")
    far = [np.zeros(b.x.shape, bool) for b in test]
    for b, mark in zip(test, far, strict=True):
        for row in np.flatnonzero(b.scored.any(1)):
            for step, opener, _ in closers(b.x[row, : b.lengths[row]].tolist()):
                mark[row, step] = step - opener > 1
    predictions = [np.eye(2)[np.where(mark, b.y, 1 - b.y)] for b, mark in zip(test, far, strict=True)]
    found = task.score(predictions, test)
    assert found["far"] == 1.0
    assert found["accuracy"] == pytest.approx(sum(map(np.sum, far)) / sum(b.scored.sum() for b in test))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"types": 1}, "dyck_check: types is 1; use a whole number >= 2"),
        ({"depth": 1}, "dyck_check: depth is 1; use a whole number >= 2"),
        ({"shortest": 9, "longest": 8}, "dyck_check: longest is 8; use a whole number >= 9"),
        ({"wrong": 1}, r"dyck_check: wrong is 1; use a probability between 0 and 0\.5"),
        ({"wrong": float("nan")}, "dyck_check: wrong is nan"),
    ],
)
def test_an_impossible_value_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DyckCheck(**options)  # type: ignore[arg-type]
