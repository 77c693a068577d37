"""The masked scan over time around a cell, as ``lax.scan``; XLA compiles it with everything around it.

    s_t = where(t < length, step(a_t, s_{t-1}) + eps_t, s_{t-1})       y_t = where(t < length, s_t[0], 0)

a = x W + b is one product over all steps. eps is zero and only there to be differentiated: dL/deps_t = dL/ds_t.
Time comes first inside a stack, because ``lax.scan`` walks along the first axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from backends.jax.cells import CELLS, Params, State, Step
from suite.spec.contract import Net
from suite.spec.params import Stack, of, stack

Named = dict[str, jax.Array]  # "layer0/h" -> state (B, H), or taps (T, B, H)


def make(net: Net, prefix: str) -> Scan:
    """The stack of layers below ``prefix``."""
    return Scan(CELLS[net.arch.name], net.arch.state, stack(net, prefix))


@dataclass(frozen=True)
class Scan:
    """Layers of one or two directions, each a masked scan of ``step`` carrying ``carried``."""

    step: Step
    carried: tuple[str, ...]
    layers: Stack

    def run(
        self, p: Params, x: jax.Array, valid: jax.Array, state: Named, taps: Named | None = None
    ) -> tuple[jax.Array, Named]:
        """x (B, T, I), valid (B, T), state (B, H) each, taps (T, B, H) each -> y (B, T, F) and the final state."""
        x, valid = jnp.swapaxes(x, 0, 1), valid.T[..., None]  # (T, B, I), (T, B, 1)
        final: Named = {}
        for layer in self.layers:
            ys = []
            for d in layer:
                names = [d.prefix + s for s in self.carried]
                first = tuple(state[name] for name in names)
                eps = tuple(taps[name] for name in names) if taps else None
                y, last = scan(self.step, of(p, d.prefix), x, valid, first, d.reverse, eps)
                final |= zip(names, last, strict=True)
                ys.append(y)
            x = jnp.concatenate(ys, axis=-1)
        return jnp.swapaxes(x, 0, 1), final


def scan(
    step: Step, p: Params, x: jax.Array, valid: jax.Array, state: State, reverse: bool, eps: State | None
) -> tuple[jax.Array, State]:
    """x (T, B, I), valid (T, B, 1), state of (B, H) each -> y (T, B, H) and the final state."""

    def masked(old: State, now: tuple[jax.Array, jax.Array, State | None]) -> tuple[State, jax.Array]:
        a, m, tap = now
        new = step(p, a, old)
        if tap is not None:
            new = tuple(n + e for n, e in zip(new, tap, strict=True))
        state = tuple(jnp.where(m, n, s) for n, s in zip(new, old, strict=True))
        return state, jnp.where(m, state[0], 0)

    last, y = lax.scan(masked, state, (x @ p["W"] + p["b"], valid, eps), reverse=reverse)
    return y, last
