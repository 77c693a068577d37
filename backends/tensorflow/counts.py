"""What speed depends on and no clock is needed for: how often functions are traced, to what; whose values are read."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from backends.tensorflow.network import Data
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


def operations(model: Trainer, handle: Data, lr: float) -> int | None:
    """How many operations the graph of an update has, those of a loop's body once; nothing is run."""
    return model._run_update.operations(handle, tf.zeros(3, model._dtype))  # lr and what goes with it


def tensor() -> type:
    """The type whose values the host may read."""
    return type(tf.constant(0))
