"""The losses of ``suite.spec.loss`` in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.nn import logsumexp

from backends.jax.network import Data
from suite.spec.contract import Signature
from suite.spec.session_loss import PENALTY


def loss_rows(signature: Signature, outputs: jax.Array, batch: Data) -> jax.Array:
    """Each row's share of the loss (B,): their sum, taken in float64 on the host, is the loss."""
    if signature.loss == "mse":
        error = jnp.where(batch.scored[:, None], outputs - batch.y, 0)
        return batch.scale * jnp.sum(error**2, axis=1)
    if signature.loss == "xent":
        chosen = jnp.take_along_axis(outputs, batch.y[..., None], axis=-1)
        terms = logsumexp(outputs - chosen, axis=-1)  # subtracted before, so that small losses keep their digits
        if signature.smoothing:
            terms += signature.smoothing * (chosen[..., 0] - outputs.mean(axis=-1))
    else:
        terms = session_terms(signature.loss, outputs, batch)
    return batch.scale * jnp.where(batch.scored, terms, 0).reshape(len(terms), -1).sum(axis=1)


def session_terms(name: str, outputs: jax.Array, batch: Data) -> jax.Array:
    """outputs (B, T, O) -> the in-batch loss of each scored target (B, T), all of which have a negative."""
    y, scored = batch.y.T, batch.scored.T
    among = (scored[:, None, :] & (y[:, :, None] != y[:, None, :])).transpose(1, 0, 2)  # (B, T, B)
    among = among | ~batch.scored[..., None]  # what is not scored takes all, so that no softmax is empty
    r = jnp.take_along_axis(outputs, y[None], axis=-1)
    ri = jnp.take_along_axis(outputs, batch.y[..., None], axis=-1)
    if name == "xent_batch":
        own = jnp.eye(len(r), dtype=bool)[:, None]
        return logsumexp(r - ri, axis=-1, where=among | own)
    log_w = jax.nn.log_softmax(r, where=among)
    w = jnp.exp(log_w)
    if name == "bpr_max":
        return PENALTY * (w * r**2).sum(axis=-1) - logsumexp(log_w + jax.nn.log_sigmoid(ri - r), axis=-1)
    return (w * (jax.nn.sigmoid(r - ri) + jax.nn.sigmoid(r**2))).sum(axis=-1)
