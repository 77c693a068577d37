"""The three networks of ``suite.spec.network`` and their greedy decoding, in TensorFlow."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import tensorflow as tf

from backends.tensorflow import attention, transformer
from backends.tensorflow.cells import Weights
from backends.tensorflow.layout import Layout
from backends.tensorflow.scan import Named
from suite.spec.contract import BOS, EOS, PAD, Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import bridge, state_shapes
from suite.spec.towers import check_state


class Data(NamedTuple):
    """A batch on its device, shapes as in ``suite.spec.contract.Batch``.

    ``scored`` are the targets that the loss counts, ``scale`` is 1 / number of their values.
    """

    x: tf.Tensor
    valid: tf.Tensor
    y: tf.Tensor
    scored: tf.Tensor
    scale: tf.Tensor
    y_in: tf.Tensor | None
    y_valid: tf.Tensor | None
    masks: Masks


class Runner(Protocol):
    """A stack of recurrent layers, however it is implemented. ``params``: name -> the variable that ``run`` reads."""

    layout: Layout
    params: Weights
    compiled: bool  # whether XLA compiles the functions around it

    def run(
        self, x: tf.Tensor, valid: tf.Tensor, state: Named, taps: Named | None = None, masks: Masks = NONE
    ) -> tuple[tf.Tensor, Named]:
        """x (B, T, I), state (B, H) each -> top outputs (B, T, F) and final states; taps (T, B, H): see `flow`."""
        ...

    def reader(self) -> Runner:
        """The same layers, on the same variables, for where nobody asks for a derivative."""
        ...

    def ran(self) -> set[str]:
        """What executes, one phrase for each path taken."""
        ...


Stacks = dict[str, Runner]  # by prefix: {"": ...} or {"enc/": ..., "dec/": ...}


def zero_state(net: Net, rows: int, dtype: tf.DType) -> Named:
    """The state every sequence starts from."""
    return {name: tf.zeros(s, dtype) for name, s in state_shapes(net, rows).items()}


def forward(
    net: Net, stacks: Stacks, p: Weights, batch: Data, state: Named, taps: Named | None = None
) -> tuple[tf.Tensor, Named]:
    """Outputs (B, [T,] O) and the final state."""
    if net.arch.family == "transformer":
        check_state(net, state)
        return transformer.forward(net, stacks, p, batch), {}
    if net.signature.kind == "translate":
        assert batch.y_in is not None and batch.y_valid is not None, "a translate batch has y_in and y_lengths"
        memory, enc, first = _encode(net, stacks, p, batch, state, taps)
        x = tf.gather(p["tgt_emb/E"], batch.y_in)
        features, dec = attention.decoder(
            net, stacks["dec/"].run, p, x, batch.y_valid, memory, first, taps, batch.masks
        )
        final = enc | dec
    else:
        x = tf.gather(p["emb/E"], batch.x) if net.signature.tokens else batch.x
        features, final = stacks[""].run(x, batch.valid, state, taps, batch.masks)
        if net.signature.kind == "final":
            features = _at_ends(net, features, batch.valid)
    return tf.tensordot(drop(batch.masks, "head", features), p["head/V"], 1) + p["head/d"], final


def decode(net: Net, stacks: Stacks, p: Weights, batch: Data) -> tf.Tensor:
    """Greedy decoding in one loop: (B, longest_target) int64. The first of equal logits wins; after eos comes pad."""
    if net.arch.family == "transformer":
        return transformer.decode(net, stacks, p, batch)
    rows, steps, d = batch.x.shape[0], net.signature.longest_target, p["head/d"]
    batch = batch._replace(masks=NONE)  # dropout is for training
    memory, _, first = _encode(net, stacks, p, batch, zero_state(net, rows, d.dtype))
    one = tf.ones((rows, 1), tf.bool)

    def body(t: tf.Tensor, token: tf.Tensor, done: tf.Tensor, out: tf.TensorArray, state: Named) -> tuple[object, ...]:
        x = tf.gather(p["tgt_emb/E"], token[:, None])
        y, state = attention.decoder(net, stacks["dec/"].run, p, x, one, memory, state)
        logits = y[:, 0] @ p["head/V"] + d
        best = tf.math.top_k(logits, 1).indices[:, 0]  # of equals, the lower index is promised to come first
        token = tf.where(done, tf.constant(PAD, tf.int64), tf.cast(best, tf.int64))
        return t + 1, token, done | (token == EOS), out.write(t, token), state

    start = (tf.constant(0), tf.fill((rows,), tf.constant(BOS, tf.int64)), tf.zeros((rows,), tf.bool))
    out = tf.TensorArray(tf.int64, steps, element_shape=(rows,))
    end = tf.while_loop(lambda t, *_: t < steps, body, (*start, out, first), maximum_iterations=steps)
    return tf.transpose(end[3].stack())


def _encode(
    net: Net, stacks: Stacks, p: Weights, batch: Data, state: Named, taps: Named | None = None
) -> tuple[attention.Memory, Named, Named]:
    """What the decoder attends to, the encoder's final state, and the state that the decoder starts from."""
    y, final = stacks["enc/"].run(tf.gather(p["src_emb/E"], batch.x), batch.valid, state, taps, batch.masks)
    return attention.remember(net, p, y, batch.valid), final, {to: final[s] for to, s in bridge(net).items()}


def _at_ends(net: Net, y: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """y (B, T, F) at the step where each direction ends: forward at the last valid one, backward at the first."""
    hidden = net.sizes.hidden
    last = tf.gather(y, tf.reduce_sum(tf.cast(valid, tf.int64), 1) - 1, batch_dims=1)
    return tf.concat([last[:, :hidden], y[:, 0, hidden:]], 1)
