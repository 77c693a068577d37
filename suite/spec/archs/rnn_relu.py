"""Recurrent network of rectified linear units (Le, Jaitly & Hinton 2015, arXiv 1504.00941).

h' = max(0, x W + h U + b)          W (I, H)  U (H, H)  b (H)

At the kink, a = 0, the derivative is taken as 0. Le et al. start U at the identity (IRNN): ``Init("identity")``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.archs.rnn import shapes
from suite.spec.contract import Array, Params

State = tuple[Array, ...]


def step(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h (B, H),) -> (h',) and what `step_vjp` needs."""
    (h,) = state
    a = x @ p["W"] + h @ p["U"] + p["b"]
    on = a.real > 0
    return (np.where(on, a, 0),), (x, h, on)


def step_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """dL/dh' -> dL/dx, (dL/dh,), and the step's share of each dL/dparameter."""
    x, h, on = tape
    da = np.where(on, dstate[0], 0)
    return da @ p["W"].T, (da @ p["U"].T,), {"W": x.T @ da, "U": h.T @ da, "b": da.sum(0)}


RNN_RELU = Arch(
    name="rnn_relu",
    source="Le, Jaitly & Hinton 2015 (arXiv 1504.00941), rectified linear",
    gates=("h",),
    state=("h",),
    shapes=shapes,
    step=step,
    step_vjp=step_vjp,
    bias=(0.0,),
)
