"""A stack of other libraries' layers on JAX: the unrolling is theirs, what surrounds it is ``backends.jax.scan``'s.

Parameters are trained as the specification has them; an unrolling cuts them into its library's tree inside the compiled
function. At B32 T50 I32 H64 that costs an update of haiku or equinox 1 % at most, and spares one of flax 2 % or more:
its tree has more arrays to update than the specification.
"""

from __future__ import annotations

from collections.abc import Callable

import jax

from backends.jax.cells import State, Step, Weights
from backends.jax.scan import Scan
from suite.spec.contract import Net, Unsupported

# (p, x (T, B, I), valid (T, B, 1), state (B, H) each, reverse) -> y (T, B, H), zero at pads, and the final state
Unroll = Callable[[Weights, jax.Array, jax.Array, State, bool], tuple[jax.Array, State]]


def layers(net: Net, prefix: str, unroll: Unroll, what: str) -> Scan:
    """The stack of layers below ``prefix``, each direction by ``unroll``; ``what`` names it. Taps are Unsupported."""

    def loop(
        step: Step, p: Weights, x: jax.Array, valid: jax.Array, state: State, reverse: bool, taps: State | None
    ) -> tuple[jax.Array, State]:
        if taps is not None:
            raise Unsupported(f"{what}: a stock layer hides its inner states; use backend = jax, impl = scan")
        return unroll(p, x, valid, state, reverse)

    return Scan(net, prefix, loop, _whole, what)


def _whole(step: Step, p: Weights, x: jax.Array) -> jax.Array:
    """A library's layer reads the input itself."""
    return x
