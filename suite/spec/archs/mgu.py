"""Minimal gated unit: one gate that both resets and updates (Zhou, Wu, Zhang & Zhou 2016, arXiv 1603.09420, eq. 8).

f = sigmoid(x W_f + h U_f + b_f)
n = tanh(x W_n + (f h) U_n + b_n)
h' = h + f (n - h)                                              that is, (1 - f) h + f n

W (I, 2H)  U (H, 2H)  b (2H); gates in the order f, n. The name f is the article's ("forget"): f = 1 forgets.
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
    return {"W": (i, 2 * h), "U": (h, 2 * h), "b": (2 * h,)}


def step(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h (B, H),) -> (h',) and what `step_vjp` needs."""
    (h,) = state
    a_f, a_n = np.split(x @ p["W"] + p["b"], 2, axis=1)
    u_f, u_n = np.split(p["U"], 2, axis=1)
    f = sigmoid(a_f + h @ u_f)
    n = np.tanh(a_n + (f * h) @ u_n)
    return (h + f * (n - h),), (x, h, f, n)


def step_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """dL/dh' -> dL/dx, (dL/dh,), and the step's share of each dL/dparameter."""
    x, h, f, n = tape
    (dh,) = dstate
    u_f, u_n = np.split(p["U"], 2, axis=1)
    dn = dh * f * (1 - n**2)
    dfh = dn @ u_n.T
    df = (dh * (n - h) + dfh * h) * f * (1 - f)
    da = np.concatenate([df, dn], axis=1)  # (B, 2H)
    dp = {"W": x.T @ da, "U": np.concatenate([h.T @ df, (f * h).T @ dn], axis=1), "b": da.sum(0)}
    return da @ p["W"].T, (dh * (1 - f) + dfh * f + df @ u_f.T,), dp


MGU = Arch(
    name="mgu",
    source="Zhou, Wu, Zhang & Zhou 2016 (arXiv 1603.09420)",
    gates=("f", "n"),
    state=("h",),
    shapes=shapes,
    step=step,
    step_vjp=step_vjp,
    bias=(0.0, 0.0),
    chrono=(-1.0, 0.0),
)
