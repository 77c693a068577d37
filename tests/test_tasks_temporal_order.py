"""temporal_order: the class is read off the letters, places and lengths are in range, forgetting gets the floors."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest

from suite.contract import right_answers
from suite.spec.contract import Array, Batch
from tasks.temporal_order import TemporalOrder
from tests.task_runs import scored, training, whole

RANGES = {
    ("6a", "full"): ((100, 110), (10, 20), (50, 60)),
    ("6b", "full"): ((100, 110), (10, 20), (33, 43), (66, 76)),
    ("6a", "small"): ((30, 33), (3, 6), (15, 18)),
    ("6b", "small"): ((30, 33), (3, 6), (10, 13), (20, 23)),
}


@pytest.mark.parametrize(("variant", "profile"), RANGES)
def test_every_row_has_the_class_of_its_letters(variant: str, profile: str) -> None:
    task = TemporalOrder(variant, profile)
    symbols = len(RANGES[variant, profile]) - 1
    classes = ["".join(order) for order in itertools.product("XY", repeat=symbols)]
    found: list[set[int]] = [set() for _ in range(1 + symbols)]
    for b in training(task, 10):
        for x, y, n in zip(b.x, b.y, b.lengths, strict=True):
            text = task.text(x)
            row = re.fullmatch("E" + "[a-d]*([XY])" * symbols + "[a-d]*B", text)
            assert row is not None
            assert classes[y] == "".join(row.groups())
            assert len(text) == n
            assert not x[n:].any()
            for seen, value in zip(found, (n, *(row.start(1 + i) for i in range(symbols))), strict=True):
                seen.add(int(value))
    assert found == [set(range(low, high + 1)) for low, high in RANGES[variant, profile]]


@pytest.mark.parametrize("variant", ["6a", "6b"])
def test_classes_and_noise_are_uniform(variant: str) -> None:
    batches = training(TemporalOrder(variant, "small"), 40)
    classes = np.bincount(np.concatenate([b.y for b in batches]))
    noise = np.bincount(np.concatenate([b.x[(b.x >= 2) & (b.x < 6)] for b in batches]))[2:]
    for counts, limit in ((classes, {4: 16.3, 8: 24.3}[len(classes)]), (noise, 16.3)):
        assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() <= limit  # chi square, p = .001


@pytest.mark.parametrize("variant", ["6a", "6b"])
def test_who_remembers_some_symbols_gets_their_floor(variant: str) -> None:
    task = TemporalOrder(variant, "small")
    test = whole(task, "test")
    *floors, ceiling = task.bounds(False)
    assert [f.value for f in floors] == {"6a": [0.25, 0.5], "6b": [0.125, 0.25, 0.5]}[variant]
    symbols = len(floors)

    def remembering(first: int) -> Array:
        """(2**symbols, 2**symbols): for each class the logits of who knows the ``first`` letters and guesses on."""
        same = np.arange(2**symbols) >> (symbols - first)
        return np.where(same[:, None] == same, 0.0, -60.0)

    for known, floor in enumerate(floors):
        table = remembering(known)
        found = scored(task, test, lambda b, table=table: table[b.y])  # type: ignore[misc]
        assert abs(found["accuracy"] - floor.value) <= 3 * found["accuracy_se"]
        assert found["loss"] == pytest.approx(math.log(1 / floor.value), abs=1e-9)
        assert f"({found['loss']:.3f} nats)" in floor.what
    assert scored(task, test, lambda b: right_answers(task.signature, b))["accuracy"] == ceiling.value == 1.0


def test_counting_letters_does_not_tell_their_order() -> None:
    task = TemporalOrder("6a", "small")

    def counted(b: Batch) -> Array:
        """XY and YX have the same letters: who counts knows all but these two."""
        letters = (b.x == 7).sum(1)
        return np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])[letters]

    found = scored(task, whole(task, "test"), counted)
    assert abs(found["accuracy"] - 0.75) <= 3 * found["accuracy_se"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "6c"}, "temporal_order: variant is '6c'; use one of 6a, 6b"),
        ({"profile": "tiny"}, "temporal_order: profile is 'tiny'; use one of full, small"),
        ({"test_size": 1}, "temporal_order: test_size is 1; use a whole number >= 2"),
    ],
)
def test_an_impossible_value_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TemporalOrder(**options)  # type: ignore[arg-type]
