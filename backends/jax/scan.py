"""The masked scan over time around a cell, as ``lax.scan``; XLA compiles it with everything around it.

    s_t = where(valid_t, step(a_t, s_{t-1}) + tap_t, s_{t-1})      y_t = where(valid_t, s_t[0], 0)

The input's share a is computed for all steps at once. The taps are zeros to differentiate by: dL/dtap_t = dL/ds_t.
Time comes first inside a stack, because ``lax.scan`` walks along the first axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from backends.jax.cells import CELLS, State, Step, Weights, before_loop, inputs
from backends.jax.layout import identity
from suite.spec.contract import Net
from suite.spec.dropout import NONE, Masks, site
from suite.spec.params import link, of, shapes, stack

Named = dict[str, jax.Array]  # "layer0/h" -> state (B, H), or taps (T, B, H)
Share = Callable[[Step, Weights, jax.Array], Any]  # what a loop reads of the input, as `inputs` makes it
Loop = Callable[..., tuple[jax.Array, State]]


def scan(
    step: Step, p: Weights, a: Any, valid: jax.Array, state: State, reverse: bool, taps: State | None
) -> tuple[jax.Array, State]:
    """a (T, B, H) a gate, valid (T, B, 1), state (B, H) each, taps (T, B, H) each -> y (T, B, H), final state."""

    def masked(old: State, now: tuple[jax.Array, jax.Array, State | None]) -> tuple[State, jax.Array]:
        a_t, m, eps = now
        new = step(p, a_t, old)
        if eps is not None:
            new = tuple(n + e for n, e in zip(new, eps, strict=True))
        state = tuple(jnp.where(m, n, s) for n, s in zip(new, old, strict=True))
        return state, jnp.where(m, state[0], 0)

    state, y = lax.scan(masked, state, (a, valid, taps), reverse=reverse)
    return y, state


class Scan:
    """A stack of layers of one or two directions, each a masked scan of the same cell."""

    def __init__(self, net: Net, prefix: str, loop: Loop = scan, share: Share = inputs, what: str = "lax.scan") -> None:
        self._step, self._carried, self._layers = CELLS[net.arch.equations], net.arch.state, stack(net, prefix)
        self._loop, self._share, self._what, self._residual = loop, share, what, net.arch.residual
        self.layout = identity(name for name in shapes(net) if name.startswith((f"{prefix}layer", f"{prefix}skip")))

    def run(
        self,
        p: Weights,
        x: jax.Array,
        valid: jax.Array,
        state: Named,
        taps: Named | None = None,
        masks: Masks = NONE,
    ) -> tuple[jax.Array, Named]:
        """x (B, T, I), valid (B, T), state (B, H) each, taps (T, B, H) each -> y (B, T, F) and the final state."""
        x, valid = jnp.swapaxes(x, 0, 1), valid.T[..., None]  # (T, B, I), (T, B, 1)
        final: Named = {}
        for layer in self._layers:
            ys, read = [], x * masks[site(layer)] if site(layer) in masks else x
            for d in layer:
                names = [d.prefix + s for s in self._carried]
                first = tuple(state[name] for name in names)
                eps = tuple(taps[name] for name in names) if taps else None
                own = of(p, d.prefix)
                a = self._share(self._step, own, read)
                y, last = self._loop(self._step, before_loop(self._step, own), a, valid, first, d.reverse, eps)
                final |= zip(names, last, strict=True)
                ys.append(y)
            y = jnp.concatenate(ys, axis=-1)
            if self._residual:
                kept, name = jnp.where(valid, x, 0), link(layer)
                y += kept @ p[name] if name in p else kept
            x = y
        return jnp.swapaxes(x, 0, 1), final

    def ran(self) -> set[str]:
        """What executes."""
        return {f"jax.jit of {self._what}"}


def make(net: Net, prefix: str) -> Scan:
    """The stack of layers below ``prefix``."""
    return Scan(net, prefix)
