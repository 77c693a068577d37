"""Long short-term memory with a forget gate and no peepholes.

i, f, o = sigmoid(x W + h U + b)    g = tanh(x W_g + h U_g + b_g)
c' = f c + i g                      h' = o tanh(c')

W (I, 4H)  U (H, 4H)  b (4H), one bias; gates in the order i, f, g, o; b_f starts at 1.

Source: Hochreiter & Schmidhuber 1997 with the forget gate of Gers, Schmidhuber & Cummins 2000; the forget bias of 1
follows Jozefowicz et al. 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Params

State = tuple[Array, ...]


def shapes(i: int, h: int) -> dict[str, tuple[int, ...]]:
    """Parameter name -> shape for input width ``i`` and hidden width ``h``."""
    return {"W": (i, 4 * h), "U": (h, 4 * h), "b": (4 * h,)}


def step(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h, c) (B, H) each -> (h', c') and what `step_vjp` needs."""
    h, c = state
    a_i, a_f, a_g, a_o = np.split(x @ p["W"] + h @ p["U"] + p["b"], 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c_new = f * c + i * g
    tanh_c = np.tanh(c_new)
    return (o * tanh_c, c_new), (x, h, c, i, f, g, o, tanh_c)


def step_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """(dL/dh', dL/dc') -> dL/dx, (dL/dh, dL/dc), and the step's share of each dL/dparameter."""
    x, h, c, i, f, g, o, tanh_c = tape
    dh, dc = dstate
    dc = dc + dh * o * (1 - tanh_c**2)
    da = np.concatenate(
        [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)], axis=1
    )  # (B, 4H)
    dp = {"W": x.T @ da, "U": h.T @ da, "b": da.sum(0)}
    return da @ p["W"].T, (da @ p["U"].T, dc * f), dp


LSTM = Arch(
    name="lstm",
    source="Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000; no peepholes",
    gates=("i", "f", "g", "o"),
    state=("h", "c"),
    shapes=shapes,
    step=step,
    step_vjp=step_vjp,
    bias=(0.0, 1.0, 0.0, 0.0),
    chrono=(-1.0, 1.0, 0.0, 0.0),
)
