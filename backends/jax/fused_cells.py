"""A step of each architecture and its derivative by hand, after ``step`` and ``step_vjp`` of ``suite.spec.archs``.

    forward(p, a, state)         -> state', saved        a, state and saved (B, H) each: what `backward` needs
    backward(p, saved, dstate')  -> dstate, da           da (B, H) for each gate: what `weights` needs
    weights(saved, da)           -> dL/dp by name        saved and da of all steps, (T, B, H) each: one product a gate

da = dL/da, of the input's share a = x W + b; du = dL/du where u = h U + c is another sum than a's. d is dL/d of what it
is written before, but for the gates: dr, dz, dn, di, ... are dL/d of what stands within their sigmoid or tanh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from backends.jax import cells
from backends.jax.cells import State, Step, Weights, sigmoid

Gates = tuple[jax.Array, ...]
Pair = tuple[State, Gates]


@dataclass(frozen=True, slots=True)
class Cell:
    """The three functions of an architecture, and how many gates it has."""

    gates: int
    forward: Callable[[Weights, Gates, State], Pair]
    backward: Callable[[Weights, Gates, State], Pair]
    weights: Callable[[Gates, Gates], Weights]


def back_through(d: Gates, u: jax.Array) -> jax.Array:
    """d U^T: d (B, H) for each gate, U (H, GH) -> (B, H)."""
    return jnp.concatenate(d, axis=1) @ u.T


def product(h: jax.Array, d: Gates) -> jax.Array:
    """sum_t h_t^T d_t: h (T, B, H), d (T, B, H) for each gate -> (H, GH)."""
    return jnp.concatenate([flat(h).T @ flat(one) for one in d], axis=1)


def flat(v: jax.Array) -> jax.Array:
    """(T, B, H) -> (TB, H): of a product over two axes XLA turns a whole operand round before it multiplies."""
    return v.reshape(-1, v.shape[-1])


def gates_of(cell: Cell, p: Weights) -> list[tuple[jax.Array, jax.Array]]:
    """W (I, H) and b (H,) of each gate: of products side by side, a loop would have to cut."""
    return list(zip(*(jnp.split(p[name], cell.gates, axis=-1) for name in ("W", "b")), strict=True))


def total(d: jax.Array) -> jax.Array:
    """d (T, B, H) summed over steps and rows -> (H,)."""
    return d.sum((0, 1))


def rnn_forward(p: Weights, a: Gates, state: State) -> Pair:
    """h' = tanh(a + h U)."""
    (h,) = state
    new = jnp.tanh(a[0] + h @ p["U"])
    return (new,), (h, new)


def rnn_backward(p: Weights, saved: Gates, dstate: State) -> Pair:
    """dh' -> dh."""
    _, new = saved
    da = (dstate[0] * (1 - new * new),)
    return (back_through(da, p["U"]),), da


def rnn_relu_forward(p: Weights, a: Gates, state: State) -> Pair:
    """h' = max(0, a + h U)."""
    (h,) = state
    new = jax.nn.relu(a[0] + h @ p["U"])
    return (new,), (h, new)


def rnn_relu_backward(p: Weights, saved: Gates, dstate: State) -> Pair:
    """dh' -> dh; the derivative at the kink is 0."""
    _, new = saved
    da = (jnp.where(new > 0, dstate[0], 0),)
    return (back_through(da, p["U"]),), da


def gru_forward(p: Weights, a: Gates, state: State) -> Pair:
    """r, z = sigmoid(a + h U + c), n = tanh(a_n + r (h U_n + c_n)), h' = n + z (h - n)."""
    (h,) = state
    a_r, a_z, a_n = a
    u_r, u_z, u_n = jnp.split(h @ p["U"] + p["c"], 3, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + r * u_n)
    return (n + z * (h - n),), (h, r, z, n, u_n)


def gru_backward(p: Weights, saved: Gates, dstate: State) -> Pair:
    """dh' -> dh."""
    h, r, z, n, u_n = saved
    (dh,) = dstate
    dn = dh * (1 - z) * (1 - n * n)
    dz = dh * (h - n) * z * (1 - z)
    dr = dn * u_n * r * (1 - r)
    return (dh * z + back_through((dr, dz, dn * r), p["U"]),), (dr, dz, dn)


def gru_weights(saved: Gates, da: Gates) -> Weights:
    """u = h U + c."""
    h, r, *_ = saved
    dr, dz, dn = da
    du = dr, dz, dn * r
    return {"U": product(h, du), "c": jnp.concatenate([total(d) for d in du])}


def gru_before_forward(p: Weights, a: Gates, state: State) -> Pair:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n)."""
    (h,) = state
    a_r, a_z, a_n = a
    u_r, u_z = jnp.split(h @ p["U_gates"], 2, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + (r * h) @ p["U_n"])
    return (n + z * (h - n),), (h, r, z, n)


def gru_before_backward(p: Weights, saved: Gates, dstate: State) -> Pair:
    """dh' -> dh."""
    h, r, z, n = saved
    (dh,) = dstate
    dn = dh * (1 - z) * (1 - n * n)
    drh = back_through((dn,), p["U_n"])
    dz = dh * (h - n) * z * (1 - z)
    dr = drh * h * r * (1 - r)
    return (dh * z + drh * r + back_through((dr, dz), p["U_gates"]),), (dr, dz, dn)


def gru_before_weights(saved: Gates, da: Gates) -> Weights:
    """h U_gates and (r h) U_n."""
    h, r, *_ = saved
    dr, dz, dn = da
    return {"U_gates": product(h, (dr, dz)), "U_n": product(r * h, (dn,))}


def lstm_forward(p: Weights, a: Gates, state: State) -> Pair:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    h, c = state
    a_i, a_f, a_g, a_o = _plus(a, h @ p["U"])
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), jnp.tanh(a_g), sigmoid(a_o)
    new = f * c + i * g
    tanh_c = jnp.tanh(new)
    return (o * tanh_c, new), (h, c, i, f, g, o, tanh_c)


def _plus(a: Gates, u: jax.Array) -> Gates:
    """a + u, gate by gate."""
    return tuple(one + other for one, other in zip(a, jnp.split(u, len(a), axis=1), strict=True))


def lstm_backward(p: Weights, saved: Gates, dstate: State) -> Pair:
    """dh', dc' -> dh, dc."""
    _, c, i, f, g, o, tanh_c = saved
    dh, dc = dstate
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    da = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)
    return (back_through(da, p["U"]), dc * f), da


def lstm_peephole_forward(p: Weights, a: Gates, state: State) -> Pair:
    """As lstm, but i, f = sigmoid(a + h U + P c) and o = sigmoid(a_o + h U_o + P_o c'): o looks at the new cell."""
    h, c = state
    a_i, a_f, a_g, a_o = _plus(a, h @ p["U"])
    i, f, g = sigmoid(a_i + p["P_i"] * c), sigmoid(a_f + p["P_f"] * c), jnp.tanh(a_g)
    new = f * c + i * g
    o, tanh_c = sigmoid(a_o + p["P_o"] * new), jnp.tanh(new)
    return (o * tanh_c, new), (h, c, i, f, g, o, tanh_c)


def lstm_peephole_backward(p: Weights, saved: Gates, dstate: State) -> Pair:
    """dh', dc' -> dh, dc."""
    _, c, i, f, g, o, tanh_c = saved
    dh, dc = dstate
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + do * p["P_o"]
    di, df, dg = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g)
    da = di, df, dg, do
    return (back_through(da, p["U"]), dc * f + di * p["P_i"] + df * p["P_f"]), da


def lstm_peephole_weights(saved: Gates, da: Gates) -> Weights:
    """h U, and P c at i and f, P_o c' at o."""
    h, c, i, f, g, *_ = saved
    di, df, _, do = da
    new = f * c + i * g  # cheaper than kept
    return {"U": product(h, da), "P_i": total(di * c), "P_f": total(df * c), "P_o": total(do * new)}


def weights(saved: Gates, da: Gates) -> Weights:
    """h U, of the cells whose only sum is a + h U."""
    return {"U": product(saved[0], da)}


CELLS: dict[Step, Cell] = {
    cells.rnn: Cell(1, rnn_forward, rnn_backward, weights),
    cells.rnn_relu: Cell(1, rnn_relu_forward, rnn_relu_backward, weights),
    cells.gru: Cell(3, gru_forward, gru_backward, gru_weights),
    cells.gru_before: Cell(3, gru_before_forward, gru_before_backward, gru_before_weights),
    cells.lstm: Cell(4, lstm_forward, lstm_backward, weights),
    cells.lstm_peephole: Cell(4, lstm_peephole_forward, lstm_peephole_backward, lstm_peephole_weights),
}
