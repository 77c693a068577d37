"""A traced function is found by shapes: traced once for each, and never run on what it was not traced for."""

from __future__ import annotations

import pytest

tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

from backends.tensorflow.traced import Traced  # noqa: E402


def test_it_is_traced_once_for_each_shape() -> None:
    doubled = Traced(lambda pair: (2 * pair[0], pair[1]), compiled=False)
    for rows in (2, 3, 2, 3, 2):
        twice, none = doubled((tf.ones((rows, 2)), None))
        assert twice.numpy().tolist() == [[2.0, 2.0]] * rows and none is None
    assert doubled.traces() == 2


def test_another_type_of_number_is_refused() -> None:
    doubled = Traced(lambda x: 2 * x, compiled=False)
    doubled(tf.ones(2, tf.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a float tensor but is a double tensor"):
        doubled(tf.ones(2, tf.float64))
