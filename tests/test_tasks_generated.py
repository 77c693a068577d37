"""hmm_tag, copy_memory and adding: floors and ceilings by simulation, disjoint splits, what a padded batch counts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from suite.contract import right_answers
from suite.spec.contract import Array, Batch
from tasks.adding import Adding
from tasks.common import share
from tasks.copy_memory import CopyMemory
from tasks.hmm_tag import TAGS, WORDS, HmmTag
from tests.task_runs import scored, training, whole

# hmm_tag


def test_the_filter_and_the_smoother_are_bayes_by_enumeration() -> None:
    task = HmmTag(time=4, val_size=2, test_size=2)
    x = task.batch("test", 0, 0, 2).x
    joint = np.zeros((2, 4, 4, TAGS))  # (row, words seen, step, tag)
    for path in itertools.product(range(TAGS), repeat=4):
        p = np.full(2, 1 / TAGS)
        for t, tag in enumerate(path):
            p = p * (task.A[path[t - 1], tag] if t else 1) * task.B[tag, x[:, t]]
            joint[:, t, t, tag] += p / TAGS ** (3 - t)  # each prefix is met once for every way it goes on
        for t, tag in enumerate(path[:3]):
            joint[:, 3, t, tag] += p
    posterior = joint / np.maximum(joint.sum(-1, keepdims=True), 1e-300)
    assert np.abs(task.filter(x) - posterior[:, range(4), range(4)]).max() <= 1e-12
    assert np.abs(task.smoother(x) - posterior[:, 3]).max() <= 1e-12


@pytest.mark.parametrize("both", [False, True])
def test_bayes_scores_its_ceiling_and_knowing_nothing_the_floor(both: bool) -> None:
    task = HmmTag(val_size=100, test_size=500)
    test = whole(task, "test")
    majority, per_word, ceiling = task.bounds(both)
    train = training(task, 20)
    tags, words = (np.concatenate([getattr(b, name).ravel() for b in train]) for name in ("y", "x"))
    counts = np.zeros((WORDS, TAGS))
    np.add.at(counts, (words, tags), 1)
    said = scored(task, test, lambda b: np.broadcast_to(counts.sum(0), (*b.x.shape, TAGS)))
    assert said["accuracy"] == majority.value
    counted = scored(task, test, lambda b: counts[b.x])
    assert abs(counted["accuracy"] - per_word.value) <= 0.005
    bayes = task.smoother if both else task.filter
    best = scored(task, test, lambda b: np.log(bayes(b.x)))
    assert best["accuracy"] == pytest.approx(ceiling.value, abs=1e-12)
    assert majority.value < per_word.value < ceiling.value


def test_the_loss_of_bayes_is_the_entropy_it_reports() -> None:
    task = HmmTag()
    fresh = training(task, 30)
    test = task.bounds(False)[2].what
    loss = scored(task, fresh, lambda b: np.log(task.filter(b.x)))["loss"]
    assert abs(loss - float(test.split(", ")[1].split()[0])) <= 0.02


def test_who_sees_the_future_is_over_the_ceiling_of_one_direction() -> None:
    task = HmmTag()
    ceiling = task.bounds(False)[2].value
    test = whole(task, "test")
    leak = scored(task, test, lambda b: task.smoother(b.x))
    assert leak["accuracy"] - 3 * leak["accuracy_se"] > ceiling
    honest = scored(task, whole(task, "val"), lambda b: task.filter(b.x))
    assert honest["accuracy"] - 3 * honest["accuracy_se"] <= ceiling


def test_the_chain_has_the_transitions_it_says() -> None:
    task = HmmTag(time=50)
    y = np.concatenate([b.y for b in training(task, 40)])
    x = np.concatenate([b.x for b in training(task, 40)])
    moves, words = np.zeros((TAGS, TAGS)), np.zeros((TAGS, WORDS))
    np.add.at(moves, (y[:, :-1], y[:, 1:]), 1)
    np.add.at(words, (y, x), 1)
    for counts, table in ((moves, task.A), (words, task.B)):
        n = counts.sum(1, keepdims=True)
        z = (counts - n * table) / np.sqrt(n * table * (1 - table))
        assert abs(np.mean(z**2) - 1) <= 0.35  # chi square over its degrees of freedom
    assert np.allclose(task.A.sum(1), 1)
    assert np.allclose(task.B.sum(1), 1)


def test_another_world_has_other_tables() -> None:
    assert not np.array_equal(HmmTag(data_seed=11).A, HmmTag(data_seed=12).A)


# copy_memory


def test_the_memoryless_strategy_gets_its_bounds() -> None:
    task = CopyMemory(time=20)

    def memoryless(b: Batch) -> Array:
        logits = np.full((*b.y.shape, 9), -60.0)
        logits[:, :-10, 0] = 0
        logits[:, -10:, 1:] = 0
        return logits

    test = whole(task, "test")
    scores = scored(task, test, memoryless)
    assert scores["loss"] == pytest.approx(10 * math.log(8) / 40, abs=1e-12)
    assert task.memoryless_loss == pytest.approx(10 * math.log(8) / 40, abs=1e-15)
    assert abs(scores["recall"] - 1 / 8) <= 3 * scores["recall_se"]
    assert scores["accuracy"] == pytest.approx((30 + 10 * scores["recall"]) / 40)
    assert scored(task, test, lambda b: right_answers(task.signature, b))["recall"] == 1.0


def test_what_is_shown_is_asked_for() -> None:
    b = CopyMemory(time=5).batch("train", 3, 7, 4)
    assert b.x.shape == (4, 25)
    assert np.array_equal(b.x[:, :10], b.y[:, -10:])
    assert (b.x[:, 10:14] == 0).all()
    assert (b.x[:, 14] == 9).all()
    assert (b.x[:, 15:] == 0).all()
    assert (b.y[:, :-10] == 0).all()
    assert set(np.unique(CopyMemory().batch("train", 0, 0, 64).y)) == set(range(9))


def test_copy_memory_shares_no_string_between_splits() -> None:
    task = CopyMemory()
    strings = [{row.tobytes() for b in batches for row in b.x[b.scored.any(1), :10]}
               for batches in (training(task, 100), whole(task, "val"), whole(task, "test"))]  # fmt: skip
    assert [len(s) for s in strings] == [6400, 1000, 2000]
    assert len(set.union(*strings)) == 9400


# adding


def test_the_floors_of_adding_by_simulation() -> None:
    task = Adding(time=10, test_size=20000)
    test = whole(task, "test", 1000)
    floor, ceiling = task.bounds(False)
    constant = scored(task, test, lambda b: np.ones((len(b.x), 1)))
    assert abs(constant["mse"] - floor.value) <= 3 * constant["mse_se"]
    first = scored(task, test, lambda b: (b.x[:, :5, 0] * b.x[:, :5, 1]).sum(1, keepdims=True) + 0.5)
    assert abs(first["mse"] - 1 / 12) <= 3 * first["mse_se"]
    exact = scored(task, test, lambda b: (b.x[:, :, 0] * b.x[:, :, 1]).sum(1, keepdims=True))
    assert exact["mse"] == ceiling.value == 0.0
    assert exact["solved"] == 1.0
    near = scored(task, test, lambda b: b.y + np.where(b.x[:, :1, 0] < 0.25, 0.05, 0.03))
    assert abs(near["solved"] - 0.75) <= 0.02


@pytest.mark.parametrize("time", [2, 5, 100])
def test_one_mark_in_each_half(time: int) -> None:
    x = Adding(time=time, val_size=2, test_size=2).batch("train", 0, 0, 256).x
    assert (x[:, : time // 2, 1].sum(1) == 1).all()
    assert (x[:, time // 2 :, 1].sum(1) == 1).all()
    assert set(x[:, :, 1].argmax(1)) == set(range(time // 2))


# all


def test_the_last_batch_is_padded_with_unscored_rows() -> None:
    task = HmmTag(time=3, val_size=2, test_size=5)
    last = task.batch("test", 0, 1, 4)
    assert last.scored.tolist() == [[True] * 3] + [[False] * 3] * 3
    assert last.lengths.tolist() == [3, 1, 1, 1]
    assert not last.x[1:].any()


def test_the_error_of_a_share_is_the_spread_of_simulated_shares() -> None:
    rng = np.random.default_rng(0)
    asked = rng.integers(1, 9, (400, 200))
    ability = rng.uniform(0.2, 1, (400, 200))
    hits = rng.binomial(asked, ability)
    results = [share("m", h.astype(float), a) for h, a in zip(hits, asked, strict=True)]
    spread = np.std([r["m"] for r in results])
    assert abs(np.mean([r["m_se"] for r in results]) / spread - 1) <= 0.1


def test_one_sequence_has_no_standard_error() -> None:
    with pytest.raises(ValueError, match="1 scored sequences have no standard error; give at least 2"):
        share("m", np.ones(1), np.ones(1))
