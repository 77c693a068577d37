"""One step of each architecture in PyTorch: (p, a, state) -> state', the equations of ``suite.spec.archs``.

a = x W + b (B, GH) is the input's share, computed for all steps at once; p holds the rest; state holds (B, H) each.
An eager step costs its number of operations, so products and sums are fused where they stay readable.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Weights = dict[str, Tensor]
Step = Callable[[Weights, Tensor, State], State]


def affine(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """x w + b over the last axis of x."""
    return torch.addmm(b, x.flatten(0, -2), w).unflatten(0, x.shape[:-1])


def rnn(p: Weights, a: Tensor, state: State) -> State:
    """h' = tanh(a + h U)."""
    (h,) = state
    return (torch.tanh(torch.addmm(a, h, p["U"])),)


def gru(p: Weights, a: Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U + c), n = tanh(a_n + r (h U_n + c_n)), h' = n + z (h - n)."""
    (h,) = state
    sizes = [2 * h.shape[1], h.shape[1]]
    u = torch.addmm(p["c"], h, p["U"])
    (a_rz, a_n), (u_rz, u_n) = a.split(sizes, 1), u.split(sizes, 1)
    r, z = torch.sigmoid(a_rz + u_rz).chunk(2, 1)
    n = torch.tanh(torch.addcmul(a_n, r, u_n))
    return (torch.lerp(n, h, z),)


def gru_before(p: Weights, a: Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n); U comes in two, U_rz and U_n."""
    (h,) = state
    a_rz, a_n = a.split([2 * h.shape[1], h.shape[1]], 1)
    r, z = torch.sigmoid(torch.addmm(a_rz, h, p["U_rz"])).chunk(2, 1)
    n = torch.tanh(torch.addmm(a_n, r * h, p["U_n"]))
    return (torch.lerp(n, h, z),)


def lstm(p: Weights, a: Tensor, state: State) -> State:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    h, c = state
    a_i, a_f, a_g, a_o = torch.addmm(a, h, p["U"]).chunk(4, 1)
    i, f, g, o = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)
    c = torch.addcmul(f * c, i, g)
    return o * torch.tanh(c), c


def before_loop(step: Step, p: Weights) -> Weights:
    """The weights as a step reads them: gru_before's U cut once: a cut at every step costs a gradient each."""
    if step is not gru_before:
        return p
    width = p["U"].shape[0]
    u_rz, u_n = p["U"].split([2 * width, width], 1)
    return {**p, "U_rz": u_rz, "U_n": u_n}


CELLS: dict[str, Step] = {"rnn": rnn, "gru": gru, "gru_before": gru_before, "lstm": lstm}
