"""sessions: the process, ranks, and what popularity, the last item and the true probabilities score."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from suite.contract import right_answers
from suite.spec.contract import IN_BATCH, Array, Unsupported
from tasks.sessions import ITEMS, LONGEST, NOBODY, Sessions, _rank
from tests.task_runs import scored, training, whole


@pytest.fixture(scope="module")
def task() -> Sessions:
    return Sessions(test_size=400)


def histories(task: Sessions, split: str) -> list[list[int]]:
    b = task._parts[0] if split == "train" else task._splits[split][0]
    return [[*x[:n].tolist(), int(y[n - 1])] for x, y, n in zip(b.x, b.y, b.lengths, strict=True)]


def by_hand(task: Sessions, last: int, before: int) -> Array:
    """p(next), an item at a time."""
    weight = [(i + 1) ** -0.9 for i in range(ITEMS)]
    mates = [i for i in range(ITEMS) if task.cluster[i] == task.cluster[last]]
    assert len(mates) == 20
    p = np.zeros(ITEMS)
    for i in range(ITEMS):
        p[i] += 0.05 * weight[i] / sum(weight)
        p[i] += 0.20 * weight[i] / sum(weight[j] for j in mates) * (i in mates)
        p[i] += 0.55 * (task.successor[last] == i) + 0.20 * (task.partner[last, before] == i)
    return p


def test_the_conditional_is_the_process(task: Sessions) -> None:
    x = task.batch("test", 0, 0, 3).x[:, :4]
    p = task.conditional(x)
    for row in range(3):
        for t in range(4):
            before = x[row, t - 1] if t else NOBODY
            assert np.abs(p[row, t] - by_hand(task, x[row, t], before)).max() <= 1e-12
    assert np.abs(p.sum(-1) - 1).max() <= 1e-12


def test_what_is_drawn_follows_the_conditional(task: Sessions) -> None:
    train = task._parts[0]
    p = task.conditional(train.x[:2000])[train.scored[:2000]]
    y = train.y[:2000][train.scored[:2000]]
    surprise = -np.log(p[np.arange(len(y)), y])
    entropy = -(p * np.log(p)).sum(1)
    assert abs((surprise - entropy).mean()) <= 3 * (surprise - entropy).std() / math.sqrt(len(y))
    followed = y == task.successor[train.x[:2000][train.scored[:2000]]]
    assert 0.55 < followed.mean() < 0.62
    first = np.bincount(train.x[:, 0], minlength=ITEMS)[:20].sum() / len(train.x)
    wanted = task.popularity[:20].sum()
    assert abs(first - wanted) <= 3 * math.sqrt(wanted * (1 - wanted) / len(train.x))
    assert (task.cluster[task.successor] == task.cluster).all()


def test_sessions_have_2_items_and_more(task: Sessions) -> None:
    size = np.array([len(session) for session in histories(task, "train")])
    assert size.min() == 2
    assert size.max() == LONGEST
    for n in range(2, 8):
        wanted = 0.3 * 0.7 ** (n - 2)
        assert abs((size == n).mean() - wanted) <= 3.5 * math.sqrt(wanted * (1 - wanted) / len(size))
    for b in (*whole(task, "test"), *training(task, 3)):
        assert np.array_equal(b.x[:, 1:][b.scored[:, 1:]], b.y[:, :-1][b.scored[:, 1:]])


def test_the_rank_is_the_place_in_the_list() -> None:
    outputs = np.array([[[0.3, 0.1, 0.9, 0.3], [0.3, 0.1, 0.9, 0.3], [0.0, 0.0, 0.0, 0.0], [np.nan, 1, 1, 1]]])
    assert _rank(outputs, np.array([[2, 0, 1, 0]])).tolist() == [[1.0, 2.5, 2.5, 4.5]]
    rng = np.random.default_rng(0)
    random = rng.permuted(np.arange(120.0).reshape(2, 3, 20), axis=-1)
    y = rng.integers(20, size=(2, 3))
    places = [[list(np.argsort(-random[i, t])).index(y[i, t]) + 1 for t in range(3)] for i in range(2)]
    assert _rank(random, y).tolist() == places


def test_popularity_and_the_last_item_score_the_floors(task: Sessions) -> None:
    popular, markov, _ = task.bounds(False)
    counts = Counter(item for session in histories(task, "train") for item in session)
    follows: dict[int, Counter[int]] = defaultdict(Counter)
    for session in histories(task, "train"):
        for a, b in itertools.pairwise(session):
            follows[a][b] += 1
    for bound, table in ((popular, lambda _: counts), (markov, lambda last: follows[last])):
        hits, inverse = [], []
        for session in histories(task, "test"):
            for last, item in itertools.pairwise(session):
                seen = table(last)
                above = sum(seen[i] > seen[item] for i in range(ITEMS))
                equal = sum(seen[i] == seen[item] for i in range(ITEMS))
                rank = above + (1 + equal) / 2
                hits.append(rank <= 20)
                inverse.append((rank <= 20) / rank)
        assert bound.value == pytest.approx(np.mean(hits), abs=1e-12)
        assert f"(mrr20 {np.mean(inverse):.4f})" in bound.what


def test_bayes_scores_its_ceiling_and_no_list_of_less_does(task: Sessions) -> None:
    popular, markov, ceiling = task.bounds(False)
    best = scored(task, whole(task, "test"), lambda b: np.log(task.conditional(b.x)))
    assert best["recall20"] == pytest.approx(ceiling.value, abs=1e-12)
    fresh = scored(task, whole(task, "val"), lambda b: task.conditional(b.x))
    assert abs(fresh["recall20"] - ceiling.value) <= 3 * math.hypot(fresh["recall20_se"], best["recall20_se"])
    assert popular.value < markov.value < ceiling.value - 3 * best["recall20_se"]
    cheat = scored(task, whole(task, "test"), lambda b: right_answers(task.signature, b))
    assert cheat["recall20"] - 3 * cheat["recall20_se"] > ceiling.value
    assert cheat["mrr20"] == 1.0


def test_a_network_that_says_nothing_is_not_lucky(task: Sessions) -> None:
    test = whole(task, "test")
    for value in (0.0, np.nan):
        assert scored(task, test, lambda b, v=value: np.full((*b.x.shape, ITEMS), v))["recall20"] == 0.0


@pytest.mark.parametrize("loss", IN_BATCH)
def test_the_loss_is_trainings_alone(loss: Any) -> None:
    small = {"train_size": 20, "val_size": 4, "test_size": 9}
    plain, ranked = Sessions(**small), Sessions(loss=loss, **small)
    assert (plain.signature.loss, ranked.signature) == ("xent", replace(plain.signature, loss=loss))
    assert ranked.digest() == plain.digest()
    assert ranked.bounds(False) == plain.bounds(False)
    outputs = np.random.default_rng(0).normal(size=(9, LONGEST - 1, ITEMS))
    assert scored(ranked, whole(ranked, "test", 9), lambda _: outputs) == scored(
        plain, whole(plain, "test", 9), lambda _: outputs
    )


def test_an_epoch_meets_each_session_once() -> None:
    task = Sessions(train_size=50, val_size=2, test_size=2)
    assert sum(int(b.scored.any(1).sum()) for b in training(task, 7, 8)) == 50


def test_what_it_does_not_offer_is_refused() -> None:
    with pytest.raises(ValueError, match="sessions: loss is 'bpr'; use one of xent, xent_batch, bpr_max, top1_max"):
        Sessions(loss="bpr")
    with pytest.raises(Unsupported, match="sessions/bidirectional: who reads backwards reads its own answer"):
        Sessions(train_size=2, val_size=2, test_size=2).bounds(True)
