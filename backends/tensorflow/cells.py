"""One step of each architecture in TensorFlow: (p, a, state) -> state', the equations of ``suite.spec.archs``.

a = x W + b (B, GH) is the input's share, computed for all steps at once; p holds the rest; state holds (B, H) each.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

State = tuple[tf.Tensor, ...]
Weights = dict[str, tf.Tensor]
Step = Callable[[Weights, tf.Tensor, State], State]


def rnn(p: Weights, a: tf.Tensor, state: State) -> State:
    """h' = tanh(a + h U)."""
    (h,) = state
    return (tf.tanh(a + h @ p["U"]),)


def gru(p: Weights, a: tf.Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U + c), n = tanh(a_n + r (h U_n + c_n)), h' = n + z (h - n)."""
    (h,) = state
    width = h.shape[1]
    a_rz, a_n = tf.split(a, [2 * width, width], 1)
    u_rz, u_n = tf.split(h @ p["U"] + p["c"], [2 * width, width], 1)
    r, z = tf.split(tf.sigmoid(a_rz + u_rz), 2, 1)
    n = tf.tanh(a_n + r * u_n)
    return (n + z * (h - n),)


def gru_before(p: Weights, a: tf.Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n); U comes in two, U_rz and U_n."""
    (h,) = state
    width = h.shape[1]
    a_rz, a_n = tf.split(a, [2 * width, width], 1)
    r, z = tf.split(tf.sigmoid(a_rz + h @ p["U_rz"]), 2, 1)
    n = tf.tanh(a_n + (r * h) @ p["U_n"])
    return (n + z * (h - n),)


def lstm(p: Weights, a: tf.Tensor, state: State) -> State:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    h, c = state
    a_i, a_f, a_g, a_o = tf.split(a + h @ p["U"], 4, 1)
    i, f, g, o = tf.sigmoid(a_i), tf.sigmoid(a_f), tf.tanh(a_g), tf.sigmoid(a_o)
    c = f * c + i * g
    return o * tf.tanh(c), c


def before_loop(step: Step, p: Weights) -> Weights:
    """The weights as a step reads them: gru_before's U cut once: a cut at every step costs a gradient each."""
    if step is not gru_before:
        return p
    width = p["U"].shape[0]
    u_rz, u_n = tf.split(p["U"], [2 * width, width], 1)
    return {**p, "U_rz": u_rz, "U_n": u_n}


CELLS: dict[str, Step] = {"rnn": rnn, "gru": gru, "gru_before": gru_before, "lstm": lstm}
