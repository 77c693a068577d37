"""What some articles print as a GRU, kept to show what it does: it is not a GRU, and it does not remember.

r, z = sigmoid(x W + h U + b)       h' = (1 - z) r tanh(x W_n + h U_n + b_n)

W (I, 3H)  U (H, 3H)  b (3H); gates in the order r, z, n.

Two things are wrong. The term z h is missing: nothing is carried, the old state acts through the squashed candidate
alone, and z -> 1, which keeps the state of a GRU, erases this one. And r scales what the candidate puts out, where a
GRU's r scales the old state that the candidate reads. Every step multiplies gradients by (1 - z) r <= 1 on top of the
candidate's slope, so they vanish faster than a simple network's. The right equations are in ``gru``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.archs.gru import shapes_before
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Params

State = tuple[Array, ...]


def step(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h (B, H),) -> (h',) and what `step_vjp` needs."""
    (h,) = state
    a_r, a_z, a_n = np.split(x @ p["W"] + h @ p["U"] + p["b"], 3, axis=1)
    r, z, n = sigmoid(a_r), sigmoid(a_z), np.tanh(a_n)
    return ((1 - z) * r * n,), (x, h, r, z, n)


def step_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """dL/dh' -> dL/dx, (dL/dh,), and the step's share of each dL/dparameter."""
    x, h, r, z, n = tape
    (dh,) = dstate
    dr = dh * (1 - z) * n * r * (1 - r)
    dz = -dh * r * n * z * (1 - z)
    dn = dh * (1 - z) * r * (1 - n**2)
    da = np.concatenate([dr, dz, dn], axis=1)  # (B, 3H)
    return da @ p["W"].T, (da @ p["U"].T,), {"W": x.T @ da, "U": h.T @ da, "b": da.sum(0)}


GRU_ARTICLE = Arch(
    name="gru_article",
    source="some articles' misprint of Cho et al. 2014: no carry, r on the candidate's output",
    gates=("r", "z", "n"),
    state=("h",),
    shapes=shapes_before,
    step=step,
    step_vjp=step_vjp,
    bias=(0.0, 0.0, 0.0),
)
