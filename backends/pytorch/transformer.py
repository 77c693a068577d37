"""The Transformer networks of ``suite.spec.transformer`` in PyTorch, eager, and with torch.compile'd blocks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.pytorch.cells import Weights, affine
from backends.pytorch.layout import Layout
from backends.pytorch.scan import compiler
from suite.spec.archs.layer_norm import EPS
from suite.spec.attention import MASKED
from suite.spec.contract import BOS, EOS, PAD, Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import of
from suite.spec.towers import check_length, sinusoid, towers

if TYPE_CHECKING:
    from backends.pytorch.network import Data

Block = Callable[..., Tensor]


class Blocks:
    """One tower: what its first block reads, its blocks, and the norm after them. It owns no parameters."""

    def __init__(self, net: Net, prefix: str, compiled: Block | None = None) -> None:
        (self._tower,) = (tower for tower in towers(net) if tower.prefix == prefix)
        self._net, self._block, self._compiled = net, compiled or block, compiled is not None
        self.layout: Layout = {}
        self.params: Weights = {}

    def run(
        self,
        p: Weights,
        x: Tensor,
        valid: Tensor,
        masks: Masks = NONE,
        memory: Tensor | None = None,
        memory_valid: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, T) or features (B, T, F), memory (B, M, D) -> (B, T, D), 0 at pads."""
        net, tower, steps, width = self._net, self._tower, x.shape[1], self._net.sizes.hidden
        check_length(net, steps)
        if tower.tokens:
            n = F.embedding(x, p[f"{tower.side}emb/E"]) * width**0.5
        else:
            n = affine(x, p["in/V"], p["in/d"])
        if net.sizes.positions:
            n = n + p[f"{tower.side}pos/E"][:steps] * width**0.5
        else:
            n = n + _sinusoid(steps, width, n.dtype, n.device)
        seen = valid[:, None]
        if tower.causal:
            seen = seen & torch.ones(steps, steps, dtype=torch.bool, device=n.device).tril()
        n = drop(masks, f"{tower.prefix}emb", n)
        for layer in tower.layers(net):
            n = self._block(of(p, layer), n, seen, net.sizes.heads, of(masks, layer), memory, memory_valid)
        return torch.where(valid[..., None], layer_norm(of(p, f"{tower.prefix}ln/"), n), 0.0)

    def ran(self) -> set[str]:
        """What executes."""
        return {"torch.compile inductor blocks" if self._compiled else "torch eager matrix products"}


def make(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Blocks:
    """The tower below ``prefix``, eager."""
    return Blocks(net, prefix)


def make_compiled(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Blocks:
    """The same with every block through torch.compile, one graph for each shape; Unsupported where nothing compiles."""
    return Blocks(net, prefix, compiler(device)(block))


def forward(net: Net, stacks: Mapping[str, Any], p: Weights, batch: Data) -> Tensor:
    """Outputs (B, [T,] O); ``stacks``: `Blocks` by prefix."""
    valid = batch.valid.mask
    if net.signature.kind == "translate":
        assert batch.y_in is not None and batch.y_valid is not None, "a translate batch has y_in and y_lengths"
        memory = stacks["enc/"].run(p, batch.x, valid, batch.masks)
        y = stacks["dec/"].run(p, batch.y_in, batch.y_valid.mask, batch.masks, memory, valid)
    else:
        y = stacks[""].run(p, batch.x, valid, batch.masks)
    if net.signature.kind == "final":
        y = y[torch.arange(len(y), device=y.device), valid.sum(1) - 1]
    return affine(y, p["head/V"], p["head/d"])


def decode(net: Net, stacks: Mapping[str, Any], p: Weights, batch: Data) -> Tensor:
    """Greedy decoding, the prefix computed anew for every token: (B, longest_target) int64.

    The first of equal logits wins; after eos comes pad.
    """
    rows, steps, device = len(batch.x), net.signature.longest_target, batch.x.device
    memory = stacks["enc/"].run(p, batch.x, batch.valid.mask)
    every = torch.ones(rows, steps, dtype=torch.bool, device=device)
    tokens = torch.full((rows, steps + 1), PAD, device=device)  # bos and what has been written
    tokens[:, 0] = BOS
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    for t in range(steps):
        y = stacks["dec/"].run(p, tokens[:, :steps], every, NONE, memory, batch.valid.mask)
        best = affine(y[:, t], p["head/V"], p["head/d"]).argmax(1)
        tokens[:, t + 1] = torch.where(done, PAD, best)
        done = done | (tokens[:, t + 1] == EOS)
    return tokens[:, 1:]


def block(
    p: Weights,
    x: Tensor,
    seen: Tensor,
    heads: int,
    masks: Masks,
    memory: Tensor | None,
    memory_valid: Tensor | None,
) -> Tensor:
    """x (B, T, D), seen (B, T or 1, T), memory (B, M, D) -> (B, T, D)."""
    n = layer_norm(of(p, "ln1/"), x)
    x = x + drop(masks, "attn", attention(of(p, "attn/"), n, n, seen, heads))
    if memory is not None and memory_valid is not None:
        n = layer_norm(of(p, "lnx/"), x)
        x = x + drop(masks, "cross", attention(of(p, "cross/"), n, memory, memory_valid[:, None], heads))
    n = layer_norm(of(p, "ln2/"), x)
    y = affine(F.gelu(affine(n, p["ffn/W1"], p["ffn/b1"]), approximate="tanh"), p["ffn/W2"], p["ffn/b2"])
    return x + drop(masks, "ffn", y)


def layer_norm(p: Weights, x: Tensor) -> Tensor:
    """g (x - mean) / sqrt(var + eps) + s."""
    return F.layer_norm(x, x.shape[-1:], p["g"], p["s"], EPS)


def attention(p: Weights, x: Tensor, memory: Tensor, seen: Tensor, heads: int) -> Tensor:
    """x (B, T, D) reads what is seen (B, T or 1, M) of memory (B, M, D) -> (B, T, D)."""
    q, k, v = (_split(y @ p[w], heads) for y, w in ((x, "Wq"), (memory, "Wk"), (memory, "Wv")))
    scores = torch.where(seen[:, None], q @ k.mT * q.shape[-1] ** -0.5, MASKED)
    z = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    return affine(z, p["Wo"], p["bo"])


def _split(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) -> (B, heads, T, D / heads)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


@functools.cache
def _sinusoid(steps: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The positions (T, D), sent to the device once."""
    with torch.inference_mode(False):  # decoding may ask first, and training later
        return torch.tensor(sinusoid(steps, width), dtype=dtype, device=device)
