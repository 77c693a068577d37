"""mqar: the layout, where queries stand, and what guesses and a dictionary score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from suite.spec.contract import Array, Batch
from tasks.mqar import POWER, Mqar
from tests.task_runs import scored, training, whole


def recalled(b: Batch, outputs: int) -> Array:
    """The answers of who writes every pair into a dictionary and looks the queries up."""
    out = np.zeros((*b.x.shape, outputs))
    for row, x in enumerate(b.x):
        known: dict[int, int] = {}
        for t, token in enumerate(x):
            if t % 2 and token >= outputs // 2:
                known[x[t - 1]] = token
            out[row, t, known.get(token, 0)] = 50.0
    return out


@pytest.mark.parametrize(("pairs", "length", "vocabulary"), [(2, 8, 6), (4, 17, 31), (8, 64, 128)])
def test_every_key_is_shown_with_its_value_and_asked_for_once(pairs: int, length: int, vocabulary: int) -> None:
    task = Mqar(pairs=pairs, length=length, vocabulary=vocabulary, val_size=2, test_size=50)
    for b in whole(task, "test"):
        for x, y, asked in zip(b.x, b.y, b.scored, strict=True):
            if not asked.any():
                continue
            shown = dict(zip(x[: 2 * pairs : 2].tolist(), x[1 : 2 * pairs : 2].tolist(), strict=True))
            assert len(shown) == len(set(shown.values())) == pairs
            assert all(1 <= key < vocabulary // 2 <= value < vocabulary for key, value in shown.items())
            assert {key: value for key, value in zip(x[asked].tolist(), y[asked].tolist(), strict=True)} == shown
            steps = np.flatnonzero(asked)
            assert len(steps) == pairs
            assert (steps >= 2 * pairs).all()
            assert not (steps % 2).any()
            assert not x[2 * pairs :][~asked[2 * pairs :]].any()
            assert not y[~asked].any()


def test_queries_stand_where_the_power_law_puts_them() -> None:
    task = Mqar(pairs=2, length=16, vocabulary=8, val_size=2, test_size=4000)
    (b,) = whole(task, "test", 4000)
    law = np.array([(g + 1) ** (POWER - 1) for g in range(6)])
    law /= law.sum()
    # the first draw is g, or it is another one and then g is drawn among what is left
    wanted = np.array([law[g] + sum(law[i] * law[g] / (1 - law[i]) for i in range(6) if i != g) for g in range(6)])
    got = b.scored[:, 4::2].mean(0)
    assert (np.abs(got - wanted) <= 4 * np.sqrt(wanted * (1 - wanted) / 4000)).all()


def test_floors_and_ceiling_by_simulation() -> None:
    task = Mqar(pairs=4, val_size=2, test_size=1000)
    blind, seen, ceiling = task.bounds(False)
    test, rng = whole(task, "test"), np.random.default_rng(0)

    def any_value(b: Batch) -> Array:
        return np.concatenate([np.full((*b.x.shape, 64), -900.0), np.zeros((*b.x.shape, 64))], axis=-1)

    def value_of_the_row(b: Batch) -> Array:
        out = np.full((*b.x.shape, 128), -900.0)
        np.put_along_axis(out, np.repeat(b.x[:, None, 1:8:2], b.x.shape[1], axis=1), 0.0, axis=-1)
        return out

    for floor, logits, nats in ((blind, any_value, math.log(64)), (seen, value_of_the_row, math.log(4))):
        guess = scored(task, test, lambda b, f=logits: f(b) + 1e-9 * rng.uniform(size=(*b.x.shape, 128)))
        assert abs(guess["accuracy"] - floor.value) <= 3 * guess["accuracy_se"]
        assert guess["loss"] == pytest.approx(nats, abs=1e-6)
        assert f"({nats:.4f} nats)" in floor.what
    assert scored(task, test, lambda b: recalled(b, 128))["accuracy"] == ceiling.value
    assert task.bounds(True) == task.bounds(False)


def test_all_keys_and_values_come_up() -> None:
    batches = training(Mqar(val_size=2, test_size=2), 20)
    assert {key for b in batches for key in b.x[:, 0:16:2].ravel()} == set(range(1, 64))
    assert {value for b in batches for value in b.y[b.scored]} == set(range(64, 128))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 8, "length": 31}, "mqar: length is 31; use a whole number >= 32"),
        ({"pairs": 8, "vocabulary": 17}, "mqar: vocabulary is 17; use a whole number >= 18"),
        ({"pairs": 1}, "mqar: pairs is 1; use a whole number >= 2"),
    ],
)
def test_what_cannot_hold_the_pairs_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mqar(**options)
