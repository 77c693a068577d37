"""Long short-term memory whose gates look at the cell through peepholes.

i, f = sigmoid(x W + h U + b + P c)     g = tanh(x W_g + h U_g + b_g)     c' = f c + i g
o = sigmoid(x W_o + h U_o + b_o + P_o c')                                 h' = o tanh(c')

W (I, 4H)  U (H, 4H)  b (4H), gates in the order i, f, g, o; P (3, H), rows i, f, o, element by element: i and f look
at the old cell, o at the new one. b_f starts at 1.

Source: Gers & Schmidhuber 2000; Gers, Schraudolph & Schmidhuber 2002. They leave out the last tanh, which is kept here
as in Greff et al. 2017 (arXiv 1503.04069).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.archs import lstm
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Params

State = tuple[Array, ...]


def shapes(i: int, h: int) -> dict[str, tuple[int, ...]]:
    """Parameter name -> shape for input width ``i`` and hidden width ``h``."""
    return {**lstm.shapes(i, h), "P": (3, h)}


def step(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h, c) (B, H) each -> (h', c') and what `step_vjp` needs."""
    h, c = state
    a_i, a_f, a_g, a_o = np.split(x @ p["W"] + h @ p["U"] + p["b"], 4, axis=1)
    p_i, p_f, p_o = p["P"]
    i, f, g = sigmoid(a_i + p_i * c), sigmoid(a_f + p_f * c), np.tanh(a_g)
    c_new = f * c + i * g
    o, tanh_c = sigmoid(a_o + p_o * c_new), np.tanh(c_new)
    return (o * tanh_c, c_new), (x, h, c, i, f, g, o, c_new, tanh_c)


def step_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """(dL/dh', dL/dc') -> dL/dx, (dL/dh, dL/dc), and the step's share of each dL/dparameter."""
    x, h, c, i, f, g, o, c_new, tanh_c = tape
    dh, dc = dstate
    p_i, p_f, p_o = p["P"]
    do = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c**2) + do * p_o
    di, df, dg = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2)
    da = np.concatenate([di, df, dg, do], axis=1)  # (B, 4H)
    dp = {"W": x.T @ da, "U": h.T @ da, "b": da.sum(0)}
    dp["P"] = np.stack([(di * c).sum(0), (df * c).sum(0), (do * c_new).sum(0)])
    return da @ p["W"].T, (da @ p["U"].T, dc * f + di * p_i + df * p_f), dp


LSTM_PEEPHOLE = Arch(
    name="lstm_peephole",
    source="Gers & Schmidhuber 2000; Gers, Schraudolph & Schmidhuber 2002; o looks at the new cell",
    gates=("i", "f", "g", "o"),
    state=("h", "c"),
    shapes=shapes,
    step=step,
    step_vjp=step_vjp,
    bias=(0.0, 1.0, 0.0, 0.0),
    chrono=(-1.0, 1.0, 0.0, 0.0),
)
