"""One step of each architecture in PyTorch: (p, a, state) -> state', the equations of ``suite.spec.archs``.

a (B, GH) is the input's share, from `inputs` for all steps at once; p holds the rest; state holds (B, H) each.
An eager step costs its number of operations, so products and sums are fused where they stay readable.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from suite.spec.archs.layer_norm import EPS

State = tuple[Tensor, ...]
Weights = dict[str, Tensor]
Step = Callable[[Weights, Tensor, State], State]


def affine(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """x w + b over the last axis of x."""
    return torch.addmm(b, x.flatten(0, -2), w).unflatten(0, x.shape[:-1])


def layer_norm(v: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    """LN(v) gain + bias over the last axis of v, centred first: the fused kernel takes mean / size from v / size."""
    return functional.layer_norm(v - v.mean(-1, keepdim=True), v.shape[-1:], gain, bias, EPS)


def rnn(p: Weights, a: Tensor, state: State) -> State:
    """h' = tanh(a + h U)."""
    (h,) = state
    return (torch.tanh(torch.addmm(a, h, p["U"])),)


def rnn_relu(p: Weights, a: Tensor, state: State) -> State:
    """h' = max(0, a + h U)."""
    (h,) = state
    return (torch.relu(torch.addmm(a, h, p["U"])),)


def gru(p: Weights, a: Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U + c), n = tanh(a_n + r (h U_n + c_n)), h' = n + z (h - n)."""
    (h,) = state
    return _reset_after(a, torch.addmm(p["c"], h, p["U"]), h)


def gru_ln(p: Weights, a: Tensor, state: State) -> State:
    """r, z = sigmoid(a + u), n = tanh(a_n + r u_n), h' = n + z (h - n) with u = LN(h U) k."""
    (h,) = state
    return _reset_after(a, layer_norm(h @ p["U"], p["k"]), h)


def _reset_after(a: Tensor, u: Tensor, h: Tensor) -> State:
    sizes = [2 * h.shape[1], h.shape[1]]
    (a_rz, a_n), (u_rz, u_n) = a.split(sizes, 1), u.split(sizes, 1)
    r, z = torch.sigmoid(a_rz + u_rz).chunk(2, 1)
    n = torch.tanh(torch.addcmul(a_n, r, u_n))
    return (torch.lerp(n, h, z),)


def gru_before(p: Weights, a: Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U), n = tanh(a_n + (r h) U_n), h' = n + z (h - n)."""
    (h,) = state
    a_rz, a_n = a.split([2 * h.shape[1], h.shape[1]], 1)
    r, z = torch.sigmoid(torch.addmm(a_rz, h, p["U_gates"])).chunk(2, 1)
    n = torch.tanh(torch.addmm(a_n, r * h, p["U_n"]))
    return (torch.lerp(n, h, z),)


def gru_article(p: Weights, a: Tensor, state: State) -> State:
    """r, z = sigmoid(a + h U), h' = (1 - z) r tanh(a_n + h U_n)."""
    (h,) = state
    a_rz, a_n = torch.addmm(a, h, p["U"]).split([2 * h.shape[1], h.shape[1]], 1)
    r, z = torch.sigmoid(a_rz).chunk(2, 1)
    return ((1 - z) * r * torch.tanh(a_n),)


def mgu(p: Weights, a: Tensor, state: State) -> State:
    """f = sigmoid(a + h U), n = tanh(a_n + (f h) U_n), h' = h + f (n - h)."""
    (h,) = state
    a_f, a_n = a.chunk(2, 1)
    f = torch.sigmoid(torch.addmm(a_f, h, p["U_gates"]))
    n = torch.tanh(torch.addmm(a_n, f * h, p["U_n"]))
    return (torch.lerp(h, n, f),)


def lstm(p: Weights, a: Tensor, state: State) -> State:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, h' = o tanh(c')."""
    h, c = state
    c, o = _remember(torch.addmm(a, h, p["U"]), c)
    return o * torch.tanh(c), c


def lstm_ln(p: Weights, a: Tensor, state: State) -> State:
    """As lstm, with LN(h U) k for h U and h' = o tanh(LN(c') q + s)."""
    h, c = state
    c, o = _remember(a + layer_norm(h @ p["U"], p["k"]), c)
    return o * torch.tanh(layer_norm(c, p["q"], p["s"])), c


def _remember(a: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """c' and o of an LSTM, from all its gates' sums."""
    a_i, a_f, a_g, a_o = a.chunk(4, 1)
    i, f, g, o = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)
    return torch.addcmul(f * c, i, g), o


def lstm_peephole(p: Weights, a: Tensor, state: State) -> State:
    """As lstm, but i, f = sigmoid(a + h U + P c) and o = sigmoid(a_o + h U_o + P_o c'): o looks at the new cell."""
    h, c = state
    a_i, a_f, a_g, a_o = torch.addmm(a, h, p["U"]).chunk(4, 1)
    i, f = torch.sigmoid(torch.addcmul(a_i, p["P_i"], c)), torch.sigmoid(torch.addcmul(a_f, p["P_f"], c))
    c = torch.addcmul(f * c, i, torch.tanh(a_g))
    o = torch.sigmoid(torch.addcmul(a_o, p["P_o"], c))
    return o * torch.tanh(c), c


def inputs(step: Step, p: Weights, x: Tensor) -> Tensor:
    """The input's share a, for x (..., I) of any number of steps: x W + b, or LN(x W) g + b where there is a gain g."""
    if "g" in p:
        return layer_norm(x @ p["W"], p["g"], p["b"])
    return affine(x, p["W"], p["b"])


def before_loop(step: Step, p: Weights) -> Weights:
    """The weights as a step reads them, cut once: a cut at every step costs a gradient each."""
    if step is lstm_peephole:
        p_i, p_f, p_o = p["P"].unbind(0)
        return {**p, "P_i": p_i, "P_f": p_f, "P_o": p_o}
    if step not in (gru_before, mgu):
        return p
    width = p["U"].shape[0]
    u_gates, u_n = p["U"].split([p["U"].shape[1] - width, width], 1)
    return {**p, "U_gates": u_gates, "U_n": u_n}


CELLS: dict[str, Step] = {
    "rnn": rnn,
    "rnn_relu": rnn_relu,
    "gru": gru,
    "gru_before": gru_before,
    "gru_article": gru_article,
    "gru_ln": gru_ln,
    "mgu": mgu,
    "lstm": lstm,
    "lstm_peephole": lstm_peephole,
    "lstm_ln": lstm_ln,
}
