"""Gated recurrent unit, reset after the product, with layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450).

a = LN(x W) g + b                   u = LN(h U) k                       LN as in ``layer_norm``, over all 3H columns
r, z = sigmoid(a + u)               n = tanh(a_n + r u_n)               h' = n + z (h - n)

W (I, 3H)  U (H, 3H)  b, g, k (3H); gates in the order r, z, n; the gains g and k start at 1.

The article's supplement normalises the columns of the two gates apart from the candidate's and gives every LN a bias
of its own; here the 3H columns are normalised together, as its LSTM does with 4H, and there is the one bias b.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.archs.layer_norm import product, product_vjp
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Params

State = tuple[Array, ...]


def shapes(i: int, h: int) -> dict[str, tuple[int, ...]]:
    """Parameter name -> shape for input width ``i`` and hidden width ``h``."""
    return {"W": (i, 3 * h), "U": (h, 3 * h), "b": (3 * h,), "g": (3 * h,), "k": (3 * h,)}


def step(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h (B, H),) -> (h',) and what `step_vjp` needs."""
    (h,) = state
    ln_x, tape_x = product(x, p["W"])
    ln_h, tape_h = product(h, p["U"])
    a_r, a_z, a_n = np.split(ln_x * p["g"] + p["b"], 3, axis=1)
    u_r, u_z, u_n = np.split(ln_h * p["k"], 3, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = np.tanh(a_n + r * u_n)
    return (n + z * (h - n),), (h, ln_x, tape_x, ln_h, tape_h, r, z, n, u_n)


def step_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """dL/dh' -> dL/dx, (dL/dh,), and the step's share of each dL/dparameter."""
    h, ln_x, tape_x, ln_h, tape_h, r, z, n, u_n = tape
    (dh,) = dstate
    dn = dh * (1 - z) * (1 - n**2)
    dz = dh * (h - n) * z * (1 - z)
    dr = dn * u_n * r * (1 - r)
    da = np.concatenate([dr, dz, dn], axis=1)  # (B, 3H)
    du = np.concatenate([dr, dz, dn * r], axis=1)
    dx, dw = product_vjp(tape_x, da * p["g"])
    dh_u, du_w = product_vjp(tape_h, du * p["k"])
    dp = {"W": dw, "U": du_w, "b": da.sum(0), "g": (da * ln_x).sum(0), "k": (du * ln_h).sum(0)}
    return dx, (dh * z + dh_u,), dp


GRU_LN = Arch(
    name="gru_ln",
    source="Cho et al. 2014, reset after the product; Ba, Kiros & Hinton 2016 (arXiv 1607.06450)",
    gates=("r", "z", "n"),
    state=("h",),
    shapes=shapes,
    step=step,
    step_vjp=step_vjp,
    bias=(0.0, 0.0, 0.0),
    expanding=True,
    chrono=(0.0, 1.0, 0.0),
)
