"""What is wrong with a loss that is off where the outputs are right: each known mistake's loss, until one agrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from suite.exam.compare import rel_error
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import IN_BATCH, Array, Batch, Signature
from suite.spec.loss import counted, loss
from suite.spec.session_loss import PENALTY

AGREES = 1e-5  # one number tells less than many outputs do: two mistakes may come close


def diagnose_loss(signature: Signature, outputs: Array, batch: Batch, got: float) -> str:
    """The mistake that explains the loss ``got`` of the right outputs, in words, or "" where none of the known does."""
    if not np.isfinite(got):
        return "the loss is not finite"
    right = loss(signature, outputs, batch)
    for text, wrong in _mistakes(signature, outputs, batch):
        if rel_error(wrong, right) > AGREES and rel_error(got, wrong) <= AGREES:
            return text
    return ""


def _mistakes(signature: Signature, outputs: Array, batch: Batch) -> Iterator[tuple[str, float]]:
    right, count = loss(signature, outputs, batch), counted(signature, batch).count
    yield "the loss is a sum, not a mean", right * count
    yield (
        "targets that are not scored count",
        loss(signature, outputs, replace(batch, scored=np.ones_like(batch.scored))),
    )
    if signature.loss in IN_BATCH:
        yield from _ranked(signature, outputs, batch)
    if signature.smoothing:
        s, classes = signature.smoothing, signature.outputs
        yield "targets are not smoothed", loss(replace(signature, smoothing=0.0), outputs, batch)
        others = replace(signature, smoothing=s * classes / (classes - 1))
        yield "the smoothing is spread over the other classes, without the target's own", loss(others, outputs, batch)
        even = np.log(np.exp(outputs).sum(-1)) - outputs.mean(-1)
        yield "targets that are not scored are smoothed", right + s * even[~batch.scored].sum() / count


def _ranked(signature: Signature, outputs: Array, batch: Batch) -> Iterator[tuple[str, float]]:
    """In-batch losses with other negatives, with a softmax over others, or without their penalty."""
    own = np.eye(len(outputs), dtype=bool)[:, None]
    differ = batch.y[..., None] != batch.y.T  # (B, T, B)
    scored = batch.scored.T | own
    among = scored & differ
    for text, rivals, weighed, penalty in (
        ("a target is its own negative", among | own, among | own, PENALTY),
        ("targets that equal the own are negatives", scored & ~own, scored & ~own, PENALTY),
        ("the own target and what equals it are negatives", scored, scored, PENALTY),
        ("targets that are not scored are negatives", differ, differ, PENALTY),
        ("the negatives' softmax runs over the own target too", among, among | own, PENALTY),
        ("the penalty on the negatives is missing", among, among, 0.0),
    ):
        yield text, _rank(signature, outputs, batch, rivals, weighed, penalty)


def _rank(signature: Signature, outputs: Array, batch: Batch, rivals: Array, weighed: Array, penalty: float) -> float:
    """The loss with these negatives, and weights whose softmax runs over these targets."""
    kept = counted(signature, batch).scored
    r = np.take_along_axis(outputs, np.broadcast_to(batch.y.T, rivals.shape), -1)[kept]  # (N, B)
    ri = np.take_along_axis(outputs, batch.y[..., None], -1)[kept]
    if signature.loss == "xent_batch":
        return float(np.log1p((np.exp(r - ri) * rivals[kept]).sum(-1)).mean())
    w = np.exp(r) * rivals[kept] / (np.exp(r) * weighed[kept]).sum(-1, keepdims=True)
    if signature.loss == "bpr_max":
        return float((penalty * (w * r**2).sum(-1) - np.log((w * sigmoid(ri - r)).sum(-1))).mean())
    return float((w * (sigmoid(r - ri) + sigmoid(r**2))).sum(-1).mean())
