"""A step of each architecture and its derivative by hand, after ``step`` and ``step_vjp`` of ``suite.spec.archs``.

A tape (T, B, .) is made of blocks of H columns, each called by a letter: "rz" are two of them side by side, (B, 2H),
and "r|z" the same above each other, (2, B, H). dr, dz, dn, di, ... are dL/d of what stands within a gate's sigmoid or
tanh; k is what they are dL/ds' times.

    sigmoid_backward(d, s) = d s (1 - s)        tanh_backward(d, t) = d (1 - t^2)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backends.pytorch import cells
from backends.pytorch.cells import State, Step, Weights

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input
Parts = Sequence[Tensor]


@dataclass(frozen=True, slots=True)
class Cell:
    """The four functions of an architecture; each fills what it is given last.

    forward   one step: (p, a, state, tape, new) each cut for it, new (B, H) each
    factors   many steps at once: (p, tape, state, new, k), of tape and k each letter, (steps, B, H)
    backward  one step: (p, k, tape, dstate, dy, before), k and tape cut for it; before = dL/ds_{t-1}, (B, H) each;
              dy (B, H) is what h_{t-1} has from elsewhere, dL/dy_{t-1} above all
    weights   after the loop: (da, tape, state, new), (T, B, .) each -> dL/dp in the order of ``names``
    """

    forward: Callable[..., None]
    factors: Callable[..., None]
    backward: Callable[..., None]
    weights: Callable[..., State]
    names: tuple[str, ...]  # the weights of the recurrence
    columns: str  # the tape's blocks
    inputs: str  # those that become dL/da, in the order of a's
    forward_cuts: tuple[str, str]  # of a and of the tape, separated by blanks
    backward_cuts: tuple[str, str]  # of k and of the tape
    kept: tuple[str, ...]  # what carries each part of the state on, which is 1 at a pad; "": nothing does
    turned: bool = False  # the weights' last block comes first in what a step reads


def product(h: Tensor, d: Tensor) -> Tensor:
    """sum_t h_t^T d_t: h (T, B, H), d (T, B, N) -> (H, N)."""
    return h.flatten(0, 1).t() @ d.flatten(0, 1)


def weights(da: Tensor, tape: Tensor, state: Parts, new: Parts) -> State:
    """dU = h^T da, of the cells whose only sum is a + h U."""
    return (product(state[0], da),)


def rnn_forward(p: Weights, a: Parts, state: Parts, tape: Parts, new: Parts) -> None:
    """h' = tanh(a + h U)."""
    torch.addmm(a[0], state[0], p["U"], out=new[0]).tanh_()


def rnn_factors(p: Weights, tape: Parts, state: Parts, new: Parts, k: Parts) -> None:
    """d = dh' (1 - h'^2)."""
    tanh_backward(new[0].new_ones(()), new[0], grad_input=k[0])


def rnn_backward(p: Weights, k: Parts, tape: Parts, dstate: Parts, dy: Tensor, before: Parts) -> None:
    """dh = d U^T."""
    torch.mul(dstate[0], k[0], out=tape[0])
    torch.addmm(dy, tape[0], p["U_T"], out=before[0])


def rnn_relu_forward(p: Weights, a: Parts, state: Parts, tape: Parts, new: Parts) -> None:
    """h' = max(0, a + h U)."""
    torch.addmm(a[0], state[0], p["U"], out=new[0]).relu_()


def rnn_relu_factors(p: Weights, tape: Parts, state: Parts, new: Parts, k: Parts) -> None:
    """d = dh' where h' > 0."""
    torch.sign(new[0], out=k[0])


def gru_forward(p: Weights, a: Parts, state: Parts, tape: Parts, new: Parts) -> None:
    """u = h U + c, r, z = sigmoid(a + u), n = tanh(a_n + r u_n), h' = n + z (h - n)."""
    (a_rz, a_n), (h,), (u_all, u, r, rz, z, n) = a, state, tape
    torch.addmm(p["c"], h, p["U"], out=u_all)
    rz.add_(a_rz).sigmoid_()
    torch.addcmul(a_n, r, u, out=n).tanh_()
    torch.lerp(n, h, z, out=new[0])


def gru_factors(p: Weights, tape: Parts, state: Parts, new: Parts, k: Parts) -> None:
    """dn = dh' (1 - z) (1 - n^2), dz = dh' (h - n) z (1 - z), dr = dn u r (1 - r), du = dn r."""
    (u, r, z, n), (h,), (k_u, k_r, k_z, k_n) = tape, state, k
    tanh_backward(1 - z, n, grad_input=k_n)
    sigmoid_backward(h - n, z, grad_input=k_z)
    sigmoid_backward(k_n * u, r, grad_input=k_r)
    torch.mul(k_n, r, out=k_u)


def gru_backward(p: Weights, k: Parts, tape: Parts, dstate: Parts, dy: Tensor, before: Parts) -> None:
    """dh = z dh' + [du, dr, dz] U^T."""
    z, d, d_urz = tape
    torch.addcmul(dy, dstate[0], z, out=before[0])
    torch.mul(dstate[0], k[0], out=d)
    before[0].addmm_(d_urz, p["U_T"])


def gru_weights(da: Tensor, tape: Tensor, state: Parts, new: Parts) -> State:
    """dU = h^T [du, dr, dz], dc = sum [du, dr, dz]."""
    d_urz = tape[..., : 3 * state[0].shape[2]]
    return product(state[0], d_urz), d_urz.sum((0, 1))


def gru_before_forward(p: Weights, a: Parts, state: Parts, tape: Parts, new: Parts) -> None:
    """r, z = sigmoid(a + h U), q = r h, n = tanh(a_n + q U_n), h' = n + z (h - n)."""
    (a_rz, a_n), (h,), (rz, r, z, n, q) = a, state, tape
    torch.addmm(a_rz, h, p["U_gates"], out=rz).sigmoid_()
    torch.mul(r, h, out=q)
    torch.addmm(a_n, q, p["U_n"], out=n).tanh_()
    torch.lerp(n, h, z, out=new[0])


def gru_before_factors(p: Weights, tape: Parts, state: Parts, new: Parts, k: Parts) -> None:
    """dn = dh' (1 - z) (1 - n^2), dz = dh' (h - n) z (1 - z), dr = dq h r (1 - r)."""
    (r, z, n, _), (h,), (k_r, k_z, k_n, _) = tape, state, k
    tanh_backward(1 - z, n, grad_input=k_n)
    sigmoid_backward(h - n, z, grad_input=k_z)
    sigmoid_backward(h, r, grad_input=k_r)


def gru_before_backward(p: Weights, k: Parts, tape: Parts, dstate: Parts, dy: Tensor, before: Parts) -> None:
    """dq = dn U_n^T, dh = z dh' + r dq + [dr, dz] U^T."""
    (k_r, k_zn), (z, r, d_zn, d_n, d_rz) = k, tape
    torch.addcmul(dy, dstate[0], z, out=before[0])
    torch.mul(dstate[0], k_zn, out=d_zn)
    dq = d_n @ p["U_n_T"]
    before[0].addcmul_(dq, r)
    torch.mul(dq, k_r, out=r)
    before[0].addmm_(d_rz, p["U_gates_T"])


def gru_before_weights(da: Tensor, tape: Tensor, state: Parts, new: Parts) -> State:
    """dU = [h^T [dr, dz], q^T dn]."""
    h, q = state[0], tape.chunk(4, 2)[3]
    d_rz, d_n = da.split([2 * h.shape[2], h.shape[2]], 2)
    return (torch.cat([product(h, d_rz), product(q, d_n)], 1),)


def lstm_forward(p: Weights, a: Parts, state: Parts, tape: Parts, new: Parts) -> None:
    """i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, t = tanh(c'), h' = o t."""
    (h, c), (gates, i_f, i, f, g, o, t), (h_new, c_new) = state, tape, new
    torch.addmm(a[0], h, p["U"], out=gates)
    i_f.sigmoid_()
    g.tanh_()
    o.sigmoid_()
    torch.mul(f, c, out=c_new).addcmul_(i, g)
    torch.tanh(c_new, out=t)
    torch.mul(o, t, out=h_new)


def lstm_factors(p: Weights, tape: Parts, state: Parts, new: Parts, k: Parts) -> None:
    """dc' += dh' o (1 - t^2), di = dc' g i (1 - i), df = dc' c f (1 - f), dg = dc' i (1 - g^2), do = dh' t o (1 - o)"""
    (i, f, g, o, t), (_, c), (k_i, k_f, k_g, k_o, k_t) = tape, state, k
    sigmoid_backward(g, i, grad_input=k_i)
    sigmoid_backward(c, f, grad_input=k_f)
    tanh_backward(i, g, grad_input=k_g)
    sigmoid_backward(t, o, grad_input=k_o)
    tanh_backward(o, t, grad_input=k_t)


def lstm_backward(p: Weights, k: Parts, tape: Parts, dstate: Parts, dy: Tensor, before: Parts) -> None:
    """dc = f dc', dh = [di, df, dg, do] U^T."""
    (k_ifg, k_o, k_t), (f, d_ifg, d_o, d), (dh, dc) = k, tape, dstate
    dc = torch.addcmul(dc, dh, k_t)
    torch.mul(dc, f, out=before[1])
    torch.mul(dc, k_ifg, out=d_ifg)
    torch.mul(dh, k_o, out=d_o)
    torch.addmm(dy, d, p["U_T"], out=before[0])


def lstm_peephole_forward(p: Weights, a: Parts, state: Parts, tape: Parts, new: Parts) -> None:
    """As lstm, but i, f = sigmoid(a + h U + P c) and o = sigmoid(a_o + h U_o + P_o c'): o looks at the new cell."""
    (h, c), (gates, i_f, i, f, g, o, t), (h_new, c_new) = state, tape, new
    torch.addmm(a[0], h, p["U"], out=gates)
    i.addcmul_(p["P_i"], c)
    f.addcmul_(p["P_f"], c)
    i_f.sigmoid_()
    g.tanh_()
    torch.mul(f, c, out=c_new).addcmul_(i, g)
    o.addcmul_(p["P_o"], c_new).sigmoid_()
    torch.tanh(c_new, out=t)
    torch.mul(o, t, out=h_new)


def lstm_peephole_factors(p: Weights, tape: Parts, state: Parts, new: Parts, k: Parts) -> None:
    """As lstm, and dc' += do P_o, dc = f dc' + di P_i + df P_f: f becomes all of dc / dc'."""
    lstm_factors(p, tape, state, new, k)
    f, (k_i, k_f, _, k_o, k_t) = tape[1], k
    k_t.addcmul_(k_o, p["P_o"])
    f.addcmul_(k_i, p["P_i"]).addcmul_(k_f, p["P_f"])


def lstm_peephole_weights(da: Tensor, tape: Tensor, state: Parts, new: Parts) -> State:
    """dU = h^T da, dP = sum [di c, df c, do c']."""
    d_i, d_f, _, d_o = da.chunk(4, 2)
    looked = ((d_i, state[1]), (d_f, state[1]), (d_o, new[1]))
    return product(state[0], da), torch.stack([(d * c).sum((0, 1)) for d, c in looked])


RNN = Cell(rnn_forward, rnn_factors, rnn_backward, weights, ("U",), "h", "h", ("h", "h"), ("h", "h"), ("",))
GRU = Cell(
    *(gru_forward, gru_factors, gru_backward, gru_weights, ("U", "c")),
    columns="urzn",
    inputs="rzn",
    forward_cuts=("rz n", "urz u r rz z n"),
    backward_cuts=("u|r|z|n", "z u|r|z|n urz"),
    kept=("z",),
    turned=True,
)
GRU_BEFORE = Cell(
    *(gru_before_forward, gru_before_factors, gru_before_backward, gru_before_weights, ("U",)),
    columns="rznq",
    inputs="rzn",
    forward_cuts=("rz n", "rz r z n q"),
    backward_cuts=("r z|n", "z r z|n n rz"),
    kept=("z",),
)
LSTM = Cell(
    *(lstm_forward, lstm_factors, lstm_backward, weights, ("U",)),
    columns="ifgot",
    inputs="ifgo",
    forward_cuts=("ifgo", "ifgo if i f g o t"),
    backward_cuts=("i|f|g o t", "f i|f|g o ifgo"),
    kept=("", "f"),
)
CELLS: dict[Step, Cell] = {
    cells.rnn: RNN,
    cells.rnn_relu: replace(RNN, forward=rnn_relu_forward, factors=rnn_relu_factors),
    cells.gru: GRU,
    cells.gru_before: GRU_BEFORE,
    cells.lstm: LSTM,
    cells.lstm_peephole: replace(
        LSTM,
        forward=lstm_peephole_forward,
        factors=lstm_peephole_factors,
        weights=lstm_peephole_weights,
        names=("U", "P"),
    ),
}
