"""One step of each architecture in JAX: (p, a, state) -> state', the equations of ``suite.spec.archs``.

a = x W + b (B, GH) is the input's share, computed for all steps at once; p holds the rest; state holds (B, H) each.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

State = tuple[jax.Array, ...]
Weights = dict[str, jax.Array]
Step = Callable[[Weights, jax.Array, State], State]

sigmoid = jax.nn.sigmoid


def rnn(p: Weights, a: jax.Array, state: State) -> State:
    """h' = tanh(a + h U)."""
    (h,) = state
    return (jnp.tanh(a + h @ p["U"]),)


def gru(p: Weights, a: jax.Array, state: State) -> State:
    """r, z = sigmoid(a + h U + c), n = tanh(a_n + r (h U_n + c_n)), h' = n + z (h - n)."""
    (h,) = state
    a_r, a_z, a_n = jnp.split(a, 3, axis=1)
    u_r, u_z, u_n = jnp.split(h @ p["U"] + p["c"], 3, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + r * u_n)
    return (n + z * (h - n),)


def gru_before(p: Weights, a: jax.Array, state: State) -> State:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n); U comes in two, U_rz and U_n."""
    (h,) = state
    a_r, a_z, a_n = jnp.split(a, 3, axis=1)
    u_r, u_z = jnp.split(h @ p["U_rz"], 2, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + (r * h) @ p["U_n"])
    return (n + z * (h - n),)


def lstm(p: Weights, a: jax.Array, state: State) -> State:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    h, c = state
    a_i, a_f, a_g, a_o = jnp.split(a + h @ p["U"], 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), jnp.tanh(a_g), sigmoid(a_o)
    c = f * c + i * g
    return o * jnp.tanh(c), c


def before_loop(step: Step, p: Weights) -> Weights:
    """The weights as a step reads them: gru_before's U cut once: a cut at every step costs a gradient each."""
    if step is not gru_before:
        return p
    u_rz, u_n = jnp.split(p["U"], [2 * p["U"].shape[0]], axis=1)
    return {**p, "U_rz": u_rz, "U_n": u_n}


CELLS: dict[str, Step] = {"rnn": rnn, "gru": gru, "gru_before": gru_before, "lstm": lstm}
