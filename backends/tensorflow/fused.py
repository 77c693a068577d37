"""The masked scan with a derivative by hand: tf.custom_gradient around a tf.while_loop, compiled by XLA.

    s_t = where(valid_t, step(a_t, s_{t-1}) + tap_t, s_{t-1})      y_t = where(valid_t, s_t[0], 0)

and back, from the cotangents of y and of the last state:

    d_t = dL/ds_t + dL/dy_t      dL/ds_{t-1} = where(valid_t, d_t ds_t/ds_{t-1}, dL/ds_t)      dL/dtap_t = valid_t d_t

The loop back has nothing in it but the recurrence: the product with U^T and what is element-wise. It puts out da_t, and
each weight's gradient is one product over many time steps after it. A step's pair of functions is in ``fused_cells``.
A plain tf.function was slower at 50, 100 and 1000 steps, even with all that d_t is multiplied by made before the loop.

Time is cut into slabs of as many steps as stay in a cache. Before a slab's steps the input's share of them is made, and
after them, on the way back, what they add to the weights' gradients: neither a nor da is ever whole in memory. That is
9 % of a step of gru_before at B64 T100 I123 H320; where everything stays in a cache, one slab is everything.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from backends.tensorflow.cells import State, Step, Weights, inputs
from backends.tensorflow.fused_cells import CELLS, back_through, product, total
from backends.tensorflow.scan import Scan
from backends.tensorflow.slabs import in_slabs, over_time
from suite.spec.contract import Net


def loop(
    step: Step, p: Weights, x: tf.Tensor, valid: tf.Tensor, state: State, reverse: bool, taps: State | None
) -> tuple[tf.Tensor, State]:
    """As `scan`, but for x (T, B, I), of which the share is made here. y (T, B, H) and the final state."""
    cell, zero, numbers = CELLS[step], tf.zeros((), x.dtype), state[0].shape.num_elements()
    added = taps is not None and not _nothing(taps)

    @tf.custom_gradient
    def run(p: Weights, x: tf.Tensor, state: State, taps: State) -> tuple[State, Callable[..., object]]:
        def forward(state: State, m: tf.Tensor, a_t: tf.Tensor, *eps: tf.Tensor) -> tuple[State, State]:
            new, saved = cell.forward(p, a_t, state)
            if eps:
                new = tuple(n + e for n, e in zip(new, eps, strict=True))
            state = tuple(tf.where(m, n, s) for n, s in zip(new, state, strict=True))
            return state, (tf.where(m, state[0], zero), *saved)

        def forward_slab(state: State, m: tf.Tensor, x: tf.Tensor, *eps: tf.Tensor) -> tuple[State, State]:
            return over_time(forward, state, (m, inputs(step, p, x), *eps), reverse)

        def backward(dstate: State, m: tf.Tensor, dy_t: tf.Tensor, *saved: tf.Tensor) -> tuple[State, State]:
            through = tuple(tf.where(m, d, zero) for d in (dstate[0] + dy_t, *dstate[1:]))
            before, back = cell.backward(p, saved, through)
            dstate = tuple(tf.where(m, b, d) for b, d in zip(before, dstate, strict=True))
            return dstate, (*back, *(through if taps else ()))

        def backward_slab(
            carried: tuple[State, Weights], m: tf.Tensor, x: tf.Tensor, dy: tf.Tensor, *saved: tf.Tensor
        ) -> tuple[tuple[State, Weights], State]:
            dstate, dp = carried
            dstate, out = over_time(backward, dstate, (m, dy, *saved), not reverse)
            back, dtaps = out[: len(out) - len(taps)], out[len(out) - len(taps) :]
            more = {"W": product(x, back[0]), "b": total(back[0]), **cell.weights(saved, back)}
            dp = {name: d + more[name] if name in more else d for name, d in dp.items()}
            dx = tf.reshape(back_through(tf.reshape(back[0], (-1, back[0].shape[2])), p["W"]), x.shape)
            return (dstate, dp), (dx, *dtaps)

        final, (y, *saved) = in_slabs(forward_slab, state, (valid, x, *(taps if added else ())), reverse, numbers)

        def gradient(dy: tf.Tensor, *dfinal: tf.Tensor) -> tuple[object, ...]:
            first = dfinal, {name: tf.zeros_like(w) for name, w in p.items()}
            (dfirst, dp), (dx, *dtaps) = in_slabs(backward_slab, first, (valid, x, dy, *saved), not reverse, numbers)
            return dp, dx, dfirst, tuple(dtaps)

        return (y, *final), gradient

    y, *final = run(p, x, state, taps or ())
    return y, tuple(final)


def _nothing(taps: State) -> bool:
    """Whether each is known to be zero when traced, as in `flow`: to be differentiated by, and not worth adding."""
    return not any(value is None or value.any() for value in map(tf.get_static_value, taps))


def make(net: Net, prefix: str, dtype: tf.DType, device: str) -> Scan:
    """The stack of layers below ``prefix``, each a loop with a derivative by hand, compiled by XLA."""
    what = "tf.custom_gradient around a tf.while_loop"
    return Scan(net, prefix, dtype, compiled=True, loop=loop, what=what, share=lambda step, p, x: x)
