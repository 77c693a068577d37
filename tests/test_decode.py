"""Beam search against greedy decoding and against every sequence there is, with the oracle."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from backends.reference.trainer import Trainer
from suite.decode import beam, log_softmax
from suite.spec import network, params
from suite.spec.archs import ARCHS
from suite.spec.contract import BOS, EOS, PAD, Array, Batch, Net, Optim, Params, Signature, Sizes, Snapshot, State
from suite.spec.random import Stream

STEPS, OUT = 3, 4
SIG = Signature("translate", "xent", inputs=5, outputs=OUT, longest_target=STEPS)
NETS = {
    name: Net(ARCHS[name], SIG, Sizes(hidden=4, embed=3, heads=2)) for name in ("gru", "gru_attention", "transformer")
}
X, LENGTHS = np.array([[4, 3, 2], [3, 2, 0], [1, 4, 4]], np.int32), np.array([3, 2, 3], np.int32)


def sources(rows: int = 3) -> Batch:
    """What is to be translated; the targets are not looked at."""
    y = np.full((rows, STEPS), 3, np.int32)
    return Batch(X[:rows], LENGTHS[:rows], y, y > 0, y, LENGTHS[:rows])


def sharp(net: Net, seed: int = 0) -> Params:
    """Parameters whose choices differ from row to row and from step to step."""
    return {name: 2 * Stream(f"decode/{seed}/{name}").normal(shape) for name, shape in params.shapes(net).items()}


def model(net: Net, p: Params) -> Trainer:
    return Trainer(net, Optim(), Snapshot(0, p))


def everything() -> list[list[int]]:
    """Every target there is: with eos at its end, or as long as a target may be."""
    whole = [list(y) for n in range(1, STEPS + 1) for y in itertools.product(range(OUT), repeat=n)]
    return [y for y in whole if EOS not in y[:-1] and (y[-1] == EOS or len(y) == STEPS)]


def best_of_all(net: Net, p: Params, batch: Batch, power: float) -> tuple[Array, Array]:
    """The best target by trying each, teacher forced."""
    targets, rows = everything(), len(batch.x)
    y = np.array([[*t, *[PAD] * (STEPS - len(t))] for t in targets], np.int32)
    scores = []
    for target, row in zip(targets, y, strict=True):
        y_in = np.tile(np.array([BOS, *row[:-1]], np.int32), (rows, 1))
        outputs, _, _ = network.forward(net, p, replace(batch, y_in=y_in, y_lengths=np.full(rows, STEPS, np.int32)))
        logp = log_softmax(outputs)[:, range(len(target)), target].sum(1)
        scores.append(logp / ((5 + len(target)) / 6) ** power)
    best = np.argmax(scores, axis=0)
    return y[best], np.max(scores, axis=0)


@pytest.mark.parametrize("arch", NETS)
@pytest.mark.parametrize("seed", range(4))
def test_width_one_is_greedy(arch: str, seed: int) -> None:
    net, p = NETS[arch], sharp(NETS[arch], seed)
    tokens, _ = beam(model(net, p), net, sources(), width=1)
    assert tokens.dtype == np.int32
    assert tokens.tolist() == network.decode(net, p, sources()).tolist()


@pytest.mark.parametrize("arch", NETS)
@pytest.mark.parametrize("power", [0.0, 0.6, 2.0])
def test_a_beam_as_wide_as_there_are_targets_finds_the_best(arch: str, power: float) -> None:
    net = NETS[arch]
    for seed in range(3):
        p = sharp(net, seed)
        tokens, scores = beam(model(net, p), net, sources(), OUT**STEPS, power)
        want, want_scores = best_of_all(net, p, sources(), power)
        assert tokens.tolist() == want.tolist()
        assert np.max(np.abs(scores - want_scores)) <= 1e-13


class Table:
    """A model whose next token depends on the prefix as a table says: prefix -> probabilities."""

    def __init__(self, table: Mapping[tuple[int, ...], tuple[float, ...]], gap: float = 1e-9) -> None:
        self.table, self.gap, self.shapes = table, gap, set()  # type: ignore[var-annotated]

    def put(self, batch: Batch) -> Batch:
        batch.check(SIG)
        return batch

    def outputs(self, handle: Batch, state: State | None = None) -> tuple[Array, State]:
        assert handle.y_in is not None
        self.shapes.add((handle.x.shape, handle.y_in.shape))
        p = [
            [self.table.get(tuple(row[1 : t + 1].tolist()), (0.25,) * OUT) for t in range(STEPS)] for row in handle.y_in
        ]
        return np.log(np.maximum(p, self.gap)), {}


GARDEN = {(): (0.1, 0.5, 0.0, 0.4), (1,): (0.3, 0.3, 0.4, 0.0), (3,): (0.0, 0.0, 1.0, 0.0)}  # 1 looks better, 3 is


def test_a_wider_beam_finds_what_greed_misses_in_one_shape() -> None:
    for width, want, p in ((1, [1, 2, 0], 0.5 * 0.4), (2, [3, 2, 0], 0.4)):
        table = Table(GARDEN)
        tokens, scores = beam(table, NETS["gru"], sources(2), width)  # type: ignore[arg-type]
        assert tokens.tolist() == [want] * 2
        assert np.max(np.abs(scores - np.log(p))) <= 1e-6
        assert table.shapes == {((2 * width, 3), (2 * width, STEPS))}


def test_ties_go_to_the_lower_place_and_the_lower_token() -> None:
    flat = Table({})
    assert beam(flat, NETS["gru"], sources(1), 1)[0].tolist() == [[0, 0, 0]]  # type: ignore[arg-type]
    assert beam(flat, NETS["gru"], sources(1), 2)[0].tolist() == [[0, 0, 0]]  # type: ignore[arg-type]
    tokens, scores = beam(flat, NETS["gru"], sources(1), 3)  # type: ignore[arg-type]
    assert tokens.tolist() == [[2, 0, 0]]  # eos had the third place, and what goes on only loses
    assert scores.tolist() == [np.log(0.25)]


def test_a_length_penalty_prefers_the_longer_of_two() -> None:
    table = {(): (0.0, 0.0, 0.52, 0.48), (3,): (0.0, 1.0, 0.0, 0.0), (3, 1): (0.0, 0.0, 1.0, 0.0)}
    found = [beam(Table(table), NETS["gru"], sources(1), 2, a)[0].tolist() for a in (0.0, 1.0)]  # type: ignore[arg-type]
    assert found == [[[2, 0, 0]], [[3, 1, 2]]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "beam: width is 0; it must be at least 1"),
        ({"length_penalty": -1.0}, r"beam: length_penalty is -1\.0; it must be 0 \(off\) or a positive number"),
        ({"length_penalty": float("nan")}, "beam: length_penalty is nan"),
        ({"length_penalty": float("inf")}, "beam: length_penalty is inf"),
        ({"net": Net(ARCHS["gru"], Signature("label", "xent", 5, 4), Sizes())}, "beam: the network's kind is 'label'"),
        ({"model": Table({}, gap=float("nan"))}, "puts out a number that is not finite"),
    ],
)
def test_what_cannot_be_searched_is_refused(change: dict[str, object], message: str) -> None:
    asked = {"model": Table({}), "net": NETS["gru"], "batch": sources(), "width": 2} | change
    with pytest.raises(ValueError, match=message):
        beam(**asked)  # type: ignore[arg-type]
