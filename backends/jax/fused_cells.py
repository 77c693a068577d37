"""A step of each architecture and its derivative by hand, after ``step`` and ``step_vjp`` of ``suite.spec.archs``.

    forward(p, a, state)                -> state', saved      one step: a in `shares`, state and saved (B, .) each
    factors(p, saved, old, new)         -> k                  all steps at once, (T, B, .) each: what dL/ds' is times
    backward(p, k, dstate')             -> dstate, more       one step
    weights(k, saved, old, dnew, more)  -> da, dL/dp          all steps at once, da (T, B, GH): one product each

da = dL/da, of the input's share a = x W + b; du = dL/du where u = h U + c is another sum than a's. dr, dz, dn, di, ...
are dL/d of what stands within a gate's sigmoid or tanh.

A loop of XLA's pays for each array that it makes or keeps, and least for few wide ones: gates of one kind are made
together, and everything that needs no step before it is made outside the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from backends.jax import cells
from backends.jax.cells import State, Step, Weights, sigmoid

Parts = Sequence[jax.Array]


@dataclass(frozen=True, slots=True)
class Cell:
    """The four functions of an architecture, and how many gates each share of the input's sum has."""

    shares: tuple[int, ...]
    forward: Callable[[Weights, Parts, State], tuple[State, State]]
    factors: Callable[[Weights, Parts, Parts, Parts], State]
    backward: Callable[[Weights, Parts, State], tuple[State, State]]
    weights: Callable[[Parts, Parts, Parts, Parts, Parts], tuple[jax.Array, Weights]]


def flat(v: jax.Array) -> jax.Array:
    """(T, B, N) -> (TB, N): of a product over two axes XLA turns a whole operand round before it multiplies."""
    return v.reshape(-1, v.shape[-1])


def product(h: jax.Array, d: jax.Array) -> jax.Array:
    """sum_t h_t^T d_t: h (T, B, H), d (T, B, N) -> (H, N)."""
    return flat(h).T @ flat(d)


def total(d: jax.Array) -> jax.Array:
    """d (T, B, N), summed over steps and rows -> (N,)."""
    return d.sum((0, 1))


def times(v: jax.Array, k: jax.Array) -> jax.Array:
    """v (..., H), k (..., GH) -> (..., GH): v times each block of k."""
    return jnp.concatenate([v] * (k.shape[-1] // v.shape[-1]), axis=-1) * k


def cut(v: jax.Array, *blocks: int) -> list[jax.Array]:
    """(..., GH) -> blocks of so many gates each."""
    width, ends = v.shape[-1] // sum(blocks), [sum(blocks[:k]) for k in range(1, len(blocks))]
    return jnp.split(v, [end * width for end in ends], axis=-1)


def rnn_forward(p: Weights, a: Parts, state: State) -> tuple[State, State]:
    """h' = tanh(a + h U)."""
    return (jnp.tanh(a[0] + state[0] @ p["U"]),), ()


def rnn_factors(p: Weights, saved: Parts, old: Parts, new: Parts) -> State:
    """d = dh' (1 - h'^2)."""
    return (1 - new[0] * new[0],)


def rnn_backward(p: Weights, k: Parts, dstate: State) -> tuple[State, State]:
    """dh = d U^T."""
    return ((dstate[0] * k[0]) @ p["U_T"],), ()


def rnn_weights(k: Parts, saved: Parts, old: Parts, dnew: Parts, more: Parts) -> tuple[jax.Array, Weights]:
    """dU = h^T d."""
    d = dnew[0] * k[0]
    return d, {"U": product(old[0], d)}


def rnn_relu_forward(p: Weights, a: Parts, state: State) -> tuple[State, State]:
    """h' = max(0, a + h U)."""
    return (jax.nn.relu(a[0] + state[0] @ p["U"]),), ()


def rnn_relu_factors(p: Weights, saved: Parts, old: Parts, new: Parts) -> State:
    """d = dh' where h' > 0: the derivative at the kink is 0."""
    return ((new[0] > 0).astype(new[0].dtype),)


def gru_forward(p: Weights, a: Parts, state: State) -> tuple[State, State]:
    """u = h U + c, r, z = sigmoid(a + u), n = tanh(a_n + r u_n), h' = n + z (h - n)."""
    (a_rz, a_n), (h,) = a, state
    u_rz, u_n = cut(h @ p["U"] + p["c"], 2, 1)
    rz = sigmoid(a_rz + u_rz)
    r, z = cut(rz, 1, 1)
    n = jnp.tanh(a_n + r * u_n)
    return (n + z * (h - n),), (rz, n, u_n)


def gru_factors(p: Weights, saved: Parts, old: Parts, new: Parts) -> State:
    """dn = dh' (1 - z) (1 - n^2), dz = dh' (h - n) z (1 - z), dr = dn u_n r (1 - r), du_n = dn r."""
    (rz, n, u_n), (h,) = saved, old
    r, z = cut(rz, 1, 1)
    k_n = (1 - z) * (1 - n * n)
    return jnp.concatenate([k_n * u_n * r * (1 - r), (h - n) * z * (1 - z), k_n * r], axis=2), rz


def gru_backward(p: Weights, k: Parts, dstate: State) -> tuple[State, State]:
    """dh = z dh' + [dr, dz, du_n] U^T."""
    (k_u, rz), (dh,) = k, dstate
    _, z = cut(rz, 1, 1)
    return (dh * z + times(dh, k_u) @ p["U_T"],), ()


def gru_weights(k: Parts, saved: Parts, old: Parts, dnew: Parts, more: Parts) -> tuple[jax.Array, Weights]:
    """dU = h^T [dr, dz, du_n], dc = sum [dr, dz, du_n]."""
    (k_u, rz), (_, n, _), (h,), (dh,) = k, saved, old, dnew
    _, z = cut(rz, 1, 1)
    du = times(dh, k_u)
    d_rz, _ = cut(du, 2, 1)
    dn = dh * (1 - z) * (1 - n * n)
    return jnp.concatenate([d_rz, dn], axis=-1), {"U": product(h, du), "c": total(du)}


def gru_before_forward(p: Weights, a: Parts, state: State) -> tuple[State, State]:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n)."""
    (a_rz, a_n), (h,) = a, state
    rz = sigmoid(a_rz + h @ p["U_gates"])
    r, z = cut(rz, 1, 1)
    n = jnp.tanh(a_n + (r * h) @ p["U_n"])
    return (n + z * (h - n),), (rz, n)


def gru_before_factors(p: Weights, saved: Parts, old: Parts, new: Parts) -> State:
    """dn = dh' (1 - z) (1 - n^2), dz = dh' (h - n) z (1 - z), dr = dq h r (1 - r)."""
    (rz, n), (h,) = saved, old
    r, z = cut(rz, 1, 1)
    k_rz = jnp.concatenate([h * r * (1 - r), (h - n) * z * (1 - z)], axis=-1)
    return (1 - z) * (1 - n * n), k_rz, rz


def gru_before_backward(p: Weights, k: Parts, dstate: State) -> tuple[State, State]:
    """dq = dn U_n^T, dh = z dh' + r dq + [dr, dz] U^T."""
    (k_n, k_rz, rz), (dh,) = k, dstate
    r, z = cut(rz, 1, 1)
    dq = (dh * k_n) @ p["U_n_T"]
    d_rz = jnp.concatenate([dq, dh], axis=1) * k_rz
    return (dh * z + dq * r + d_rz @ p["U_gates_T"],), (dq,)


def gru_before_weights(k: Parts, saved: Parts, old: Parts, dnew: Parts, more: Parts) -> tuple[jax.Array, Weights]:
    """dU = [h^T [dr, dz], (r h)^T dn]."""
    (k_n, k_rz, rz), (h,), (dh,), (dq,) = k, old, dnew, more
    r, _ = cut(rz, 1, 1)
    d_rz, dn = jnp.concatenate([dq, dh], axis=-1) * k_rz, dh * k_n
    return jnp.concatenate([d_rz, dn], axis=-1), {"U_gates": product(h, d_rz), "U_n": product(r * h, dn)}


def lstm_forward(p: Weights, a: Parts, state: State) -> tuple[State, State]:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    (a_if, a_g, a_o), (h, c) = a, state
    u_if, u_g, u_o = cut(h @ p["U"], 2, 1, 1)
    i_f, g, o = sigmoid(a_if + u_if), jnp.tanh(a_g + u_g), sigmoid(a_o + u_o)
    i, f = cut(i_f, 1, 1)
    new = f * c + i * g
    return (o * jnp.tanh(new), new), (i_f, g, o)


def lstm_factors(p: Weights, saved: Parts, old: Parts, new: Parts) -> State:
    """dc' += dh' o (1 - t^2), di = dc' g i (1 - i), df = dc' c f (1 - f), dg = dc' i (1 - g^2), do = dh' t o (1 - o)"""
    (i_f, g, o), (_, c), (_, c_new) = saved, old, new
    i, f = cut(i_f, 1, 1)
    t = jnp.tanh(c_new)
    k = jnp.concatenate([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), t * o * (1 - o)], axis=-1)
    return k, o * (1 - t * t), f


def lstm_backward(p: Weights, k: Parts, dstate: State) -> tuple[State, State]:
    """dc = f dc', dh = [di, df, dg, do] U^T."""
    (k_a, k_t, f), (dh, dc) = k, dstate
    dc = dc + dh * k_t
    d = jnp.concatenate([dc, dc, dc, dh], axis=1) * k_a
    return (d @ p["U_T"], dc * f), (dc,)


def lstm_weights(k: Parts, saved: Parts, old: Parts, dnew: Parts, more: Parts) -> tuple[jax.Array, Weights]:
    """dU = h^T [di, df, dg, do]."""
    (dh, _), (dc,) = dnew, more
    d = jnp.concatenate([dc, dc, dc, dh], axis=-1) * k[0]
    return d, {"U": product(old[0], d)}


def lstm_peephole_forward(p: Weights, a: Parts, state: State) -> tuple[State, State]:
    """As lstm, but i, f = sigmoid(a + h U + P c) and o = sigmoid(a_o + h U_o + P_o c'): o looks at the new cell."""
    (a_if, a_g, a_o), (h, c) = a, state
    u_if, u_g, u_o = cut(h @ p["U"], 2, 1, 1)
    i_f = sigmoid(a_if + u_if + times(c, jnp.concatenate([p["P_i"], p["P_f"]])))
    i, f = cut(i_f, 1, 1)
    g = jnp.tanh(a_g + u_g)
    new = f * c + i * g
    o = sigmoid(a_o + u_o + p["P_o"] * new)
    return (o * jnp.tanh(new), new), (i_f, g, o)


def lstm_peephole_factors(p: Weights, saved: Parts, old: Parts, new: Parts) -> State:
    """As lstm, and dc' += do P_o, dc = f dc' + di P_i + df P_f: f becomes all of dc / dc'."""
    k, k_t, f = lstm_factors(p, saved, old, new)
    k_i, k_f, _, k_o = cut(k, 1, 1, 1, 1)
    return k, k_t + k_o * p["P_o"], f + k_i * p["P_i"] + k_f * p["P_f"]


def lstm_peephole_weights(k: Parts, saved: Parts, old: Parts, dnew: Parts, more: Parts) -> tuple[jax.Array, Weights]:
    """As lstm, and dP = sum [di c, df c, do c'], c' before taps."""
    d, dp = lstm_weights(k, saved, old, dnew, more)
    (i_f, g, _), (_, c) = saved, old
    i, f = cut(i_f, 1, 1)
    d_i, d_f, _, d_o = cut(d, 1, 1, 1, 1)
    return d, dp | {"P_i": total(d_i * c), "P_f": total(d_f * c), "P_o": total(d_o * (f * c + i * g))}


RNN = Cell((1,), rnn_forward, rnn_factors, rnn_backward, rnn_weights)
LSTM = Cell((2, 1, 1), lstm_forward, lstm_factors, lstm_backward, lstm_weights)
CELLS: dict[Step, Cell] = {
    cells.rnn: RNN,
    cells.rnn_relu: replace(RNN, forward=rnn_relu_forward, factors=rnn_relu_factors),
    cells.gru: Cell((2, 1), gru_forward, gru_factors, gru_backward, gru_weights),
    cells.gru_before: Cell((2, 1), gru_before_forward, gru_before_factors, gru_before_backward, gru_before_weights),
    cells.lstm: LSTM,
    cells.lstm_peephole: replace(
        LSTM, forward=lstm_peephole_forward, factors=lstm_peephole_factors, weights=lstm_peephole_weights
    ),
}
