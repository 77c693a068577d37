"""The three networks of ``suite.spec.network`` in PyTorch, on top of stacks that may be any implementation.

label      embed -> stack -> head at every step
final      embed -> stack -> head on the top layer's final state (both directions side by side)
translate  src_emb -> enc ; tgt_emb -> dec, started layer by layer from enc's final state -> head at every step
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.pytorch.cells import affine
from backends.pytorch.layout import Layout
from backends.pytorch.scan import Named, Steps
from suite.spec.contract import BOS, EOS, PAD, Batch, Net, Signature
from suite.spec.params import stack

UNSCORED = -100  # the target that cross_entropy leaves out: loss and gradient are zero there


class Runner(Protocol):
    """A stack of recurrent layers: its parameters by canonical name in its native layout, and how to run it."""

    layout: Layout
    params: Named

    def run(self, x: Tensor, steps: Steps, state: Named | None, taps: Named | None = None) -> tuple[Tensor, Named]:
        """x (B, T, I) -> top outputs (B, T, F) and final states."""
        ...

    def ran(self) -> set[str]:
        """What executed so far, one phrase for each path taken."""
        ...


Stacks = Mapping[str, Runner]  # "" or "enc/", "dec/"


@dataclass(frozen=True, slots=True)
class Data:
    """A batch on its device. ``y`` holds UNSCORED where the loss does not count, ``scored`` is kept for "mse"."""

    x: Tensor
    steps: Steps
    y: Tensor
    scored: Tensor
    count: int
    y_in: Tensor | None
    y_steps: Steps | None


def put(sig: Signature, batch: Batch, dtype: torch.dtype, device: str) -> Data:
    """Host to device. Everything that only the host can know is decided here: full rows, and the loss's count."""

    def tensor(a: object, kind: torch.dtype) -> Tensor:
        return torch.tensor(a, dtype=kind, device=device)

    scored = tensor(batch.scored, torch.bool)
    if sig.loss == "mse":
        y = tensor(batch.y, dtype)
    else:
        y = tensor(batch.y, torch.int64).masked_fill(~scored, UNSCORED)
    x = tensor(batch.x, torch.int64 if sig.tokens else dtype)
    y_in = y_steps = None
    if batch.y_in is not None and batch.y_lengths is not None:
        y_in, y_steps = tensor(batch.y_in, torch.int64), _steps(batch.y_lengths, batch.y_in.shape[1], device)
    return Data(x, _steps(batch.lengths, x.shape[1], device), y, scored, batch.count, y_in, y_steps)


def _steps(lengths: object, steps: int, device: str) -> Steps:
    host = torch.tensor(lengths, dtype=torch.int64)
    valid = torch.arange(steps) < host[:, None]
    return Steps(valid.to(device), None if bool(valid.all()) else host)


def forward(
    net: Net, stacks: Stacks, p: Named, data: Data, state: Named | None = None, taps: Named | None = None
) -> tuple[Tensor, Named]:
    """Outputs (B, [T,] O) and the final states. ``taps``: see `flow`."""
    if net.signature.kind != "translate":
        x = F.embedding(data.x, p["emb/E"]) if net.signature.tokens else data.x
        y, final = stacks[""].run(x, data.steps, state, taps)
        if net.signature.kind == "final":
            y = torch.cat([final[d.prefix + "h"] for d in stack(net)[-1]], 1)
        return affine(y, p["head/V"], p["head/d"]), final
    assert data.y_in is not None, "a translate batch has y_in"
    assert data.y_steps is not None, "a translate batch has y_lengths"
    _, enc = stacks["enc/"].run(F.embedding(data.x, p["src_emb/E"]), data.steps, state, taps)
    y, dec = stacks["dec/"].run(F.embedding(data.y_in, p["tgt_emb/E"]), data.y_steps, _handed_over(enc), taps)
    return affine(y, p["head/V"], p["head/d"]), enc | dec


def loss_rows(sig: Signature, outputs: Tensor, data: Data) -> Tensor:
    """Each row's summed loss (B,), already divided so that their sum is the loss."""
    if sig.loss == "mse":
        error = torch.where(data.scored[:, None], outputs - data.y, 0.0)
        return error.square().sum(1) / (data.count * outputs.shape[1])
    ce = F.cross_entropy(outputs.flatten(0, -2), data.y.flatten(), ignore_index=UNSCORED, reduction="none")
    return ce.view(len(outputs), -1).sum(1) / data.count


def decode(net: Net, stacks: Stacks, p: Named, data: Data) -> Tensor:
    """Greedy decoding: (B, longest_target). The first of equal logits wins; after eos comes pad."""
    rows, device = len(data.x), data.x.device
    _, final = stacks["enc/"].run(F.embedding(data.x, p["src_emb/E"]), data.steps, None)
    state = _handed_over(final)
    one = Steps(torch.ones(rows, 1, dtype=torch.bool, device=device), None)
    token = torch.full((rows,), BOS, device=device)
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    out = []
    for _ in range(net.signature.longest_target):
        y, state = stacks["dec/"].run(F.embedding(token[:, None], p["tgt_emb/E"]), one, state)
        logits = torch.addmm(p["head/d"], y[:, 0], p["head/V"])
        token = torch.where(done, PAD, logits.argmax(1))
        out.append(token)
        done = done | (token == EOS)
    return torch.stack(out, 1)


def _handed_over(final: Named) -> Named:
    """The decoder's first state: the encoder's last, layer by layer."""
    return {name.replace("enc/", "dec/", 1): s for name, s in final.items()}
