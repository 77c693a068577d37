"""The losses of ``suite.spec.loss`` in TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from backends.tensorflow.network import Data
from suite.spec.contract import Signature
from suite.spec.session_loss import PENALTY


def loss_rows(signature: Signature, outputs: tf.Tensor, batch: Data) -> tf.Tensor:
    """Each row's share of the loss (B,): their sum, taken in float64 on the host, is the loss."""
    zero = tf.zeros((), outputs.dtype)
    if signature.loss == "mse":
        error = tf.where(batch.scored[:, None], outputs - batch.y, zero)
        return batch.scale * tf.reduce_sum(error**2, axis=1)
    if signature.loss == "xent":
        terms = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch.y, logits=outputs)
        if signature.smoothing:
            chosen = tf.gather(outputs, batch.y, batch_dims=batch.y.shape.rank)
            terms += signature.smoothing * (chosen - tf.reduce_mean(outputs, axis=-1))
    else:
        terms = session_terms(signature.loss, outputs, batch)
    return batch.scale * tf.reduce_sum(tf.reshape(tf.where(batch.scored, terms, zero), (terms.shape[0], -1)), axis=1)


def session_terms(name: str, outputs: tf.Tensor, batch: Data) -> tf.Tensor:
    """outputs (B, T, O) -> the in-batch loss of each scored target (B, T), all of which have a negative."""
    y, scored, (rows, steps, _) = tf.transpose(batch.y), tf.transpose(batch.scored), outputs.shape
    among = tf.transpose(scored[:, None, :] & (y[:, :, None] != y[:, None, :]), (1, 0, 2))  # (B, T, B)
    among = among | ~batch.scored[..., None]  # what is not scored takes all, so that no softmax is empty
    r = tf.gather(outputs, tf.broadcast_to(y, (rows, steps, rows)), batch_dims=2)
    ri = tf.gather(outputs, batch.y[..., None], batch_dims=2)
    never = tf.constant(float("-inf"), r.dtype)
    if name == "xent_batch":
        own = tf.eye(rows, dtype=tf.bool)[:, None]
        return tf.reduce_logsumexp(tf.where(among | own, r - ri, never), axis=-1)
    log_w = tf.nn.log_softmax(tf.where(among, r, never))
    w = tf.exp(log_w)
    if name == "bpr_max":
        log_won = tf.reduce_logsumexp(log_w + tf.math.log_sigmoid(ri - r), axis=-1)
        return PENALTY * tf.reduce_sum(w * r**2, axis=-1) - log_won
    return tf.reduce_sum(w * (tf.sigmoid(r - ri) + tf.sigmoid(r**2)), axis=-1)
