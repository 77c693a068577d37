"""The masked scan with a derivative by hand: tf.custom_gradient around a tf.while_loop, compiled by XLA.

    s_t = where(valid_t, step(a_t, s_{t-1}) + tap_t, s_{t-1})      y_t = where(valid_t, s_t[0], 0)

and back, from the cotangents of y and of the last state:

    d_t = dL/ds_t + dL/dy_t      dL/ds_{t-1} = where(valid_t, d_t ds_t/ds_{t-1}, dL/ds_t)      dL/dtap_t = valid_t d_t

The loop back has nothing in it but the recurrence: the product with U^T and what is element-wise. It puts out da_t, and
each weight's gradient is one product over all time steps after it. A step's pair of functions is in ``fused_cells``.
A plain tf.function was slower at 50, 100 and 1000 steps, even with all that d_t is multiplied by made before the loop.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from backends.tensorflow.cells import State, Step, Weights
from backends.tensorflow.fused_cells import CELLS
from backends.tensorflow.scan import Scan
from suite.spec.contract import Net


def loop(
    step: Step, p: Weights, a: tf.Tensor, valid: tf.Tensor, state: State, reverse: bool, taps: State | None
) -> tuple[tf.Tensor, State]:
    """As `scan`: a (T, B, GH), valid (T, B, 1), state (B, H) each, taps (T, B, H) each -> y (T, B, H), final state."""
    cell, zero = CELLS[step], tf.zeros((), a.dtype)

    @tf.custom_gradient
    def run(p: Weights, a: tf.Tensor, state: State, taps: State) -> tuple[State, Callable[..., object]]:
        def forward(state: State, m: tf.Tensor, a_t: tf.Tensor, *eps: tf.Tensor) -> tuple[State, State]:
            new, saved = cell.forward(p, a_t, state)
            if eps:
                new = tuple(n + e for n, e in zip(new, eps, strict=True))
            state = tuple(tf.where(m, n, s) for n, s in zip(new, state, strict=True))
            return state, (tf.where(m, state[0], zero), *saved)

        def backward(dstate: State, m: tf.Tensor, dy_t: tf.Tensor, *saved: tf.Tensor) -> tuple[State, State]:
            through = tuple(tf.where(m, d, zero) for d in (dstate[0] + dy_t, *dstate[1:]))
            before, back = cell.backward(p, saved, through)
            dstate = tuple(tf.where(m, b, d) for b, d in zip(before, dstate, strict=True))
            return dstate, (*back, *(through if taps else ()))

        final, (y, *saved) = over_time(forward, state, (valid, a, *taps), reverse)

        def gradient(dy: tf.Tensor, *dfinal: tf.Tensor) -> tuple[object, ...]:
            dfirst, out = over_time(backward, dfinal, (valid, dy, *saved), not reverse)
            back, dtaps = out[: len(out) - len(taps)], out[len(out) - len(taps) :]
            dp = cell.weights(tuple(saved), back)
            return {name: dp.get(name) for name in p}, back[0], dfirst, dtaps

        return (y, *final), gradient

    y, *final = run(p, a, state, taps or ())
    return y, tuple(final)


def over_time(
    body: Callable[..., tuple[State, State]], state: State, read: State, reverse: bool
) -> tuple[State, State]:
    """body(state, element of each of ``read``) -> (state', out): the last state, and each of out (T, ...).

    The first step stands before the loop: it tells how many are put out, and their shapes.
    """
    steps = read[0].shape[0]
    first, stride = (steps - 1, -1) if reverse else (0, 1)
    state, out = body(state, *(tf.gather(v, first) for v in read))
    stacks = tuple(tf.TensorArray(o.dtype, steps, element_shape=o.shape).write(first, o) for o in out)

    def go_on(t: tf.Tensor, state: State, stacks: tuple[tf.TensorArray, ...]) -> tuple[object, ...]:
        state, out = body(state, *(tf.gather(v, t) for v in read))
        return t + stride, state, tuple(s.write(t, o) for s, o in zip(stacks, out, strict=True))

    start = (tf.constant(first + stride), state, stacks)
    _, state, stacks = tf.while_loop(lambda t, *_: t >= 0 if reverse else t < steps, go_on, start)
    return state, tuple(s.stack() for s in stacks)


def make(net: Net, prefix: str, dtype: tf.DType, device: str) -> Scan:
    """The stack of layers below ``prefix``, each a loop with a derivative by hand, compiled by XLA."""
    return Scan(net, prefix, dtype, compiled=True, loop=loop, what="tf.custom_gradient around a tf.while_loop")
