"""A step of each architecture as a pair: forward, and its derivative by hand, the ``step_vjp`` of ``suite.spec.archs``.

    forward(p, a, state)         -> state', saved        a (B, GH), state and saved (B, H) each: what `backward` needs
    backward(p, saved, dstate')  -> dstate, back         back = (da,) or (da, du), (B, GH) each: what `weights` needs
    weights(saved, back)         -> dL/dp by name        saved and back of all steps, (T, B, ...): one product each

da is dL/da, and du is dL/du of u = h U + c where u does not join a in one sum. dr, dz, dn, di, ... are dL/d of what the
gate's sigmoid or tanh takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from backends.tensorflow import cells
from backends.tensorflow.cells import State, Step, Weights

Pair = tuple[State, State]


@dataclass(frozen=True, slots=True)
class Cell:
    """The three functions of an architecture."""

    forward: Callable[[Weights, tf.Tensor, State], Pair]
    backward: Callable[[Weights, State, State], Pair]
    weights: Callable[[State, State], Weights]


def back_through(d: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
    """d U^T."""
    return tf.matmul(d, u, transpose_b=True)


def product(h: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """sum_t h_t^T d_t: h (T, B, H), d (T, B, K) -> (H, K)."""
    return tf.matmul(tf.reshape(h, (-1, h.shape[2])), tf.reshape(d, (-1, d.shape[2])), transpose_a=True)


def total(d: tf.Tensor) -> tf.Tensor:
    """d (T, B, K) summed over steps and rows -> (K,)."""
    return tf.reduce_sum(d, (0, 1))


def rnn_forward(p: Weights, a: tf.Tensor, state: State) -> Pair:
    """h' = tanh(a + h U)."""
    (h,) = state
    new = tf.tanh(a + h @ p["U"])
    return (new,), (h, new)


def rnn_backward(p: Weights, saved: State, dstate: State) -> Pair:
    """dh' -> dh."""
    _, new = saved
    da = dstate[0] * (1 - new**2)
    return (back_through(da, p["U"]),), (da,)


def rnn_relu_forward(p: Weights, a: tf.Tensor, state: State) -> Pair:
    """h' = max(0, a + h U)."""
    (h,) = state
    new = tf.nn.relu(a + h @ p["U"])
    return (new,), (h, new)


def rnn_relu_backward(p: Weights, saved: State, dstate: State) -> Pair:
    """dh' -> dh; the derivative at the kink is 0."""
    _, new = saved
    da = tf.where(new > 0, dstate[0], tf.zeros((), new.dtype))
    return (back_through(da, p["U"]),), (da,)


def gru_forward(p: Weights, a: tf.Tensor, state: State) -> Pair:
    """r, z = sigmoid(a + h U + c), n = tanh(a_n + r (h U_n + c_n)), h' = n + z (h - n)."""
    (h,) = state
    a_r, a_z, a_n = tf.split(a, 3, 1)
    u_r, u_z, u_n = tf.split(h @ p["U"] + p["c"], 3, 1)
    r, z = tf.sigmoid(a_r + u_r), tf.sigmoid(a_z + u_z)
    n = tf.tanh(a_n + r * u_n)
    return (n + z * (h - n),), (h, r, z, n, u_n)


def gru_backward(p: Weights, saved: State, dstate: State) -> Pair:
    """dh' -> dh."""
    h, r, z, n, u_n = saved
    (dh,) = dstate
    dn = dh * (1 - z) * (1 - n**2)
    dz = dh * (h - n) * z * (1 - z)
    dr = dn * u_n * r * (1 - r)
    da = tf.concat([dr, dz, dn], 1)
    du = tf.concat([dr, dz, dn * r], 1)
    return (dh * z + back_through(du, p["U"]),), (da, du)


def gru_weights(saved: State, back: State) -> Weights:
    """u = h U + c."""
    h, *_ = saved
    _, du = back
    return {"U": product(h, du), "c": total(du)}


def gru_before_forward(p: Weights, a: tf.Tensor, state: State) -> Pair:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n)."""
    (h,) = state
    a_r, a_z, a_n = tf.split(a, 3, 1)
    u_r, u_z = tf.split(h @ p["U_gates"], 2, 1)
    r, z = tf.sigmoid(a_r + u_r), tf.sigmoid(a_z + u_z)
    n = tf.tanh(a_n + (r * h) @ p["U_n"])
    return (n + z * (h - n),), (h, r, z, n)


def gru_before_backward(p: Weights, saved: State, dstate: State) -> Pair:
    """dh' -> dh."""
    h, r, z, n = saved
    (dh,) = dstate
    dn = dh * (1 - z) * (1 - n**2)
    drh = back_through(dn, p["U_n"])
    dz = dh * (h - n) * z * (1 - z)
    dr = drh * h * r * (1 - r)
    dgates = tf.concat([dr, dz], 1)
    return (dh * z + drh * r + back_through(dgates, p["U_gates"]),), (tf.concat([dgates, dn], 1),)


def gru_before_weights(saved: State, back: State) -> Weights:
    """h U_gates and (r h) U_n."""
    h, r, *_ = saved
    width = h.shape[2]
    dgates, dn = tf.split(back[0], [2 * width, width], 2)
    return {"U_gates": product(h, dgates), "U_n": product(r * h, dn)}


def lstm_forward(p: Weights, a: tf.Tensor, state: State) -> Pair:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    h, c = state
    a_i, a_f, a_g, a_o = tf.split(a + h @ p["U"], 4, 1)
    i, f, g, o = tf.sigmoid(a_i), tf.sigmoid(a_f), tf.tanh(a_g), tf.sigmoid(a_o)
    new = f * c + i * g
    tanh_c = tf.tanh(new)
    return (o * tanh_c, new), (h, c, i, f, g, o, tanh_c)


def lstm_backward(p: Weights, saved: State, dstate: State) -> Pair:
    """dh', dc' -> dh, dc."""
    _, c, i, f, g, o, tanh_c = saved
    dh, dc = dstate
    dc = dc + dh * o * (1 - tanh_c**2)
    da = tf.concat([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)], 1)
    return (back_through(da, p["U"]), dc * f), (da,)


def lstm_peephole_forward(p: Weights, a: tf.Tensor, state: State) -> Pair:
    """As lstm, but i, f = sigmoid(a + h U + P c) and o = sigmoid(a_o + h U_o + P_o c'): o looks at the new cell."""
    h, c = state
    a_i, a_f, a_g, a_o = tf.split(a + h @ p["U"], 4, 1)
    i, f, g = tf.sigmoid(a_i + p["P_i"] * c), tf.sigmoid(a_f + p["P_f"] * c), tf.tanh(a_g)
    new = f * c + i * g
    o, tanh_c = tf.sigmoid(a_o + p["P_o"] * new), tf.tanh(new)
    return (o * tanh_c, new), (h, c, i, f, g, o, tanh_c)


def lstm_peephole_backward(p: Weights, saved: State, dstate: State) -> Pair:
    """dh', dc' -> dh, dc."""
    _, c, i, f, g, o, tanh_c = saved
    dh, dc = dstate
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c**2) + do * p["P_o"]
    di, df, dg = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2)
    da = tf.concat([di, df, dg, do], 1)
    return (back_through(da, p["U"]), dc * f + di * p["P_i"] + df * p["P_f"]), (da,)


def lstm_peephole_weights(saved: State, back: State) -> Weights:
    """h U, and P c at i and f, P_o c' at o."""
    h, c, i, f, g, *_ = saved
    di, df, _, do = tf.split(back[0], 4, 2)
    new = f * c + i * g  # cheaper than kept
    return {"U": product(h, back[0]), "P_i": total(di * c), "P_f": total(df * c), "P_o": total(do * new)}


def weights(saved: State, back: State) -> Weights:
    """h U, of the cells whose only sum is a + h U."""
    return {"U": product(saved[0], back[0])}


CELLS: dict[Step, Cell] = {
    cells.rnn: Cell(rnn_forward, rnn_backward, weights),
    cells.rnn_relu: Cell(rnn_relu_forward, rnn_relu_backward, weights),
    cells.gru: Cell(gru_forward, gru_backward, gru_weights),
    cells.gru_before: Cell(gru_before_forward, gru_before_backward, gru_before_weights),
    cells.lstm: Cell(lstm_forward, lstm_backward, weights),
    cells.lstm_peephole: Cell(lstm_peephole_forward, lstm_peephole_backward, lstm_peephole_weights),
}
