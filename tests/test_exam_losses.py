"""Mistakes of label smoothing and of the in-batch losses are found, and called by their name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from suite.exam.cases import CASES
from suite.exam.checks import Maker, check_case
from suite.exam.diagnose_loss import diagnose_loss
from suite.spec import network, session_loss
from suite.spec.archs import ARCHS
from suite.spec.contract import IN_BATCH, Array, Batch, Signature, Snapshot
from suite.spec.loss import counted, loss_rows
from suite.spec.session_loss import loss_terms, negatives
from tests.faults_networks import during

softmax = session_loss._softmax


def smoothed(share: Callable[[Signature], float]) -> Maker:
    """A loss with another smoothing."""
    return during(network, "loss_rows", lambda sig, *rest: loss_rows(replace(sig, smoothing=share(sig)), *rest))


def smoothed_everywhere(sig: Signature, outputs: Array, batch: Batch) -> Any:
    """What is not scored has no cross-entropy, but is smoothed: s L(1) = L(s) - (1 - s) L(0), L linear in s."""
    others, s = replace(batch, scored=~batch.scored), sig.smoothing
    some, none = loss_rows(sig, outputs, others), loss_rows(replace(sig, smoothing=0.0), outputs, others)
    extra = [(a - (1 - s) * b) * others.count / batch.count for a, b in zip(some, none, strict=True)]
    return tuple(a + b for a, b in zip(loss_rows(sig, outputs, batch), extra, strict=True))


def among(bend: Callable[[Array, Batch], Array]) -> Maker:
    """Other negatives, of the targets that count."""

    def other(name: str, outputs: Array, batch: Batch) -> Any:
        with mock.patch.object(session_loss, "negatives", lambda b: bend(negatives(b), b)):
            return loss_terms(name, outputs, batch)

    return during(session_loss, "loss_terms", other)


def own(batch: Batch) -> Array:
    return np.eye(len(batch.y), dtype=bool)[:, None]


def others(_: Array, batch: Batch) -> Array:
    return (batch.scored.T & ~own(batch)) & batch.scored[..., None]


def with_own(r: Array, rivals: Array) -> Any:
    """The softmax of the negatives over the own target as well, which gets no share."""
    shares, total = softmax(r, rivals | np.eye(len(r), dtype=bool)[:, None])
    return shares * rivals, total


FAULTS: dict[str, tuple[Maker, str, str]] = {
    "no smoothing": (smoothed(lambda _: 0.0), "both-ways", "targets are not smoothed"),
    "smoothing over C - 1": (
        smoothed(lambda sig: sig.smoothing * sig.outputs / (sig.outputs - 1)),
        "both-ways",
        "the smoothing is spread over the other classes",
    ),
    "smoothing of pads": (
        during(network, "loss_rows", smoothed_everywhere),
        "both-ways",
        "targets that are not scored are smoothed",
    ),
    "a sum": (
        during(network, "loss_rows", lambda s, o, b: tuple(b.count * part for part in loss_rows(s, o, b))),
        "both-ways",
        "the loss is a sum, not a mean",
    ),
    "own target a negative": (among(lambda n, b: n | own(b)), "bpr-max", "a target is its own negative"),
    "own target a negative, top1": (among(lambda n, b: n | own(b)), "top1-max", "a target is its own negative"),
    "equal targets negatives": (among(others), "xent-batch", "targets that equal the own are negatives"),
    "equal and own target negatives": (
        among(lambda n, b: others(n, b) | own(b)),
        "top1-max",
        "the own target and what equals it are negatives",
    ),
    "unscored rows give negatives": (
        among(lambda n, b: b.y[..., None] != b.y.T),
        "xent-batch",
        "targets that are not scored are negatives",
    ),
    "softmax over all": (
        during(session_loss, "_softmax", with_own),
        "top1-max",
        "the negatives' softmax runs over the own target too",
    ),
    "no penalty": (during(session_loss, "PENALTY", 0.0), "bpr-max", "the penalty on the negatives is missing"),
    "all targets count": (
        during(network, "loss_rows", lambda s, o, b: loss_rows(s, o, replace(b, scored=np.ones_like(b.scored)))),
        "bpr-max",
        "targets that are not scored count",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found(name: str) -> None:
    make, case_name, words = FAULTS[name]
    case, arch = next(case for case in CASES if case.name == case_name), ARCHS["gru"]
    model = make(case.net(arch), case.optim, Snapshot(0, case.params(arch)))
    failed = "\n".join(str(check) for check in check_case(model, arch, "float64", case, False) if not check.ok)
    assert f"{case_name}/loss: " in failed
    assert f"({words}" in failed


@pytest.mark.parametrize("loss", IN_BATCH)
def test_the_exams_batches_tell_the_losses_apart(loss: str) -> None:
    """Among its batches: a scored target that another row shares, a rival that is not scored, one without rivals."""
    case = next(case for case in CASES if case.signature.loss == loss)
    batch = case.batch()
    rivals = negatives(batch)
    assert (others(rivals, batch) & ~rivals).any()
    assert ((batch.y[..., None] != batch.y.T) & ~rivals)[rivals.any(-1)].any()
    assert counted(case.signature, batch).count < batch.count


def test_a_loss_that_no_known_mistake_explains_is_not_explained() -> None:
    case = CASES[0]
    batch = case.batch()
    outputs = np.zeros((*batch.y.shape, case.signature.outputs))
    assert diagnose_loss(case.signature, outputs, batch, 1.234) == ""
    assert diagnose_loss(case.signature, outputs, batch, np.nan) == "the loss is not finite"
