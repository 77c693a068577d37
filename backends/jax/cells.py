"""One step of each architecture in JAX: (p, a, state) -> state'.

a = x W + b (B, G*H) is the input's projection, computed for all steps before the loop. ``p`` holds the parameters of
one direction; the equations and their sources are in ``suite.spec.archs``.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

State = tuple[jax.Array, ...]
Params = dict[str, jax.Array]
Step = Callable[[Params, jax.Array, State], State]

sigmoid = jax.nn.sigmoid


def rnn(p: Params, a: jax.Array, state: State) -> State:
    """a (B, H), (h (B, H),) -> (h',)."""
    (h,) = state
    return (jnp.tanh(a + h @ p["U"]),)


def gru(p: Params, a: jax.Array, state: State) -> State:
    """a (B, 3H), (h (B, H),) -> (h',), reset after the product."""
    (h,) = state
    a_r, a_z, a_n = jnp.split(a, 3, axis=1)
    u_r, u_z, u_n = jnp.split(h @ p["U"] + p["c"], 3, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + r * u_n)
    return (n + z * (h - n),)


def gru_before(p: Params, a: jax.Array, state: State) -> State:
    """a (B, 3H), (h (B, H),) -> (h',), reset before the product."""
    (h,) = state
    width = h.shape[1]
    a_r, a_z, a_n = jnp.split(a, 3, axis=1)
    u_r, u_z = jnp.split(h @ p["U"][:, : 2 * width], 2, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + (r * h) @ p["U"][:, 2 * width :])
    return (n + z * (h - n),)


def lstm(p: Params, a: jax.Array, state: State) -> State:
    """a (B, 4H), (h, c) (B, H) each -> (h', c')."""
    h, c = state
    a_i, a_f, a_g, a_o = jnp.split(a + h @ p["U"], 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), jnp.tanh(a_g), sigmoid(a_o)
    c_new = f * c + i * g
    return o * jnp.tanh(c_new), c_new


CELLS: dict[str, Step] = {"rnn": rnn, "gru": gru, "gru_before": gru_before, "lstm": lstm}
