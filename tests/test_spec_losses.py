"""Label smoothing and the in-batch losses of the oracle: by the complex step, by plain loops, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from suite.exam.cases import make_batch
from suite.spec.contract import IN_BATCH, Array, Batch, Signature, Unsupported
from suite.spec.loss import counted, loss, loss_rows
from suite.spec.random import Stream

STEP = 1e-30
SIGNATURES = {
    "smooth": Signature("label", "xent", 5, 4, smoothing=0.1),
    "smooth final": Signature("final", "xent", 5, 4, smoothing=0.3),
    **{name: Signature("label", name, 5, 4) for name in IN_BATCH},  # type: ignore[arg-type]
}


def example(signature: Signature, size: float = 1.0) -> tuple[Array, Batch]:
    batch = make_batch(signature, 4, 5, Stream("losses"))
    return Stream("outputs").normal((*batch.y.shape, signature.outputs)) * size, batch


@pytest.mark.parametrize("size", [1, 40])
@pytest.mark.parametrize("name", SIGNATURES)
def test_gradients_are_the_complex_step(name: str, size: float) -> None:
    outputs, batch = example(SIGNATURES[name], size)
    numeric = np.zeros(outputs.size)
    for i in range(outputs.size):
        moved = outputs.astype(complex).ravel()
        moved[i] += 1j * STEP
        rows, _ = loss_rows(SIGNATURES[name], moved.reshape(outputs.shape), batch)
        numeric[i] = rows.sum().imag / STEP
    _, got = loss_rows(SIGNATURES[name], outputs, batch)
    err = np.abs(got.ravel() - numeric).max() / np.abs(numeric).max()
    assert err <= 1e-13


def by_loops(signature: Signature, outputs: Array, batch: Batch) -> tuple[float, int]:
    """The mean loss as the papers print it, and of how many targets."""
    losses = []
    for b, t in zip(*np.nonzero(batch.scored), strict=True):
        z, y = outputs[b, t], batch.y[b, t]
        others = [batch.y[c, t] for c in range(len(batch.y)) if batch.scored[c, t]]
        negative = [z[j] for j in others if j != y]
        if not negative:
            continue
        w = [math.exp(r) / sum(map(math.exp, negative)) for r in negative]
        pairs = list(zip(w, negative, strict=True))
        if signature.loss == "xent_batch":
            losses.append(-math.log(math.exp(z[y]) / (math.exp(z[y]) + sum(map(math.exp, negative)))))
        elif signature.loss == "bpr_max":
            won = sum(v * sigmoid(z[y] - r) for v, r in pairs)
            losses.append(-math.log(won) + 1.0 * sum(v * r**2 for v, r in pairs))
        else:
            losses.append(sum(v * (sigmoid(r - z[y]) + sigmoid(r**2)) for v, r in pairs))
    return sum(losses) / len(losses), len(losses)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("name", IN_BATCH)
def test_in_batch_losses_are_the_papers(name: str) -> None:
    outputs, batch = example(SIGNATURES[name])
    want, count = by_loops(SIGNATURES[name], outputs, batch)
    assert 0 < count < batch.count, "the example has a target without a negative"
    assert counted(SIGNATURES[name], batch).count == count
    assert abs(loss(SIGNATURES[name], outputs, batch) - want) <= 1e-14 * want


def test_a_smoothed_target_is_shared_by_all_classes() -> None:
    signature = SIGNATURES["smooth"]
    outputs, batch = example(signature)
    log_p = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    target = np.where(np.arange(4) == batch.y[..., None], 0.925, 0.025)
    want = -(target * log_p).sum(-1)[batch.scored].mean()
    assert abs(loss(signature, outputs, batch) - want) <= 1e-14 * want


@pytest.mark.parametrize("name", IN_BATCH)
def test_rows_that_all_aim_at_the_same_have_no_loss(name: str) -> None:
    outputs, batch = example(SIGNATURES[name], size=1e3)
    same = replace(batch, y=np.zeros_like(batch.y))
    rows, gradient = loss_rows(SIGNATURES[name], outputs, same)
    assert not rows.any()
    assert not gradient.any()


@pytest.mark.parametrize("name", IN_BATCH)
def test_scores_of_any_size_stay_finite(name: str) -> None:
    outputs, batch = example(SIGNATURES[name], size=1e3)
    rows, gradient = loss_rows(SIGNATURES[name], outputs, batch)
    assert np.isfinite(rows).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_smoothing_outside_its_range_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"smoothing is .*; it must be at least 0 and less than 1"):
        Signature("label", "xent", 5, 4, smoothing=smoothing)


@pytest.mark.parametrize("loss", ["mse", "bpr_max"])
def test_smoothing_of_other_losses_is_refused(loss: str) -> None:
    with pytest.raises(Unsupported, match=f"{loss}/smoothing: only the loss 'xent'"):
        Signature("final" if loss == "mse" else "label", loss, 5, 4, smoothing=0.1)  # type: ignore[arg-type]


def test_in_batch_losses_of_whole_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="'bpr_max' goes with kind 'label', not with 'final'"):
        Signature("final", "bpr_max", 5, 4)
