"""The masked scan with a derivative by hand: jax.custom_vjp around one ``lax.scan`` each way.

    s_t = where(valid_t, step(a_t, s_{t-1}) + tap_t, s_{t-1})      y_t = where(valid_t, s_t[0], 0)

and back, from the cotangents of y and of the last state:

    d_t = dL/ds_t + dL/dy_t      dL/ds_{t-1} = where(valid_t, d_t ds_t/ds_{t-1}, dL/ds_t)      dL/dtap_t = valid_t d_t

The loop back has nothing in it but the recurrence: products with the d_t and with U^T. Their factors are made for a
slab of steps at once, and so is what comes of the d_t after it: da, and each weight's gradient as one product over all
steps of the slab. A step's functions are in ``fused_cells``.

Time is cut into slabs of as many steps as stay in a cache. Before a slab's steps the input's share of them is made, and
after them, on the way back, what they add to the weights' gradients: neither a nor da is ever whole in memory. That is
1 to 8 % of a step at B64 T100 I123 H320, as the caches are; where everything fits, one slab of everything is quicker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from backends.jax.cells import State, Step, Weights, inputs
from backends.jax.fused_cells import CELLS, cut, flat, product, total
from backends.jax.scan import Scan, scan
from suite.spec.contract import Net

SLAB = 2**17  # numbers of one gate
FEWEST = 4  # steps of a slab; where no such number divides all, they are one


@partial(jax.custom_vjp, nondiff_argnums=(0, 5))
def loop(
    step: Step, p: Weights, x: jax.Array, valid: jax.Array, state: State, reverse: bool, taps: State | None
) -> tuple[jax.Array, State]:
    """As `scan`, but for x (T, B, I), of which the share is made here. y (T, B, H) and the final state.

    This is what runs where nobody asks for a derivative: the plain loop, a slab at a time.
    """

    def slab(old: State, now: tuple[jax.Array, jax.Array, State | None]) -> tuple[State, jax.Array]:
        x, m, eps = now
        y, last = scan(step, p, inputs(step, p, x), m, old, reverse, eps)
        return last, y

    final, y = in_slabs(slab, state, (x, valid, taps), reverse, state[0].size)
    return y, final


def forward(
    step: Step, p: Weights, x: jax.Array, valid: jax.Array, state: State, reverse: bool, taps: State | None
) -> tuple[tuple[jax.Array, State], Any]:
    """As `loop`, and what `backward` needs: that is kept in few wide arrays, which the way back reads at once."""
    cell = CELLS[step]
    parts = list(zip(cut(p["W"], *cell.shares), cut(p["b"], *cell.shares), strict=True))

    def one(old: State, now: tuple[jax.Array, State, State | None]) -> tuple[State, Any]:
        m, a_t, eps = now
        new, saved = cell.forward(p, a_t, old)
        if eps is not None:
            new = tuple(n + e for n, e in zip(new, eps, strict=True))
        state = tuple(jnp.where(m, n, s) for n, s in zip(new, old, strict=True))
        return state, (state, saved)

    def slab(old: State, now: tuple[jax.Array, jax.Array, State | None]) -> tuple[State, Any]:
        x, m, eps = now
        a = tuple((flat(x) @ w + b).reshape(*x.shape[:2], -1) for w, b in parts)
        return lax.scan(one, old, (m, a, eps), reverse=reverse)

    final, (states, saved) = in_slabs(slab, state, (x, valid, taps), reverse, state[0].size)
    y = jnp.where(valid, states[0], 0)
    return (y, final), (p, x, valid, taps, state, states, saved)


def backward(
    step: Step, reverse: bool, kept: Any, towards: tuple[jax.Array, State]
) -> tuple[Weights, jax.Array, None, State, State | None]:
    """dL/dy (T, B, H), dL/d(final state) -> dL/dp, dL/dx (T, B, I), nothing, dL/d(first state), dL/dtaps."""
    cell, (p, x, valid, taps, state, states, saved), (dy, dfinal) = CELLS[step], kept, towards
    # turned once: the product of a loop would turn its matrix at every step
    turned = p | {f"{name}_T": lax.optimization_barrier(w.T) for name, w in p.items() if name.startswith("U")}
    before = tuple(_shifted(first, after, reverse) for first, after in zip(state, states, strict=True))

    def one(dstate: State, now: tuple[jax.Array, jax.Array, State]) -> tuple[State, Any]:
        m, dy_t, k_t = now
        through = tuple(jnp.where(m, d, 0) for d in (dstate[0] + dy_t, *dstate[1:]))
        back, more = cell.backward(turned, k_t, through)
        return tuple(jnp.where(m, b, d) for b, d in zip(back, dstate, strict=True)), (through, more)

    def slab(carried: tuple[State, Weights], now: Any) -> tuple[tuple[State, Weights], Any]:
        (dstate, dp), (x, m, dy, saved, old, after, eps) = carried, now
        new = after if eps is None else tuple(s - e for s, e in zip(after, eps, strict=True))
        k = cell.factors(p, saved, old, new)
        dstate, (through, more) = lax.scan(one, dstate, (m, dy, k), reverse=not reverse)
        da, own = cell.weights(k, saved, old, through, more)
        own |= {"W": product(x, da), "b": total(da)}
        dx = (flat(da) @ p["W"].T).reshape(x.shape)
        return (dstate, {name: d + own.get(name, 0) for name, d in dp.items()}), (dx, None if eps is None else through)

    first = dfinal, {name: jnp.zeros_like(w) for name, w in p.items()}
    read = x, valid, dy, saved, before, states, taps
    (dfirst, dp), (dx, dtaps) = in_slabs(slab, first, read, not reverse, dfinal[0].size)
    return dp, dx, None, dfirst, dtaps


def _shifted(first: jax.Array, after: jax.Array, reverse: bool) -> jax.Array:
    """The state before each step, from the one before all and those after each (T, B, H)."""
    return jnp.concatenate([after[1:], first[None]] if reverse else [first[None], after[:-1]])


def in_slabs(body: Callable[..., Any], first: Any, read: Any, reverse: bool, numbers: int) -> tuple[Any, Any]:
    """``body`` over slabs of time: (T, ...) of each that is read and put out. A step has so many ``numbers`` a gate."""
    steps = len(read[0])
    fits = [n for n in range(FEWEST, steps + 1) if steps % n == 0 and n * numbers <= SLAB]
    length = max(fits, default=steps)
    cut = jax.tree.map(lambda v: v.reshape(-1, length, *v.shape[1:]), read)
    last, out = lax.scan(body, first, cut, reverse=reverse)
    return last, jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), out)


loop.defvjp(forward, backward)


def make(net: Net, prefix: str) -> Scan:
    """The stack of layers below ``prefix``, each a loop with a derivative by hand."""
    return Scan(net, prefix, loop, lambda step, p, x: x, "a jax.custom_vjp around lax.scan")
