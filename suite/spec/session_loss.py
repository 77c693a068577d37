"""Ranking losses over the targets of the other rows, as GRU4Rec is trained by, and their gradients.

Hidasi et al. 2016 (arXiv:1511.06939) take the negatives from the batch; Hidasi and Karatzoglou 2018 (arXiv:1706.03847)
weigh them. With r_i the output of a row's own target and r_j those of its negatives:

    xent_batch   -log(exp r_i / (exp r_i + sum_j exp r_j))
    bpr_max      -log sum_j w_j sigmoid(r_i - r_j) + PENALTY sum_j w_j r_j^2       w: softmax of the r_j, without r_i
    top1_max     sum_j w_j (sigmoid(r_j - r_i) + sigmoid(r_j^2))

The negatives of a row at a step are the scored targets of the other rows at that step that differ from its own; a
target of two rows stands for two. Outputs stay linear, and no negatives are drawn beyond the batch. A target without
a negative has no loss: ``suite.spec.loss.counted`` leaves it out of the mean.
"""

from __future__ import annotations

import numpy as np

from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Batch

PENALTY = 1.0  # the paper's lambda, which it tunes for each data set


def negatives(batch: Batch) -> Array:
    """(B, T, B): whether the target of row b' is a negative of row b at step t."""
    y, scored = batch.y.T, batch.scored.T  # (T, B)
    differ = y[:, :, None] != y[:, None, :]
    return (scored[:, :, None] & scored[:, None, :] & differ).transpose(1, 0, 2)


def loss_terms(name: str, outputs: Array, batch: Batch) -> tuple[Array, Array]:
    """outputs (B, T, O) -> each target's loss (B, T) and its gradient (B, T, O); without a negative, any number."""
    among = negatives(batch)
    targets = np.broadcast_to(batch.y.T, among.shape)
    own = np.broadcast_to(np.eye(len(outputs), dtype=bool)[:, None], among.shape)
    r = np.take_along_axis(outputs, targets, -1)
    ri = np.take_along_axis(outputs, batch.y[..., None], -1)
    if name == "xent_batch":
        p, total = _softmax(r, among | own)
        terms, dr = total - ri, p - own
    elif name == "bpr_max":
        w, total = _softmax(r, among)
        q, won = _softmax(r + _log_sigmoid(ri - r), among)
        mean = (w * r**2).sum(-1, keepdims=True)
        terms = total - won + PENALTY * mean
        slope = q * sigmoid(r - ri)
        dr = w - q + slope + PENALTY * w * (r**2 - mean + 2 * r) - own * slope.sum(-1, keepdims=True)
    else:
        w, _ = _softmax(r, among)
        lose, large = sigmoid(r - ri), sigmoid(r**2)
        terms = (w * (lose + large)).sum(-1, keepdims=True)
        slope = w * lose * (1 - lose)
        dr = w * (lose + large - terms + 2 * r * large * (1 - large)) + slope - own * slope.sum(-1, keepdims=True)
    doutputs = np.zeros(outputs.shape, outputs.dtype)
    b, t = np.ogrid[: len(outputs), : outputs.shape[1]]
    np.add.at(doutputs, (b[..., None], t[..., None], targets), dr)
    return terms[..., 0], doutputs


def _softmax(r: Array, among: Array) -> tuple[Array, Array]:
    """Over the last axis, among some: the shares, 0 for the others, and the log of the sum; of all where none are."""
    among = among | ~among.any(-1, keepdims=True)
    top = np.where(among, r.real, -np.inf).max(-1, keepdims=True)
    e = np.where(among, np.exp(np.where(among, r - top, 0)), 0)
    total = e.sum(-1, keepdims=True)
    return e / total, np.log(total) + top


def _log_sigmoid(x: Array) -> Array:
    """At any size of x."""
    return np.where(x.real > 0, 0, x) - np.log1p(np.exp(np.where(x.real > 0, -x, x)))
