"""The decoders of ``suite.spec.decoder`` in PyTorch: plain, with additive or with general attention.

With additive attention the whole step, [x; c] through every layer, is one cell of ``backends.pytorch.scan``: what is
read, [y; c], stands first in its state, because a scan puts out the first part of the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from backends.pytorch.cells import CELLS, State, Weights, before_loop, inputs
from backends.pytorch.scan import Named, Valid, scan
from suite.spec.attention import MASKED
from suite.spec.contract import Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import of, stack


class Memory(NamedTuple):
    """What a decoder attends to: the encoder's outputs (B, T, F), the valid ones (B, T), and their keys (B, T, A)."""

    outputs: Tensor
    valid: Tensor
    keys: Tensor | None


def remember(net: Net, p: Weights, outputs: Tensor, valid: Tensor) -> Memory:
    """The memory; the keys are computed once for all steps."""
    return Memory(outputs, valid, outputs @ p["attn/Wk"] if net.arch.attention == "additive" else None)


def softmax(e: Tensor, valid: Tensor) -> Tensor:
    """Weights (..., T) over the valid steps."""
    return torch.where(valid, e, MASKED).softmax(-1)


def additive(p: Weights, q: Tensor, memory: Memory) -> Tensor:
    """e = tanh(q Wq + keys) v: q (B, H) -> the context (B, F)."""
    assert memory.keys is not None, "remember() made them"
    a = softmax(torch.tanh((q @ p["Wq"]).unsqueeze(1) + memory.keys) @ p["v"], memory.valid)
    return torch.bmm(a.unsqueeze(1), memory.outputs).squeeze(1)


def general(p: Weights, y: Tensor, memory: Memory) -> Tensor:
    """e = (y Wa) . memory: y (B, S, H) -> tanh([c; y] Wc) (B, S, H)."""
    a = softmax((y @ p["Wa"]) @ memory.outputs.mT, memory.valid.unsqueeze(1))
    return torch.tanh(torch.cat([a @ memory.outputs, y], -1) @ p["Wc"])


def decoder(
    net: Net,
    run: Callable[..., tuple[Tensor, Named]],
    p: Weights,
    x: Tensor,
    valid: Valid,
    memory: Memory,
    state: Named,
    taps: Named | None = None,
    masks: Masks = NONE,
) -> tuple[Tensor, Named]:
    """x (B, S, D) -> what is read (B, S, R), and the final state; ``run``: the plain stack's."""
    own = of(p, "attn/")
    if net.arch.attention == "additive":
        return _additive(net, own, p, drop(masks, "dec/layer0", x), valid, memory, state, taps, masks)
    y, final = run(x, valid, state, taps, masks)
    return (torch.where(valid.mask.unsqueeze(2), general(own, y, memory), 0.0) if own else y), final


def _additive(
    net: Net,
    own: Weights,
    p: Weights,
    x: Tensor,
    valid: Valid,
    memory: Memory,
    state: Named,
    taps: Named | None,
    masks: Masks,
) -> tuple[Tensor, Named]:
    cell, parts = CELLS[net.arch.equations], len(net.arch.state)
    layers = [layer[0].prefix for layer in stack(net, "dec/")]
    weights = [before_loop(cell, of(p, prefix)) for prefix in layers]
    names = [prefix + s for prefix in layers for s in net.arch.state]
    above = [None, *(masks.get(prefix.removesuffix("/")) for prefix in layers[1:])]
    eps = [taps[name] for name in names] if taps else []  # they join where a layer's state is new
    widths = [x.shape[2]] + [net.sizes.hidden] * len(eps)

    def step(_: Weights, a: Tensor, state: State) -> State:
        x, *added = a.split(widths, 1)
        old = [state[k : k + parts] for k in range(1, len(state), parts)]
        c = additive(own, old[-1][0], memory)
        y, new = torch.cat([x, c], 1), State()
        for w, s, mask in zip(weights, old, above, strict=True):
            now = cell(w, inputs(cell, w, y if mask is None else y * mask), s)
            new += tuple(n + added.pop(0) for n in now) if added else now
            y = new[-parts]
        return torch.cat([y, c], 1), *new

    read = x.new_zeros(len(x), net.sizes.hidden + memory.outputs.shape[2])
    first = (read, *(state[name] for name in names))
    mask = None if valid.packing is None else valid.mask.t().unsqueeze(2)
    y, (_, *last) = scan(step, {}, torch.cat([x.transpose(0, 1), *eps], -1), mask, first, False, None)
    return y.transpose(0, 1), dict(zip(names, last, strict=True))
