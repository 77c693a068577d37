"""The Transformer networks of ``suite.spec.transformer`` in JAX: pure functions, which XLA compiles as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from backends.jax.cells import Weights
from backends.jax.layout import identity
from suite.spec.archs.layer_norm import EPS
from suite.spec.attention import MASKED
from suite.spec.contract import BOS, EOS, PAD, Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import of
from suite.spec.towers import check_length, shapes, sinusoid, towers

if TYPE_CHECKING:
    from backends.jax.network import Data


class Blocks:
    """One tower: what its first block reads, its blocks, and the norm after them."""

    def __init__(self, net: Net, prefix: str) -> None:
        (self._tower,) = (tower for tower in towers(net) if tower.prefix == prefix)
        self._net = net
        self.layout = identity(name for name in shapes(net) if name.startswith(f"{prefix}layer"))

    def run(
        self,
        p: Weights,
        x: jax.Array,
        valid: jax.Array,
        masks: Masks = NONE,
        memory: jax.Array | None = None,
        memory_valid: jax.Array | None = None,
    ) -> jax.Array:
        """Tokens (B, T) or features (B, T, F), memory (B, M, D) -> (B, T, D), 0 at pads."""
        net, tower, steps, width = self._net, self._tower, x.shape[1], self._net.sizes.hidden
        check_length(net, steps)
        n = p[f"{tower.side}emb/E"][x] * width**0.5 if tower.tokens else x @ p["in/V"] + p["in/d"]
        if net.sizes.positions:
            n += p[f"{tower.side}pos/E"][:steps] * width**0.5
        else:
            n += jnp.asarray(sinusoid(steps, width), n.dtype)
        seen = valid[:, None] & np.tri(steps, dtype=bool) if tower.causal else valid[:, None]
        n = drop(masks, f"{tower.prefix}emb", n)
        for layer in tower.layers(net):
            n = block(of(p, layer), n, seen, net.sizes.heads, of(masks, layer), memory, memory_valid)
        return jnp.where(valid[..., None], layer_norm(of(p, f"{tower.prefix}ln/"), n), 0)

    def ran(self) -> set[str]:
        """What executes."""
        return {"jax.jit of matrix products"}


def make(net: Net, prefix: str) -> Blocks:
    """The tower below ``prefix``."""
    return Blocks(net, prefix)


def forward(net: Net, stacks: Mapping[str, Any], p: Weights, batch: Data) -> jax.Array:
    """Outputs (B, [T,] O); ``stacks``: `Blocks` by prefix."""
    if net.signature.kind == "translate":
        assert batch.y_in is not None and batch.y_valid is not None, "a translate batch has y_in and y_lengths"
        memory = stacks["enc/"].run(p, batch.x, batch.valid, batch.masks)
        y = stacks["dec/"].run(p, batch.y_in, batch.y_valid, batch.masks, memory, batch.valid)
    else:
        y = stacks[""].run(p, batch.x, batch.valid, batch.masks)
    if net.signature.kind == "final":
        y = jnp.take_along_axis(y, (batch.valid.sum(1) - 1)[:, None, None], axis=1)[:, 0]
    return y @ p["head/V"] + p["head/d"]


def decode(net: Net, stacks: Mapping[str, Any], p: Weights, batch: Data) -> jax.Array:
    """Greedy decoding, the prefix computed anew for every token: (B, longest_target) int32.

    The first of equal logits wins; after eos comes pad.
    """
    rows, steps = len(batch.x), net.signature.longest_target
    memory, every = stacks["enc/"].run(p, batch.x, batch.valid), jnp.ones((rows, steps), bool)

    def step(carry: tuple[jax.Array, jax.Array], t: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        y_in, done = carry
        y = stacks["dec/"].run(p, y_in, every, NONE, memory, batch.valid)
        best = jnp.argmax(y[:, t] @ p["head/V"] + p["head/d"], axis=-1).astype(jnp.int32)
        token = jnp.where(done, PAD, best)
        return (jnp.where(jnp.arange(steps) == t + 1, token[:, None], y_in), done | (token == EOS)), token

    start = jnp.full((rows, steps), PAD, jnp.int32).at[:, 0].set(BOS), jnp.zeros(rows, bool)
    _, out = lax.scan(step, start, jnp.arange(steps))
    return out.T


def block(
    p: Weights,
    x: jax.Array,
    seen: jax.Array,
    heads: int,
    masks: Masks,
    memory: jax.Array | None,
    memory_valid: jax.Array | None,
) -> jax.Array:
    """x (B, T, D), seen (B, T or 1, T), memory (B, M, D) -> (B, T, D)."""
    n = layer_norm(of(p, "ln1/"), x)
    x = x + drop(masks, "attn", attention(of(p, "attn/"), n, n, seen, heads))
    if memory is not None and memory_valid is not None:
        n = layer_norm(of(p, "lnx/"), x)
        x = x + drop(masks, "cross", attention(of(p, "cross/"), n, memory, memory_valid[:, None], heads))
    n = layer_norm(of(p, "ln2/"), x)
    y = jax.nn.gelu(n @ p["ffn/W1"] + p["ffn/b1"], approximate=True) @ p["ffn/W2"] + p["ffn/b2"]
    return x + drop(masks, "ffn", y)


def layer_norm(p: Weights, x: jax.Array) -> jax.Array:
    """g (x - mean) / sqrt(var + eps) + s, in two passes."""
    d = x - x.mean(-1, keepdims=True)
    return d / jnp.sqrt((d * d).mean(-1, keepdims=True) + EPS) * p["g"] + p["s"]


def attention(p: Weights, x: jax.Array, memory: jax.Array, seen: jax.Array, heads: int) -> jax.Array:
    """x (B, T, D) reads what is seen (B, T or 1, M) of memory (B, M, D) -> (B, T, D)."""
    q, k, v = (_split(y @ p[w], heads) for y, w in ((x, "Wq"), (memory, "Wk"), (memory, "Wv")))
    scores = jnp.einsum("bthd,bmhd->bhtm", q, k) * q.shape[-1] ** -0.5
    a = jax.nn.softmax(jnp.where(seen[:, None], scores, MASKED), axis=-1)
    return jnp.einsum("bhtm,bmhd->bthd", a, v).reshape(x.shape) @ p["Wo"] + p["bo"]


def _split(x: jax.Array, heads: int) -> jax.Array:
    """(B, T, D) -> (B, T, heads, D / heads)."""
    return x.reshape(*x.shape[:2], heads, -1)
