"""Simple recurrent network (Elman 1990, Cognitive Science 14, eq. 1 with tanh).

h' = tanh(x W + h U + b)            W (I, H)  U (H, H)  b (H)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.contract import Array, Params

State = tuple[Array, ...]


def shapes(i: int, h: int) -> dict[str, tuple[int, ...]]:
    """Parameter name -> shape for input width ``i`` and hidden width ``h``."""
    return {"W": (i, h), "U": (h, h), "b": (h,)}


def step(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h (B, H),) -> (h',) and what `step_vjp` needs."""
    (h,) = state
    new = np.tanh(x @ p["W"] + h @ p["U"] + p["b"])
    return (new,), (x, h, new)


def step_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """dL/dh' -> dL/dx, (dL/dh,), and the step's share of each dL/dparameter."""
    x, h, new = tape
    da = dstate[0] * (1 - new**2)
    return da @ p["W"].T, (da @ p["U"].T,), {"W": x.T @ da, "U": h.T @ da, "b": da.sum(0)}


RNN = Arch(
    name="rnn",
    source="Elman 1990, tanh",
    gates=("h",),
    state=("h",),
    shapes=shapes,
    step=step,
    step_vjp=step_vjp,
    bias=(0.0,),
)
