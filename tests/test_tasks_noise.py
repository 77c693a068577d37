"""Noise: lengths are spread as asked, nothing tells the class, and nonsense is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tasks import TASKS
from tests.task_runs import scored, whole


def test_lengths_are_spread_evenly_and_full_without_shortest() -> None:
    b = TASKS["noise"](time=100, shortest=25).batch("train", 0, 0, 4)
    assert b.lengths.tolist() == [25, 50, 75, 100]
    assert (b.x[0, 25:] == 0).all()
    assert np.abs(b.x[3]).min() > 0
    assert TASKS["noise"](time=7).batch("train", 0, 0, 3).lengths.tolist() == [7, 7, 7]
    assert TASKS["noise"](time=7, shortest=2).batch("train", 0, 0, 1).lengths.tolist() == [7]


def test_its_floor_is_its_ceiling_and_the_best_rule_on_its_features_reaches_no_more() -> None:
    task: Any = TASKS["noise"](time=20, features=4, classes=5, test_size=400)
    floor, ceiling = task.bounds(False)
    assert floor.value == ceiling.value == 0.2
    score = scored(task, whole(task, "test"), lambda b: b.x[..., :1] * np.arange(5) - np.arange(5) ** 2 / 2)
    assert abs(score["accuracy"] - 0.2) <= 4 * score["accuracy_se"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": 5, "shortest": 6}, "shortest is 6; it must be at most time = 5"),
        ({"classes": 1}, "classes is 1; use a whole number >= 2"),
        ({"features": 0}, "features is 0; use a whole number >= 1"),
    ],
)
def test_an_impossible_value_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS["noise"](**options)
