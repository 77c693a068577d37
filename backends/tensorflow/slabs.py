"""Loops over time for XLA, in slabs of as many steps as stay in a cache; what a step reads is there for all steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from backends.tensorflow.cells import State

SLAB = 2**17  # numbers of one gate
FEWEST = 4  # steps of a slab; where no such number divides all, they are one
Body = Callable[..., tuple[Any, State]]


def in_slabs(body: Body, state: Any, read: State, reverse: bool, numbers: int) -> tuple[Any, State]:
    """As `over_time`, but ``body`` is given (S, ...) of each that is read. A step has so many ``numbers`` a gate."""
    steps = read[0].shape[0]
    fits = [n for n in range(FEWEST, steps + 1) if steps % n == 0 and n * numbers <= SLAB]
    length = max(fits, default=steps)
    if length == steps:
        return body(state, *read)
    slabs = tuple(tf.reshape(v, (-1, length, *v.shape[1:])) for v in read)
    state, out = over_time(body, state, slabs, reverse)
    return state, tuple(tf.reshape(o, (steps, *o.shape[2:])) for o in out)


def over_time(body: Body, state: Any, read: State, reverse: bool) -> tuple[Any, State]:
    """body(state, element of each of ``read``) -> (state', out): the last state, and each of out (T, ...).

    The first step stands before the loop: it tells how many are put out, and their shapes.
    """
    steps = read[0].shape[0]
    first, stride = (steps - 1, -1) if reverse else (0, 1)
    state, out = body(state, *(tf.gather(v, first) for v in read))
    stacks = tuple(tf.TensorArray(o.dtype, steps, element_shape=o.shape).write(first, o) for o in out)

    def go_on(t: tf.Tensor, state: Any, stacks: tuple[tf.TensorArray, ...]) -> tuple[object, ...]:
        state, out = body(state, *(tf.gather(v, t) for v in read))
        return t + stride, state, tuple(s.write(t, o) for s, o in zip(stacks, out, strict=True))

    start = (tf.constant(first + stride), state, stacks)
    _, state, stacks = tf.while_loop(lambda t, *_: t >= 0 if reverse else t < steps, go_on, start)
    return state, tuple(s.stack() for s in stacks)
