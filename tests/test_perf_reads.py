"""Counting what the host reads: each way to read, once each, and nothing left behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from suite.perf import reads


class Base:
    def numpy(self) -> np.ndarray:
        return np.zeros(2)


class Tensor(Base):
    """As frameworks' are: some ways inherited, some through one another."""

    def __float__(self) -> float:
        return float(self.numpy()[0])

    def __bool__(self) -> bool:
        return bool(float(self))

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.numpy())


WAYS = {
    "numpy": (lambda t: t.numpy(), 1),
    "float": (float, 1),
    "truth, which asks for the float": (bool, 1),
    "nothing": (lambda t: t, 0),
    "two": (lambda t: (float(t), t.numpy()), 2),
    "an array of numbers": (lambda t: np.array([1.0]), 0),
}


@pytest.mark.parametrize("name", WAYS)
def test_each_read_counts_once(name: str) -> None:
    way, expected = WAYS[name]
    assert reads.count(Tensor, lambda: way(Tensor()), times=3) == 3 * expected


def test_arrays_of_a_tensor_count_and_nothing_is_left_behind() -> None:
    before = np.array, np.asarray, dict(vars(Tensor))
    assert reads.count(Tensor, lambda: (np.asarray(Tensor()), np.array(Tensor())), times=1) == 2
    assert (np.array, np.asarray, dict(vars(Tensor))) == before

    def fails() -> None:
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        reads.count(Tensor, fails, times=1)
    assert (np.array, np.asarray, dict(vars(Tensor))) == before
    assert "numpy" not in vars(Tensor)
