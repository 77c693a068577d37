"""What each subject of a probe does: what the model's own answers are, one sequence or one step at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends.reference.trainer import Trainer
from suite import registry
from suite.perf import probe
from suite.spec import network, params
from suite.spec.cell import Cell
from suite.spec.contract import Batch, Net, Optim, Sizes, Snapshot, StepResult

LABEL = Cell(
    task="noise",
    arch="gru",
    backend="reference",
    options=(("classes", 4), ("features", 3), ("test_size", 2), ("time", 6), ("val_size", 2)),
    sizes=Sizes(hidden=5),
    optim=Optim(lr=1e-3),
    batch=4,
    precision="float64",
)
WRITE = replace(LABEL, task="numwords", options=(("profile", "tiny"),), sizes=Sizes(hidden=5, embed=4))


def call(cell: Cell, what: str, rows: int) -> tuple[probe.Call, Net, list[Batch]]:
    task: Any = registry.task(cell.task, **dict(cell.options))
    net = Net(registry.arch(cell.arch), task.signature, cell.sizes)
    batches = [task.batch("train", cell.seed, k, rows) for k in range(probe.BATCHES)]
    start = Snapshot(0, params.init(net, cell.seed, cell.init))
    model, _ = probe._built(cell, net, start)
    return probe._call(model, what, batches), net, batches


def test_a_stream_carries_its_state_from_step_to_step() -> None:
    further, net, (one, *_) = call(LABEL, "stream", 1)
    whole = network.forward(net, params.init(net, LABEL.seed, LABEL.init), one)[0]
    steps: list[Any] = [further() for _ in range(6)]
    assert np.abs(np.concatenate(steps, axis=1) - whole).max() <= 1e-15
    again: Any = further()  # the first step of the sequence, but after its last one
    assert np.abs(again - steps[0]).max() > 1e-3


@pytest.mark.parametrize(("what", "rows"), [("forward", 4), ("latency", 1)])
def test_outputs_are_of_a_batch_or_of_one_sequence(what: str, rows: int) -> None:
    outputs, net, batches = call(LABEL, what, rows)
    for batch in batches:  # in turn
        (got, _), want = outputs(), network.forward(net, params.init(net, LABEL.seed, LABEL.init), batch)[0]
        assert got.shape[0] == rows and np.abs(got - want).max() <= 1e-15


def test_gradients_are_the_loss_and_every_gradient() -> None:
    gradients, net, (batch, *_) = call(LABEL, "gradients", 4)
    (loss, got), want = gradients(), network.gradients(net, params.init(net, LABEL.seed, LABEL.init), batch)
    assert abs(loss - want.loss) <= 1e-15 and got.keys() == want.params.keys()


def test_decoding_writes_tokens() -> None:
    decode, net, (batch, *_) = call(WRITE, "decode", 4)
    want = network.decode(net, params.init(net, WRITE.seed, WRITE.init), batch)
    assert np.array_equal(decode(), want)


def test_parameters_are_those_the_model_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that it should have: a formula sees no parameter too many."""
    honest = Trainer.snapshot
    told = probe.prepare(LABEL, "step")[2]["parameters"]
    more = {"layer0/more": np.zeros(5)}
    monkeypatch.setattr(Trainer, "snapshot", lambda self: Snapshot(0, honest(self).params | more))
    assert probe.prepare(LABEL, "step")[2]["parameters"] == told + 5


def test_a_loss_that_is_no_number_is_not_timed() -> None:
    with pytest.raises(RuntimeError, match="the loss of update 2 is nan"):
        probe._finite(LABEL, [2.3, float("nan"), 2.2])


def test_a_loss_that_becomes_no_number_while_it_is_timed_ends_the_probe() -> None:
    losses = iter([2.3, 2.2, float("nan")])

    def call() -> list[StepResult]:
        return [StepResult(next(losses), 1.0, {})]

    assert len(probe._timed(call, lambda: None, 2)["seconds"]) == 2
    with pytest.raises(RuntimeError, match="the loss is nan after 1 timed updates"):
        probe._timed(call, lambda: None, 1)


@pytest.mark.parametrize(("what", "order"), [("forward", ["called", "examined", "called"]), ("step", ["examined"])])
def test_the_first_call_is_timed_before_anything_else_has_compiled_it(
    what: str, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def examined(*_: object) -> float:
        done.append("examined")
        return 7.0

    monkeypatch.setattr(probe, "_call", lambda *_: lambda: done.append("called"))
    monkeypatch.setattr(probe, "_examine", examined)
    _, _, told = probe.prepare(LABEL, what, check=True)
    assert done[: len(order)] == order
    assert (told["first_s"] == 7.0) == (what == "step")  # of a step it is the examined one
