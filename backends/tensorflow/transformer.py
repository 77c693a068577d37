"""The Transformer networks of ``suite.spec.transformer`` in TensorFlow operations, in a tf.function or under XLA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from backends.tensorflow.cells import Weights
from backends.tensorflow.layout import Layout
from suite.spec.archs.layer_norm import EPS
from suite.spec.archs.transformer import GELU_CUBE, GELU_SCALE
from suite.spec.attention import MASKED
from suite.spec.contract import BOS, EOS, PAD, Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import of
from suite.spec.towers import check_length, sinusoid, towers

if TYPE_CHECKING:
    from backends.tensorflow.network import Data


class Blocks:
    """One tower: what its first block reads, its blocks, and the norm after them. It owns no variables."""

    def __init__(self, net: Net, prefix: str, compiled: bool) -> None:
        (self._tower,) = (tower for tower in towers(net) if tower.prefix == prefix)
        self._net, self.compiled = net, compiled
        self.layout: Layout = {}
        self.params: Weights = {}

    def run(
        self,
        p: Weights,
        x: tf.Tensor,
        valid: tf.Tensor,
        masks: Masks = NONE,
        memory: tf.Tensor | None = None,
        memory_valid: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Tokens (B, T) or features (B, T, F), memory (B, M, D) -> (B, T, D), 0 at pads."""
        net, tower, steps, width = self._net, self._tower, x.shape[1], self._net.sizes.hidden
        check_length(net, steps)
        n = tf.gather(p[f"{tower.side}emb/E"], x) * width**0.5 if tower.tokens else _affine(x, p["in/V"], p["in/d"])
        if net.sizes.positions:
            n += p[f"{tower.side}pos/E"][:steps] * width**0.5
        else:
            n += tf.constant(sinusoid(steps, width), n.dtype)
        seen = valid[:, None] & np.tri(steps, dtype=bool) if tower.causal else valid[:, None]
        n = drop(masks, f"{tower.prefix}emb", n)
        for layer in tower.layers(net):
            n = block(of(p, layer), n, seen, net.sizes.heads, of(masks, layer), memory, memory_valid)
        return tf.where(valid[..., None], layer_norm(of(p, f"{tower.prefix}ln/"), n), tf.zeros((), n.dtype))

    def reader(self) -> Blocks:
        """These layers: they read as they train."""
        return self

    def ran(self) -> set[str]:
        """What executes."""
        return {f"matrix products in a tf.function{' compiled by XLA' * self.compiled}"}


def make(net: Net, prefix: str, dtype: tf.DType, device: str) -> Blocks:
    """The tower below ``prefix``, in a tf.function."""
    return Blocks(net, prefix, compiled=False)


def make_compiled(net: Net, prefix: str, dtype: tf.DType, device: str) -> Blocks:
    """The same, compiled by XLA together with everything around it."""
    return Blocks(net, prefix, compiled=True)


def forward(net: Net, stacks: Mapping[str, Any], p: Weights, batch: Data) -> tf.Tensor:
    """Outputs (B, [T,] O); ``stacks``: `Blocks` by prefix."""
    if net.signature.kind == "translate":
        assert batch.y_in is not None and batch.y_valid is not None, "a translate batch has y_in and y_lengths"
        memory = stacks["enc/"].run(p, batch.x, batch.valid, batch.masks)
        y = stacks["dec/"].run(p, batch.y_in, batch.y_valid, batch.masks, memory, batch.valid)
    else:
        y = stacks[""].run(p, batch.x, batch.valid, batch.masks)
    if net.signature.kind == "final":
        y = tf.gather(y, tf.reduce_sum(tf.cast(batch.valid, tf.int32), axis=1) - 1, batch_dims=1)
    return _affine(y, p["head/V"], p["head/d"])


def decode(net: Net, stacks: Mapping[str, Any], p: Weights, batch: Data) -> tf.Tensor:
    """Greedy decoding, the prefix computed anew for every token: (B, longest_target) int64.

    The first of equal logits wins; after eos comes pad.
    """
    rows, steps = batch.x.shape[0], net.signature.longest_target
    memory, every = stacks["enc/"].run(p, batch.x, batch.valid), tf.ones((rows, steps), tf.bool)

    def body(t: tf.Tensor, tokens: tf.Tensor, done: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """``tokens`` (B, S + 1): bos and what has been written."""
        y = stacks["dec/"].run(p, tokens[:, :steps], every, NONE, memory, batch.valid)
        logits = _affine(tf.gather(y, t, axis=1), p["head/V"], p["head/d"])
        best = tf.math.top_k(logits, 1).indices[:, 0]  # of equals, the lower index is promised to come first
        token = tf.where(done, tf.constant(PAD, tf.int64), tf.cast(best, tf.int64))
        return t + 1, tf.where(tf.range(steps + 1) == t + 1, token[:, None], tokens), done | (token == EOS)

    bos = tf.where(tf.range(steps + 1) == 0, tf.constant(BOS, tf.int64), tf.constant(PAD, tf.int64))
    start = (tf.constant(0), tf.tile(bos[None], (rows, 1)), tf.zeros((rows,), tf.bool))
    _, tokens, _ = tf.while_loop(lambda t, *_: t < steps, body, start, maximum_iterations=steps)
    return tokens[:, 1:]


def block(
    p: Weights,
    x: tf.Tensor,
    seen: tf.Tensor,
    heads: int,
    masks: Masks,
    memory: tf.Tensor | None,
    memory_valid: tf.Tensor | None,
) -> tf.Tensor:
    """x (B, T, D), seen (B, T or 1, T), memory (B, M, D) -> (B, T, D)."""
    n = layer_norm(of(p, "ln1/"), x)
    x += drop(masks, "attn", attention(of(p, "attn/"), n, n, seen, heads))
    if memory is not None and memory_valid is not None:
        n = layer_norm(of(p, "lnx/"), x)
        x += drop(masks, "cross", attention(of(p, "cross/"), n, memory, memory_valid[:, None], heads))
    n = layer_norm(of(p, "ln2/"), x)
    y = _affine(gelu(_affine(n, p["ffn/W1"], p["ffn/b1"])), p["ffn/W2"], p["ffn/b2"])
    return x + drop(masks, "ffn", y)


def gelu(a: tf.Tensor) -> tf.Tensor:
    """The form with tanh. tf.nn.gelu rounds 0.044715 to float32, whatever it is given: 1e-9 off in float64."""
    return 0.5 * a * (1.0 + tf.tanh(GELU_SCALE * (a + GELU_CUBE * (a * a * a))))


def layer_norm(p: Weights, x: tf.Tensor) -> tf.Tensor:
    """g (x - mean) / sqrt(var + eps) + s, in two passes."""
    d = x - tf.reduce_mean(x, -1, keepdims=True)
    return d * tf.math.rsqrt(tf.reduce_mean(d * d, -1, keepdims=True) + EPS) * p["g"] + p["s"]


def attention(p: Weights, x: tf.Tensor, memory: tf.Tensor, seen: tf.Tensor, heads: int) -> tf.Tensor:
    """x (B, T, D) reads what is seen (B, T or 1, M) of memory (B, M, D) -> (B, T, D)."""
    q, k, v = (_split(tf.tensordot(y, p[w], 1), heads) for y, w in ((x, "Wq"), (memory, "Wk"), (memory, "Wv")))
    scores = tf.matmul(q, k, transpose_b=True) * q.shape[-1] ** -0.5
    a = tf.nn.softmax(tf.where(seen[:, None], scores, tf.constant(MASKED, x.dtype)))
    z = tf.reshape(tf.transpose(a @ v, (0, 2, 1, 3)), x.shape)
    return _affine(z, p["Wo"], p["bo"])


def _split(x: tf.Tensor, heads: int) -> tf.Tensor:
    """(B, T, D) -> (B, heads, T, D / heads)."""
    rows, steps, width = x.shape
    return tf.transpose(tf.reshape(x, (rows, steps, heads, width // heads)), (0, 2, 1, 3))


def _affine(x: tf.Tensor, w: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """x (..., I) w (I, O) + b (O)."""
    return tf.tensordot(x, w, 1) + b
