"""Mistakes of dropout, planted: each is found by the exam, and named where outputs tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from backends.reference.trainer import Trainer
from suite.exam.cases import CASES
from suite.exam.checks import Maker, check_case
from suite.spec.archs import ARCHS
from suite.spec.contract import Array, Batch, Snapshot
from suite.spec.dropout import Masks

BY_NAME = {case.name: case for case in CASES}
Change = Callable[[Masks], dict[str, Array]]


def put(change: Change) -> Maker:
    class Other(Trainer):
        def put(self, batch: Batch) -> Batch:
            return replace(batch, masks=change(batch.masks))

    return Other


def without(site: str) -> Change:
    return lambda masks: {name: m for name, m in masks.items() if name != site}


class OnlyForward(Trainer):
    """Outputs are right, gradients are made without masks."""

    def grads(self, handle: Batch) -> object:
        return super().grads(replace(handle, masks={}))


class NotInUpdates(Trainer):
    """Masks are there to look at, and away when it trains."""

    def step(self, handle: Batch, lr: float) -> object:
        return super().step(replace(handle, masks={}), lr)


FAULTS: dict[str, tuple[str, str, Maker, str]] = {
    "ignored": ("gru", "deep", put(lambda masks: {}), "dropout's masks are ignored"),
    "not scaled": (
        "lstm",
        "deep",
        put(lambda masks: {s: (m > 0).astype(float) for s, m in masks.items()}),
        "what dropout keeps is not scaled by 1 / (1 - rate)",
    ),
    "turned round": (
        "gru",
        "both-ways",
        put(lambda masks: {s: m.max() - m for s, m in masks.items()}),
        "dropout keeps what it should drop",
    ),
    "not between layers": ("rnn", "deep", put(without("layer1")), "dropout's mask of layer1 is ignored"),
    "not at the read-out": ("gru", "both-ways", put(without("head")), "dropout's mask of head is ignored"),
    "not on the decoder's input": (
        "gru_attention", "attentive", put(without("dec/layer0")), "dropout's mask of dec/layer0 is ignored",
    ),
    "not between a decoder's layers": (
        "gru_attention", "attentive", put(without("dec/layer1")), "dropout's mask of dec/layer1 is ignored",
    ),
    "not on embeddings": ("transformer", "both-ways", put(without("emb")), "dropout's mask of emb is ignored"),
    "not after attention": (
        "transformer", "deep", put(without("layer1/attn")), "dropout's mask of layer1/attn is ignored",
    ),
    "gradients without": ("gru", "deep", OnlyForward, "deep/gradients at"),
    "updates without": ("gru", "deep", NotInUpdates, "deep/loss of an update"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found(name: str) -> None:
    arch, case_name, make, words = FAULTS[name]
    case = BY_NAME[case_name]
    model = make(case.net(ARCHS[arch]), case.optim, Snapshot(0, case.params(ARCHS[arch])))
    failed = "\n".join(str(c) for c in check_case(model, ARCHS[arch], "float64", case, stock=False) if not c.ok)
    assert words in failed


def test_masks_of_the_exam_drop_and_keep_at_every_site() -> None:
    for name in ("deep", "both-ways", "attentive"):
        case = BY_NAME[name]
        arch = ARCHS["gru_attention" if name == "attentive" else "gru"]
        for site, mask in case.masked(arch).masks.items():
            assert set(np.unique(mask)) == {0.0, 1 / 0.7}, site
