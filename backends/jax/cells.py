"""One step of each architecture in JAX: (p, a, state) -> state', the equations of ``suite.spec.archs``.

a holds the input's share of each gate, (B, H) each, from `inputs` for all steps at once; p holds the rest; state holds
(B, H) each. The share is cut before the loop: cut at every step, a loop forward of a GRU took 2.5 times as long at
B32 T50 H64 on XLA's CPU, and 1.5 times at B64 T100 H320.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from suite.spec.archs.layer_norm import EPS

State = tuple[jax.Array, ...]
Weights = dict[str, jax.Array]
Gates = tuple[jax.Array, ...]
Step = Callable[[Weights, Gates, State], State]

sigmoid = jax.nn.sigmoid


def layer_norm(v: jax.Array) -> jax.Array:
    """LN(v) over the last axis of v."""
    d = v - v.mean(-1, keepdims=True)
    return d / jnp.sqrt((d * d).mean(-1, keepdims=True) + EPS)


def rnn(p: Weights, a: Gates, state: State) -> State:
    """h' = tanh(a + h U)."""
    (h,) = state
    return (jnp.tanh(a[0] + h @ p["U"]),)


def rnn_relu(p: Weights, a: Gates, state: State) -> State:
    """h' = max(0, a + h U)."""
    (h,) = state
    return (jax.nn.relu(a[0] + h @ p["U"]),)


def gru(p: Weights, a: Gates, state: State) -> State:
    """r, z = sigmoid(a + h U + c), n = tanh(a_n + r (h U_n + c_n)), h' = n + z (h - n)."""
    (h,) = state
    return _reset_after(a, h @ p["U"] + p["c"], h)


def gru_ln(p: Weights, a: Gates, state: State) -> State:
    """r, z = sigmoid(a + u), n = tanh(a_n + r u_n), h' = n + z (h - n) with u = LN(h U) k."""
    (h,) = state
    return _reset_after(a, layer_norm(h @ p["U"]) * p["k"], h)


def _reset_after(a: Gates, u: jax.Array, h: jax.Array) -> State:
    a_r, a_z, a_n = a
    u_r, u_z, u_n = jnp.split(u, 3, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + r * u_n)
    return (n + z * (h - n),)


def gru_before(p: Weights, a: Gates, state: State) -> State:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n)."""
    (h,), (a_r, a_z, a_n) = state, a
    u_r, u_z = jnp.split(h @ p["U_gates"], 2, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + (r * h) @ p["U_n"])
    return (n + z * (h - n),)


def gru_article(p: Weights, a: Gates, state: State) -> State:
    """r, z = sigmoid(a + h U), h' = (1 - z) r tanh(a_n + h U_n)."""
    (h,) = state
    r, z, n = _sums(a, h @ p["U"])
    return ((1 - sigmoid(z)) * sigmoid(r) * jnp.tanh(n),)


def mgu(p: Weights, a: Gates, state: State) -> State:
    """f = sigmoid(a + h U), n = tanh(a_n + (f h) U_n), h' = h + f (n - h)."""
    (h,), (a_f, a_n) = state, a
    f = sigmoid(a_f + h @ p["U_gates"])
    n = jnp.tanh(a_n + (f * h) @ p["U_n"])
    return (h + f * (n - h),)


def lstm(p: Weights, a: Gates, state: State) -> State:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    h, c = state
    c, o = _remember(_sums(a, h @ p["U"]), c)
    return o * jnp.tanh(c), c


def lstm_ln(p: Weights, a: Gates, state: State) -> State:
    """As lstm, with LN(h U) k for h U and h' = o tanh(LN(c') q + s)."""
    h, c = state
    c, o = _remember(_sums(a, layer_norm(h @ p["U"]) * p["k"]), c)
    return o * jnp.tanh(layer_norm(c) * p["q"] + p["s"]), c


def _remember(a: Gates, c: jax.Array) -> tuple[jax.Array, jax.Array]:
    """c' and o of an LSTM, from all its gates' sums."""
    a_i, a_f, a_g, a_o = a
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), jnp.tanh(a_g), sigmoid(a_o)
    return f * c + i * g, o


def lstm_peephole(p: Weights, a: Gates, state: State) -> State:
    """As lstm, but i, f = sigmoid(a + h U + P c) and o = sigmoid(a_o + h U_o + P_o c'): o looks at the new cell."""
    h, c = state
    a_i, a_f, a_g, a_o = _sums(a, h @ p["U"])
    i, f, g = sigmoid(a_i + p["P_i"] * c), sigmoid(a_f + p["P_f"] * c), jnp.tanh(a_g)
    c = f * c + i * g
    return sigmoid(a_o + p["P_o"] * c) * jnp.tanh(c), c


def _sums(a: Gates, u: jax.Array) -> Gates:
    """Each gate's a + u, of u (B, GH)."""
    return tuple(x + y for x, y in zip(a, jnp.split(u, len(a), axis=1), strict=True))


def inputs(step: Step, p: Weights, x: jax.Array) -> Gates:
    """Each gate's share a, for x (..., I) of any number of steps: x W + b, or LN(x W) g + b where there is a gain g."""
    a = layer_norm(x @ p["W"]) * p["g"] + p["b"] if "g" in p else x @ p["W"] + p["b"]
    return tuple(jnp.split(a, a.shape[-1] // p["U"].shape[0], axis=-1))


def before_loop(step: Step, p: Weights) -> Weights:
    """The weights as a step reads them, cut once: a cut at every step costs a gradient each."""
    if step is lstm_peephole:
        p_i, p_f, p_o = p["P"]
        return {**p, "P_i": p_i, "P_f": p_f, "P_o": p_o}
    if step not in (gru_before, mgu):
        return p
    width = p["U"].shape[0]
    u_gates, u_n = jnp.split(p["U"], [p["U"].shape[1] - width], axis=1)
    return {**p, "U_gates": u_gates, "U_n": u_n}


CELLS: dict[str, Step] = {
    "rnn": rnn,
    "rnn_relu": rnn_relu,
    "gru": gru,
    "gru_before": gru_before,
    "gru_article": gru_article,
    "gru_ln": gru_ln,
    "mgu": mgu,
    "lstm": lstm,
    "lstm_peephole": lstm_peephole,
    "lstm_ln": lstm_ln,
}
