"""Long short-term memory with layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450, eqs. 20-22).

a = LN(x W) g + b                   u = LN(h U) k                       LN as in ``layer_norm``, over all 4H columns
i, f, o = sigmoid(a + u)            g = tanh(a_g + u_g)                 the gate g, not the gain
c' = f c + i g                      h' = o tanh(LN(c') q + s)

W (I, 4H)  U (H, 4H)  b, g, k (4H)  q, s (H); gates in the order i, f, g, o; the gains g, k, q start at 1, b_f too.
The article writes a bias within each of the first two LNs beside b: three vectors whose sum is all that acts, one here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.archs.layer_norm import norm, norm_vjp, product, product_vjp
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Params

State = tuple[Array, ...]


def shapes(i: int, h: int) -> dict[str, tuple[int, ...]]:
    """Parameter name -> shape for input width ``i`` and hidden width ``h``."""
    wide = dict.fromkeys(("b", "g", "k"), (4 * h,))
    return {"W": (i, 4 * h), "U": (h, 4 * h), **wide, "q": (h,), "s": (h,)}


def step(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h, c) (B, H) each -> (h', c') and what `step_vjp` needs."""
    h, c = state
    ln_x, tape_x = product(x, p["W"])
    ln_h, tape_h = product(h, p["U"])
    a_i, a_f, a_g, a_o = np.split(ln_x * p["g"] + p["b"] + ln_h * p["k"], 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c_new = f * c + i * g
    ln_c, tape_c = norm(c_new)
    tanh_c = np.tanh(ln_c * p["q"] + p["s"])
    return (o * tanh_c, c_new), (c, ln_x, tape_x, ln_h, tape_h, i, f, g, o, ln_c, tape_c, tanh_c)


def step_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """(dL/dh', dL/dc') -> dL/dx, (dL/dh, dL/dc), and the step's share of each dL/dparameter."""
    c, ln_x, tape_x, ln_h, tape_h, i, f, g, o, ln_c, tape_c, tanh_c = tape
    dh, dc = dstate
    dm = dh * o * (1 - tanh_c**2)
    dc = dc + norm_vjp(tape_c, dm * p["q"])
    da = np.concatenate(
        [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)], axis=1
    )  # (B, 4H)
    dx, dw = product_vjp(tape_x, da * p["g"])
    dh_u, du = product_vjp(tape_h, da * p["k"])
    dp = {"W": dw, "U": du, "b": da.sum(0), "g": (da * ln_x).sum(0), "k": (da * ln_h).sum(0)}
    return dx, (dh_u, dc * f), dp | {"q": (dm * ln_c).sum(0), "s": dm.sum(0)}


LSTM_LN = Arch(
    name="lstm_ln",
    source="Hochreiter & Schmidhuber 1997; Ba, Kiros & Hinton 2016 (arXiv 1607.06450, eqs. 20-22)",
    gates=("i", "f", "g", "o"),
    state=("h", "c"),
    shapes=shapes,
    step=step,
    step_vjp=step_vjp,
    bias=(0.0, 1.0, 0.0, 0.0),
    expanding=True,
    chrono=(-1.0, 1.0, 0.0, 0.0),
)
