"""What speed depends on and no clock is needed for: how often functions are traced; the type whose values are read."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from backends.tensorflow.traced import Traced
from backends.tensorflow.trainer import Trainer


def compiled(model: Trainer) -> Callable[[], int]:
    """How often the model's functions have been traced until it is asked.

    A function put in another's place is added; one that an update makes and drops again is not seen.
    """
    seen: dict[int, Traced] = {}

    def traces() -> int:
        seen.update((id(f), f) for f in vars(model).values() if isinstance(f, Traced))
        return sum(f.traces() for f in seen.values())

    return traces


def tensor() -> type:
    """The type whose values the host may read."""
    return type(tf.constant(0))
