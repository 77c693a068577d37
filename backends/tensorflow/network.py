"""The three networks of ``suite.spec.network`` on top of stacks of recurrent layers, whatever runs those.

batch   what `Trainer.put` made: "x" (B, T) or (B, T, F), "valid" (B, T), "y", "scored", "scale" = 1 / number of scored
        targets (and values); "translate" has "y_in" and "y_valid" (B, S) beside them
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from backends.tensorflow.layout import Layout
from suite.spec.contract import BOS, EOS, PAD, Net, Signature
from suite.spec.params import stack, state_shapes

Named = dict[str, tf.Tensor]  # "layer0/h" -> (B, H), or parameters by name


@dataclass(frozen=True, slots=True)
class Runner:
    """A stack of recurrent layers: what a maker in TABLE gives.

    params    native name -> tf.Variable, which ``run`` reads
    run       (x (B, T, I), valid (B, T), state, taps) -> (top outputs (B, T, F), final state); taps (T, B, H), one for
              each carried state, are added to the new state at valid steps
    kernel    what executes
    compiled  whether XLA compiles the functions around it
    """

    params: Named
    layout: Layout
    run: Callable[..., tuple[tf.Tensor, Named]]
    kernel: str
    compiled: bool = False


Stacks = dict[str, Runner]  # "" or "enc/" and "dec/"


def zero_state(net: Net, rows: int, dtype: tf.DType) -> Named:
    """The state that the first stack starts from."""
    names = state_shapes(net, rows).items()
    return {name: tf.zeros(shape, dtype) for name, shape in names if not name.startswith("dec/")}


def forward(
    net: Net, p: Named, stacks: Stacks, batch: Named, state: Named, taps: Named | None = None
) -> tuple[tf.Tensor, Named]:
    """Outputs (B, [T,] O) and the final state."""
    if net.signature.kind != "translate":
        x = tf.gather(p["emb/E"], batch["x"]) if net.signature.tokens else batch["x"]
        features, final = stacks[""].run(x, batch["valid"], state, taps)
        if net.signature.kind == "final":
            features = tf.concat([final[d.prefix + "h"] for d in stack(net)[-1]], axis=-1)
        return _head(p, features), final
    final, dec_state = _encode(p, stacks, batch, state, taps)
    x = tf.gather(p["tgt_emb/E"], batch["y_in"])
    features, dec_final = stacks["dec/"].run(x, batch["y_valid"], dec_state, taps)
    return _head(p, features), final | dec_final


def loss_rows(signature: Signature, outputs: tf.Tensor, batch: Named) -> tf.Tensor:
    """Each row's share of the loss, (B,): their sum, taken in float64 on the host, is the loss."""
    if signature.loss == "mse":
        error = tf.where(batch["scored"][:, None], outputs - batch["y"], tf.zeros((), outputs.dtype))
        return batch["scale"] * tf.reduce_sum(error**2, axis=1)
    ce = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch["y"], logits=outputs)
    scored = tf.where(batch["scored"], ce, tf.zeros((), ce.dtype))
    return batch["scale"] * tf.reduce_sum(tf.reshape(scored, (ce.shape[0], -1)), axis=1)


def decode(net: Net, p: Named, stacks: Stacks, batch: Named) -> tf.Tensor:
    """Greedy decoding in one loop: (B, longest_target) int64. The first of equal logits wins; after eos comes pad."""
    rows, steps = batch["x"].shape[0], net.signature.longest_target
    _, first = _encode(p, stacks, batch, zero_state(net, rows, p["head/V"].dtype))
    one = tf.ones((rows, 1), tf.bool)

    def body(t: tf.Tensor, token: tf.Tensor, done: tf.Tensor, out: tf.TensorArray, state: Named) -> tuple[object, ...]:
        y, state = stacks["dec/"].run(tf.gather(p["tgt_emb/E"], token[:, None]), one, state)
        best = tf.math.top_k(_head(p, y[:, 0]), 1).indices[:, 0]  # of equals, the lower index is promised to come first
        token = tf.where(done, tf.constant(PAD, tf.int64), tf.cast(best, tf.int64))
        return t + 1, token, done | (token == EOS), out.write(t, token), state

    start = (tf.constant(0), tf.fill((rows,), tf.constant(BOS, tf.int64)), tf.zeros((rows,), tf.bool))
    out = tf.TensorArray(tf.int64, steps, element_shape=(rows,))
    end = tf.while_loop(lambda t, *_: t < steps, body, (*start, out, first), maximum_iterations=steps)
    return tf.transpose(end[3].stack())


def _encode(p: Named, stacks: Stacks, batch: Named, state: Named, taps: Named | None = None) -> tuple[Named, Named]:
    """The encoder's final state, under its own names and under the decoder's."""
    _, final = stacks["enc/"].run(tf.gather(p["src_emb/E"], batch["x"]), batch["valid"], state, taps)
    return final, {name.replace("enc/", "dec/", 1): s for name, s in final.items()}


def _head(p: Named, features: tf.Tensor) -> tf.Tensor:
    return tf.tensordot(features, p["head/V"], 1) + p["head/d"]
