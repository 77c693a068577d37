"""Losses and their gradients, from logits or values.

xent   sum(scored * (logsumexp(z) - z_y)) / max(1, sum(scored))                   nats
mse    sum(scored * (v - y)^2) / (max(1, sum(scored)) * O)

Each is returned as one sum per row beside the gradient: the reported loss adds the rows up in float64 on the host,
because a float32 sum over all tokens differs between frameworks by more than their gradients do.
"""

from __future__ import annotations

import numpy as np

from suite.spec.contract import Array, Batch, Signature


def loss_rows(signature: Signature, outputs: Array, batch: Batch) -> tuple[Array, Array]:
    """outputs (B, [T,] O) -> each row's share of the loss (B,), which add up to it, and dL/doutputs."""
    if signature.loss == "mse":
        scale = 1.0 / (batch.count * outputs.shape[1])
        error = np.where(batch.scored[:, None], outputs - batch.y, 0)
        return scale * (error**2).sum(1), 2 * scale * error
    scale = 1.0 / batch.count
    top = outputs.real.max(-1, keepdims=True)
    e = np.exp(outputs - top)
    total = e.sum(-1, keepdims=True)
    ce = np.log(total[..., 0]) + top[..., 0] - np.take_along_axis(outputs, batch.y[..., None], -1)[..., 0]
    doutputs = e / total
    np.put_along_axis(doutputs, batch.y[..., None], np.take_along_axis(doutputs, batch.y[..., None], -1) - 1.0, -1)
    rows = scale * np.where(batch.scored, ce, 0)
    return rows.reshape(len(rows), -1).sum(1), scale * np.where(batch.scored[..., None], doutputs, 0)


def loss(signature: Signature, outputs: Array, batch: Batch) -> float:
    """The loss alone, added up in float64."""
    return float(loss_rows(signature, np.asarray(outputs, dtype=np.float64), batch)[0].sum())
