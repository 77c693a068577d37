"""The decoders of ``suite.spec.decoder`` in TensorFlow: plain, with additive or with general attention.

With additive attention the whole step, [x; c] through every layer, is one cell of ``backends.tensorflow.scan``: what is
read, [y; c], stands first in its state, because a scan puts out the first part of the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from backends.tensorflow.cells import CELLS, State, Weights, before_loop, inputs
from backends.tensorflow.scan import Named, scan
from suite.spec.attention import MASKED
from suite.spec.contract import Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import of, stack


class Memory(NamedTuple):
    """What a decoder attends to: the encoder's outputs (B, T, F), the valid ones (B, T), and their keys (B, T, A)."""

    outputs: tf.Tensor
    valid: tf.Tensor
    keys: tf.Tensor | None


def remember(net: Net, p: Weights, outputs: tf.Tensor, valid: tf.Tensor) -> Memory:
    """The memory; the keys are computed once for all steps."""
    return Memory(outputs, valid, tf.tensordot(outputs, p["attn/Wk"], 1) if net.arch.attention == "additive" else None)


def softmax(e: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Weights (..., T) over the valid steps."""
    return tf.nn.softmax(tf.where(valid, e, tf.constant(MASKED, e.dtype)))


def additive(p: Weights, q: tf.Tensor, memory: Memory) -> tf.Tensor:
    """e = tanh(q Wq + keys) v: q (B, H) -> the context (B, F)."""
    assert memory.keys is not None, "remember() made them"
    a = softmax(tf.tensordot(tf.tanh((q @ p["Wq"])[:, None] + memory.keys), p["v"], 1), memory.valid)
    return tf.matmul(a[:, None], memory.outputs)[:, 0]


def general(p: Weights, y: tf.Tensor, memory: Memory) -> tf.Tensor:
    """e = (y Wa) . memory: y (B, S, H) -> tanh([c; y] Wc) (B, S, H)."""
    e = tf.matmul(tf.tensordot(y, p["Wa"], 1), memory.outputs, transpose_b=True)
    c = tf.matmul(softmax(e, memory.valid[:, None]), memory.outputs)
    return tf.tanh(tf.tensordot(tf.concat([c, y], -1), p["Wc"], 1))


def decoder(
    net: Net,
    run: Callable[..., tuple[tf.Tensor, Named]],
    p: Weights,
    x: tf.Tensor,
    valid: tf.Tensor,
    memory: Memory,
    state: Named,
    taps: Named | None = None,
    masks: Masks = NONE,
) -> tuple[tf.Tensor, Named]:
    """x (B, S, D), valid (B, S) -> what is read (B, S, R), and the final state; ``run``: the plain stack's."""
    own = {name: tf.convert_to_tensor(value) for name, value in of(p, "attn/").items()}
    if net.arch.attention == "additive":
        return _additive(net, own, p, drop(masks, "dec/layer0", x), valid, memory, state, taps, masks)
    y, final = run(x, valid, state, taps, masks)
    return (tf.where(valid[..., None], general(own, y, memory), tf.zeros((), y.dtype)) if own else y), final


def _additive(
    net: Net,
    own: Weights,
    p: Weights,
    x: tf.Tensor,
    valid: tf.Tensor,
    memory: Memory,
    state: Named,
    taps: Named | None,
    masks: Masks,
) -> tuple[tf.Tensor, Named]:
    cell, parts = CELLS[net.arch.equations], len(net.arch.state)
    layers = [layer[0].prefix for layer in stack(net, "dec/")]
    tensors = [{name: tf.convert_to_tensor(value) for name, value in of(p, prefix).items()} for prefix in layers]
    weights = [before_loop(cell, own) for own in tensors]
    names = [prefix + s for prefix in layers for s in net.arch.state]
    above = [None, *(masks.get(prefix.removesuffix("/")) for prefix in layers[1:])]
    eps = [tf.transpose(taps[name], (1, 0, 2)) for name in names] if taps else []  # they join where a state is new
    widths = [x.shape[2]] + [net.sizes.hidden] * len(eps)

    def step(_: Weights, a: tf.Tensor, state: State) -> State:
        x, *added = tf.split(a, widths, 1)
        old = [state[k : k + parts] for k in range(1, len(state), parts)]
        c = additive(own, old[-1][0], memory)
        y, new = tf.concat([x, c], 1), State()
        for w, s, mask in zip(weights, old, above, strict=True):
            now = cell(w, inputs(cell, w, y if mask is None else y * mask), s)
            new += tuple(n + added.pop(0) for n in now) if added else now
            y = new[-parts]
        return tf.concat([y, c], 1), *new

    a = tf.transpose(tf.concat([x, *eps], -1), (1, 0, 2))
    read = tf.zeros((x.shape[0], net.sizes.hidden + memory.outputs.shape[2]), x.dtype)
    first = (read, *(state[name] for name in names))
    y, (_, *last) = scan(step, {}, a, tf.transpose(valid)[..., None], first, False, None)
    return tf.transpose(y, (1, 0, 2)), dict(zip(names, last, strict=True))
