"""The masked scan with a derivative by hand: jax.custom_vjp around one ``lax.scan`` each way.

    s_t = where(valid_t, step(a_t, s_{t-1}) + tap_t, s_{t-1})      y_t = where(valid_t, s_t[0], 0)

and back, from the cotangents of y and of the last state:

    d_t = dL/ds_t + dL/dy_t      dL/ds_{t-1} = where(valid_t, d_t ds_t/ds_{t-1}, dL/ds_t)      dL/dtap_t = valid_t d_t

The loop back has nothing in it but the recurrence: the product with U^T and what is element-wise. It puts out da_t, and
each weight's gradient is one product over all time steps after it. A step's pair of functions is in ``fused_cells``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from backends.jax.cells import State, Step, Weights
from backends.jax.fused_cells import CELLS, Gates, inputs
from backends.jax.scan import Scan
from suite.spec.contract import Net


@partial(jax.custom_vjp, nondiff_argnums=(0, 5))
def loop(
    step: Step, p: Weights, a: Gates, valid: jax.Array, state: State, reverse: bool, taps: State | None
) -> tuple[jax.Array, State]:
    """As `scan`, but for a: (T, B, H) for each gate. y (T, B, H) and the final state."""
    return forward(step, p, a, valid, state, reverse, taps)[0]


def forward(
    step: Step, p: Weights, a: Gates, valid: jax.Array, state: State, reverse: bool, taps: State | None
) -> tuple[tuple[jax.Array, State], Any]:
    """As `loop`, and what `backward` needs."""
    cell = CELLS[step]

    def one(old: State, now: tuple[jax.Array, Gates, State | None]) -> tuple[State, Any]:
        m, a_t, eps = now
        new, saved = cell.forward(p, a_t, old)
        if eps is not None:
            new = tuple(n + e for n, e in zip(new, eps, strict=True))
        state = tuple(jnp.where(m, n, s) for n, s in zip(new, old, strict=True))
        return state, (jnp.where(m, state[0], 0), saved)

    final, (y, saved) = lax.scan(one, state, (valid, a, taps), reverse=reverse)
    return (y, final), (p, valid, taps, saved)


def backward(
    step: Step, reverse: bool, kept: Any, towards: tuple[jax.Array, State]
) -> tuple[Weights, Gates, None, State, State | None]:
    """dL/dy (T, B, H), dL/d(final state) -> dL/dp, dL/da (T, B, H) for each gate, dL/d(first state), dL/dtaps."""
    cell, (p, valid, taps, saved), (dy, dfinal) = CELLS[step], kept, towards

    def one(dstate: State, now: tuple[jax.Array, jax.Array, Gates]) -> tuple[State, Any]:
        m, dy_t, saved_t = now
        through = tuple(jnp.where(m, d, 0) for d in (dstate[0] + dy_t, *dstate[1:]))
        before, da = cell.backward(p, saved_t, through)
        dstate = tuple(jnp.where(m, b, d) for b, d in zip(before, dstate, strict=True))
        return dstate, (da, None if taps is None else through)

    dfirst, (da, dtaps) = lax.scan(one, dfinal, (valid, dy, saved), reverse=not reverse)
    dp = cell.weights(saved, da)
    return {name: dp.get(name) for name in p}, da, None, dfirst, dtaps


loop.defvjp(forward, backward)


def make(net: Net, prefix: str) -> Scan:
    """The stack of layers below ``prefix``, each a loop with a derivative by hand."""
    return Scan(net, prefix, loop, inputs, "a jax.custom_vjp around lax.scan")
