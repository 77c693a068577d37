"""Gated recurrent unit, with the reset gate after or before the recurrent product.

Both       r = sigmoid(x W_r + b_r + h U_r [+ c_r])
           z = sigmoid(x W_z + b_z + h U_z [+ c_z])
           h' = n + z (h - n)                                   that is, (1 - z) n + z h
after      n = tanh(x W_n + b_n + r (h U_n + c_n))
before     n = tanh(x W_n + b_n + (r h) U_n)

W (I, 3H)  U (H, 3H)  b (3H)  and, reset after, c (3H); gates in the order r, z, n.

Source: Cho et al. 2014, arXiv 1406.1078, eqs. 5-8. Its first version resets after the product (cuDNN, PyTorch,
Keras' default), its third before (Chung et al. 2014, arXiv 1412.3555). c_r and c_z repeat b_r and b_z in
function; they are kept because cuDNN, ``torch.nn.GRU`` and ``keras.layers.GRU`` train all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Params

State = tuple[Array, ...]


def shapes_after(i: int, h: int) -> dict[str, tuple[int, ...]]:
    """Parameter name -> shape, reset after."""
    return {"W": (i, 3 * h), "U": (h, 3 * h), "b": (3 * h,), "c": (3 * h,)}


def shapes_before(i: int, h: int) -> dict[str, tuple[int, ...]]:
    """Parameter name -> shape, reset before."""
    return {"W": (i, 3 * h), "U": (h, 3 * h), "b": (3 * h,)}


def step_after(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h (B, H),) -> (h',) and what `step_after_vjp` needs."""
    (h,) = state
    a_r, a_z, a_n = np.split(x @ p["W"] + p["b"], 3, axis=1)  # (B, H) each
    u_r, u_z, u_n = np.split(h @ p["U"] + p["c"], 3, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = np.tanh(a_n + r * u_n)
    return (n + z * (h - n),), (x, h, r, z, n, u_n)


def step_after_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """dL/dh' -> dL/dx, (dL/dh,), and the step's share of each dL/dparameter."""
    x, h, r, z, n, u_n = tape
    (dh,) = dstate
    dn = dh * (1 - z) * (1 - n**2)
    dz = dh * (h - n) * z * (1 - z)
    dr = dn * u_n * r * (1 - r)
    da = np.concatenate([dr, dz, dn], axis=1)  # (B, 3H)
    du = np.concatenate([dr, dz, dn * r], axis=1)
    dp = {"W": x.T @ da, "U": h.T @ du, "b": da.sum(0), "c": du.sum(0)}
    return da @ p["W"].T, (dh * z + du @ p["U"].T,), dp


def step_before(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """x (B, I), (h (B, H),) -> (h',) and what `step_before_vjp` needs."""
    (h,) = state
    width = h.shape[1]
    a_r, a_z, a_n = np.split(x @ p["W"] + p["b"], 3, axis=1)
    u_r, u_z = np.split(h @ p["U"][:, : 2 * width], 2, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = np.tanh(a_n + (r * h) @ p["U"][:, 2 * width :])
    return (n + z * (h - n),), (x, h, r, z, n)


def step_before_vjp(p: Params, tape: Any, dstate: State) -> tuple[Array, State, Params]:
    """dL/dh' -> dL/dx, (dL/dh,), and the step's share of each dL/dparameter."""
    x, h, r, z, n = tape
    (dh,) = dstate
    width = h.shape[1]
    u_gates, u_n = p["U"][:, : 2 * width], p["U"][:, 2 * width :]
    dn = dh * (1 - z) * (1 - n**2)
    drh = dn @ u_n.T
    dz = dh * (h - n) * z * (1 - z)
    dr = drh * h * r * (1 - r)
    dgates = np.concatenate([dr, dz], axis=1)  # (B, 2H)
    da = np.concatenate([dgates, dn], axis=1)  # (B, 3H)
    du = np.concatenate([h.T @ dgates, (r * h).T @ dn], axis=1)
    dp = {"W": x.T @ da, "U": du, "b": da.sum(0)}
    return da @ p["W"].T, (dh * z + drh * r + dgates @ u_gates.T,), dp


GRU = Arch(
    name="gru",
    source="Cho et al. 2014 (arXiv 1406.1078), reset after the product",
    gates=("r", "z", "n"),
    state=("h",),
    shapes=shapes_after,
    step=step_after,
    step_vjp=step_after_vjp,
    bias=(0.0, 0.0, 0.0),
    chrono=(0.0, 1.0, 0.0),
)

GRU_BEFORE = Arch(
    name="gru_before",
    source="Cho et al. 2014 (arXiv 1406.1078), reset before the product",
    gates=("r", "z", "n"),
    state=("h",),
    shapes=shapes_before,
    step=step_before,
    step_vjp=step_before_vjp,
    bias=(0.0, 0.0, 0.0),
    chrono=(0.0, 1.0, 0.0),
)
