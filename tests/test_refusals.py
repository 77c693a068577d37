"""What is refused before any framework runs: ids outside a vocabulary, and cells that a backend does not have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backends import reference
from backends.reference.trainer import Trainer
from suite.exam.cases import CASES, LABEL
from suite.spec.archs import ARCHS
from suite.spec.contract import Batch, Optim, Snapshot, Unsupported
from suite.spec.offer import offered

TRANSLATE = next(case for case in CASES if case.signature.kind == "translate")
TABLE = {("rnn", "scan"): "house:make"}
GAPS = {("gru", "stock"): "no such layer", ("*", "stock"): "no layers at all"}


def beyond(batch: Batch, name: str, value: int) -> Batch:
    ids = np.array(getattr(batch, name))
    ids[-1, -1] = value
    return replace(batch, **{name: ids})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("x", 9, "x holds ids 0..9; they must lie in 0..8"),
        ("x", -1, "x holds ids -1..8; they must lie in 0..8"),
        ("y_in", 8, "y_in holds ids 0..8; they must lie in 0..7"),
        ("y", 8, "y holds ids 0..8; they must lie in 0..7"),
    ],
)
def test_an_id_outside_its_vocabulary(name: str, value: int, words: str) -> None:
    batch = TRANSLATE.batch()
    batch.check(TRANSLATE.signature)
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        beyond(batch, name, value).check(TRANSLATE.signature)


def test_every_case_of_the_exam_is_within_its_vocabularies() -> None:
    for case in CASES:
        case.batch().check(case.signature)  # features and values are no ids


def test_a_model_looks_before_it_computes() -> None:
    model = Trainer(LABEL.net(ARCHS["rnn"]), Optim(), Snapshot(0, LABEL.params(ARCHS["rnn"])))
    with pytest.raises(ValueError, match="x holds ids"):
        model.put(beyond(LABEL.batch(), "x", 11))


@pytest.mark.parametrize(
    ("arch", "impl", "words"),
    [
        ("gru", "stock", "no such layer"),
        ("lstm", "stock", "no layers at all"),
        ("gru", "scan", "house has no gru/scan; it has rnn/scan"),
    ],
)
def test_what_is_not_offered(arch: str, impl: str, words: str) -> None:
    assert offered("house", TABLE, GAPS, "rnn", "scan") == "house:make"
    with pytest.raises(Unsupported, match=words):
        offered("house", TABLE, GAPS, arch, impl)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"impl": "stock"}, "NumPy ships no recurrent layer"),
        ({"precision": "float32"}, "float64 only"),
        ({"device": "cuda"}, "on the cpu only, not on 'cuda'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_reference_builds_what_it_is(asked: dict[str, str], words: str) -> None:
    arch = ARCHS["rnn"]
    start = Snapshot(0, LABEL.params(arch))
    cell = {"impl": "scan", "precision": "float64", "device": "cpu"} | asked
    with pytest.raises(Unsupported, match=words):
        reference.build(LABEL.net(arch), optim=Optim(), snapshot=start, **cell)  # type: ignore[arg-type]
