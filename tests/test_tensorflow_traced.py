"""A traced function is found by shapes: traced once for each, and never run on what it was not traced for.

TensorFlow runs in a process of its own, `python -m tests.test_tensorflow_traced`, which prints one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="module")
def said(own_process: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    return own_process("tests.test_tensorflow_traced", "tensorflow")


def test_it_is_traced_once_for_each_shape(said: dict[str, Any]) -> None:
    assert said["rows"] == [[[2.0, 2.0]] * rows for rows in (2, 3, 2, 3, 2)]
    assert said["traces"] == 2


def test_another_type_of_number_is_refused(said: dict[str, Any]) -> None:
    assert "was expected to be a float tensor but is a double tensor" in said["double"]


def main() -> dict[str, Any]:
    """What TensorFlow has to say to the tests above."""
    import tensorflow as tf

    from backends.tensorflow.traced import Traced

    doubled = Traced(lambda pair: (2 * pair[0], pair[1]), compiled=False)
    said: dict[str, Any] = {"rows": [doubled((tf.ones((n, 2)), None))[0].numpy().tolist() for n in (2, 3, 2, 3, 2)]}
    said["traces"] = doubled.traces()
    try:
        said["double"] = str(doubled((tf.ones((2, 2), tf.float64), None)))
    except tf.errors.InvalidArgumentError as error:
        said["double"] = str(error)
    return said


if __name__ == "__main__":
    print(json.dumps(main()))
