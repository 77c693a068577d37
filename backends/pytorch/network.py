"""The three networks of ``suite.spec.network`` and their greedy decoding, in PyTorch."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.pytorch import attention, transformer
from backends.pytorch.cells import Weights, affine
from backends.pytorch.layout import Layout
from backends.pytorch.scan import Named, Valid
from suite.spec.contract import BOS, EOS, PAD, Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import bridge, state_shapes
from suite.spec.towers import check_state


class Data(NamedTuple):
    """A batch on its device, shapes as in ``suite.spec.contract.Batch``.

    ``scored`` are the targets that the loss counts, ``scale`` is 1 / number of their values.
    """

    x: Tensor
    valid: Valid
    y: Tensor
    scored: Tensor
    scale: float
    y_in: Tensor | None
    y_valid: Valid | None
    masks: Masks


class Runner(Protocol):
    """A stack of recurrent layers, however it is implemented. ``params``: name -> the tensor that ``run`` reads."""

    layout: Layout
    params: Weights

    def run(
        self, x: Tensor, valid: Valid, state: Named, taps: Named | None = None, masks: Masks = NONE
    ) -> tuple[Tensor, Named]:
        """x (B, T, I), state (B, H) each -> top outputs (B, T, F) and final states; taps (T, B, H): see `flow`."""
        ...

    def ran(self) -> set[str]:
        """What executes, one phrase for each path taken."""
        ...


Stacks = dict[str, Runner]  # by prefix: {"": ...} or {"enc/": ..., "dec/": ...}


def zero_state(net: Net, rows: int, dtype: torch.dtype, device: torch.device | str) -> Named:
    """The state every sequence starts from."""
    return {name: torch.zeros(s, dtype=dtype, device=device) for name, s in state_shapes(net, rows).items()}


def forward(
    net: Net, stacks: Stacks, p: Weights, batch: Data, state: Named, taps: Named | None = None
) -> tuple[Tensor, Named]:
    """Outputs (B, [T,] O) and the final state."""
    if net.arch.family == "transformer":
        check_state(net, state)
        return transformer.forward(net, stacks, p, batch), {}
    if net.signature.kind == "translate":
        assert batch.y_in is not None and batch.y_valid is not None, "a translate batch has y_in and y_lengths"
        memory, enc, first = _encode(net, stacks, p, batch, state, taps)
        x = F.embedding(batch.y_in, p["tgt_emb/E"])
        features, dec = attention.decoder(
            net, stacks["dec/"].run, p, x, batch.y_valid, memory, first, taps, batch.masks
        )
        final = enc | dec
    else:
        x = F.embedding(batch.x, p["emb/E"]) if net.signature.tokens else batch.x
        features, final = stacks[""].run(x, batch.valid, state, taps, batch.masks)
        if net.signature.kind == "final":
            features = _at_ends(net, features, batch.valid.mask)
    return affine(drop(batch.masks, "head", features), p["head/V"], p["head/d"]), final


def decode(net: Net, stacks: Stacks, p: Weights, batch: Data) -> Tensor:
    """Greedy decoding: (B, longest_target) int64. The first of equal logits wins; after eos comes pad."""
    if net.arch.family == "transformer":
        return transformer.decode(net, stacks, p, batch)
    rows, d = len(batch.x), p["head/d"]
    batch = batch._replace(masks=NONE)  # dropout is for training
    memory, _, state = _encode(net, stacks, p, batch, zero_state(net, rows, d.dtype, d.device))
    one = Valid(torch.ones(rows, 1, dtype=torch.bool, device=d.device))
    token = torch.full((rows,), BOS, device=d.device)
    done = torch.zeros(rows, dtype=torch.bool, device=d.device)
    out = []
    for _ in range(net.signature.longest_target):
        x = F.embedding(token[:, None], p["tgt_emb/E"])
        y, state = attention.decoder(net, stacks["dec/"].run, p, x, one, memory, state)
        best = affine(y[:, 0], p["head/V"], d).argmax(1)
        token = torch.where(done, PAD, best)
        out.append(token)
        done = done | (token == EOS)
    return torch.stack(out, 1)


def _encode(
    net: Net, stacks: Stacks, p: Weights, batch: Data, state: Named, taps: Named | None = None
) -> tuple[attention.Memory, Named, Named]:
    """What the decoder attends to, the encoder's final state, and the state that the decoder starts from."""
    y, final = stacks["enc/"].run(F.embedding(batch.x, p["src_emb/E"]), batch.valid, state, taps, batch.masks)
    return attention.remember(net, p, y, batch.valid.mask), final, {to: final[s] for to, s in bridge(net).items()}


def _at_ends(net: Net, y: Tensor, valid: Tensor) -> Tensor:
    """y (B, T, F) at the step where each direction ends: forward at the last valid one, backward at the first."""
    hidden = net.sizes.hidden
    last = y[torch.arange(len(y), device=y.device), valid.sum(1) - 1]
    return torch.cat([last[:, :hidden], y[:, 0, hidden:]], 1)
