"""Losses and their gradients, from logits or values.

xent   sum(scored * (logsumexp(z) - (1 - s) z_y - s mean(z))) / max(1, sum(scored))      nats; s: the smoothing
mse    sum(scored * (v - y)^2) / (max(1, sum(scored)) * O)
xent_batch, bpr_max, top1_max     see ``suite.spec.session_loss``

Smoothing trains towards (1 - s) onehot(y) + s / O (Szegedy et al. 2016, arXiv:1512.00567): all classes share s alike.

Each is returned as one sum per row beside the gradient: the reported loss adds the rows up in float64 on the host,
because a float32 sum over all tokens differs between frameworks by more than their gradients do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from suite.spec import session_loss
from suite.spec.contract import IN_BATCH, Array, Batch, Signature


def counted(signature: Signature, batch: Batch) -> Batch:
    """The batch with only those targets scored that the loss is the mean of: in-batch losses need a negative."""
    if signature.loss not in IN_BATCH:
        return batch
    return replace(batch, scored=np.any(session_loss.negatives(batch), axis=-1))


def loss_rows(signature: Signature, outputs: Array, batch: Batch) -> tuple[Array, Array]:
    """outputs (B, [T,] O) -> each row's share of the loss (B,), which add up to it, and dL/doutputs."""
    batch = counted(signature, batch)
    if signature.loss == "mse":
        scale = 1.0 / (batch.count * outputs.shape[1])
        error = np.where(batch.scored[:, None], outputs - batch.y, 0)
        return scale * (error**2).sum(1), 2 * scale * error
    scale = 1.0 / batch.count
    if signature.loss == "xent":
        terms, doutputs = _cross_entropy(outputs, batch.y, signature.smoothing)
    else:
        terms, doutputs = session_loss.loss_terms(signature.loss, outputs, batch)
    rows = scale * np.where(batch.scored, terms, 0)
    return rows.reshape(len(rows), -1).sum(1), scale * np.where(batch.scored[..., None], doutputs, 0)


def loss(signature: Signature, outputs: Array, batch: Batch) -> float:
    """The loss alone, added up in float64."""
    return float(loss_rows(signature, np.asarray(outputs, dtype=np.float64), batch)[0].sum())


def _cross_entropy(z: Array, y: Array, smoothing: float) -> tuple[Array, Array]:
    """Logits (..., O), classes (...) -> each one's cross-entropy with the smoothed target (...), and its gradient."""
    top = z.real.max(-1, keepdims=True)
    e = np.exp(z - top)
    total = e.sum(-1, keepdims=True)
    target = (1 - smoothing) * (np.arange(z.shape[-1]) == y[..., None]) + smoothing / z.shape[-1]
    return (np.log(total) + top)[..., 0] - (target * z).sum(-1), e / total - target
