"""One step of each architecture in TensorFlow: (p, a, state) -> state', the equations of ``suite.spec.archs``.

a (B, GH) is the input's share, from `inputs` for all steps at once; p holds the rest; state holds (B, H) each.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from suite.spec.archs.layer_norm import EPS

State = tuple[tf.Tensor, ...]
Weights = dict[str, tf.Tensor]
Step = Callable[[Weights, tf.Tensor, State], State]


def layer_norm(v: tf.Tensor) -> tf.Tensor:
    """LN(v) over the last axis of v."""
    d = v - tf.reduce_mean(v, -1, keepdims=True)
    return d / tf.sqrt(tf.reduce_mean(d * d, -1, keepdims=True) + EPS)


def rnn(p: Weights, a: tf.Tensor, state: State) -> State:
    """h' = tanh(a + h U)."""
    (h,) = state
    return (tf.tanh(a + h @ p["U"]),)


def rnn_relu(p: Weights, a: tf.Tensor, state: State) -> State:
    """h' = max(0, a + h U)."""
    (h,) = state
    return (tf.nn.relu(a + h @ p["U"]),)


def gru(p: Weights, a: tf.Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U + c), n = tanh(a_n + r (h U_n + c_n)), h' = n + z (h - n)."""
    (h,) = state
    return _reset_after(a, h @ p["U"] + p["c"], h)


def gru_ln(p: Weights, a: tf.Tensor, state: State) -> State:
    """r, z = sigmoid(a + u), n = tanh(a_n + r u_n), h' = n + z (h - n) with u = LN(h U) k."""
    (h,) = state
    return _reset_after(a, layer_norm(h @ p["U"]) * p["k"], h)


def _reset_after(a: tf.Tensor, u: tf.Tensor, h: tf.Tensor) -> State:
    width = h.shape[1]
    a_rz, a_n = tf.split(a, [2 * width, width], 1)
    u_rz, u_n = tf.split(u, [2 * width, width], 1)
    r, z = tf.split(tf.sigmoid(a_rz + u_rz), 2, 1)
    n = tf.tanh(a_n + r * u_n)
    return (n + z * (h - n),)


def gru_before(p: Weights, a: tf.Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n)."""
    (h,) = state
    width = h.shape[1]
    a_rz, a_n = tf.split(a, [2 * width, width], 1)
    r, z = tf.split(tf.sigmoid(a_rz + h @ p["U_gates"]), 2, 1)
    n = tf.tanh(a_n + (r * h) @ p["U_n"])
    return (n + z * (h - n),)


def gru_article(p: Weights, a: tf.Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U), h' = (1 - z) r tanh(a_n + h U_n)."""
    (h,) = state
    width = h.shape[1]
    a_rz, a_n = tf.split(a + h @ p["U"], [2 * width, width], 1)
    r, z = tf.split(tf.sigmoid(a_rz), 2, 1)
    return ((1 - z) * r * tf.tanh(a_n),)


def mgu(p: Weights, a: tf.Tensor, state: State) -> State:
    """f = sigmoid(a + h U), n = tanh(a_n + (f h) U_n), h' = h + f (n - h)."""
    (h,) = state
    a_f, a_n = tf.split(a, 2, 1)
    f = tf.sigmoid(a_f + h @ p["U_gates"])
    n = tf.tanh(a_n + (f * h) @ p["U_n"])
    return (h + f * (n - h),)


def lstm(p: Weights, a: tf.Tensor, state: State) -> State:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    h, c = state
    c, o = _remember(a + h @ p["U"], c)
    return o * tf.tanh(c), c


def lstm_ln(p: Weights, a: tf.Tensor, state: State) -> State:
    """As lstm, with LN(h U) k for h U and h' = o tanh(LN(c') q + s)."""
    h, c = state
    c, o = _remember(a + layer_norm(h @ p["U"]) * p["k"], c)
    return o * tf.tanh(layer_norm(c) * p["q"] + p["s"]), c


def _remember(a: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """c' and o of an LSTM, from all its gates' sums."""
    a_i, a_f, a_g, a_o = tf.split(a, 4, 1)
    i, f, g, o = tf.sigmoid(a_i), tf.sigmoid(a_f), tf.tanh(a_g), tf.sigmoid(a_o)
    return f * c + i * g, o


def lstm_peephole(p: Weights, a: tf.Tensor, state: State) -> State:
    """As lstm, but i, f = sigmoid(a + h U + P c) and o = sigmoid(a_o + h U_o + P_o c'): o looks at the new cell."""
    h, c = state
    a_i, a_f, a_g, a_o = tf.split(a + h @ p["U"], 4, 1)
    i, f, g = tf.sigmoid(a_i + p["P_i"] * c), tf.sigmoid(a_f + p["P_f"] * c), tf.tanh(a_g)
    c = f * c + i * g
    return tf.sigmoid(a_o + p["P_o"] * c) * tf.tanh(c), c


def inputs(step: Step, p: Weights, x: tf.Tensor) -> tf.Tensor:
    """The input's share a, for x (..., I) of any number of steps: x W + b, or LN(x W) g + b where there is a gain g."""
    if "g" in p:
        return layer_norm(tf.tensordot(x, p["W"], 1)) * p["g"] + p["b"]
    return tf.tensordot(x, p["W"], 1) + p["b"]


def before_loop(step: Step, p: Weights) -> Weights:
    """The weights as a step reads them, cut once: a cut at every step costs a gradient each."""
    if step is lstm_peephole:
        p_i, p_f, p_o = tf.unstack(p["P"])
        return {**p, "P_i": p_i, "P_f": p_f, "P_o": p_o}
    if step not in (gru_before, mgu):
        return p
    width = p["U"].shape[0]
    u_gates, u_n = tf.split(p["U"], [p["U"].shape[1] - width, width], 1)
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
