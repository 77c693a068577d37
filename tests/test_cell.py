"""One cell in this process: checked before it is timed, refused with its reason, and the same bits twice."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.reference import trainer
from suite import cell, record, weights
from suite.parity import LIMITS
from suite.spec import network, params
from suite.spec.cell import Cell
from suite.spec.contract import Batch, Params, Snapshot, State, StepResult
from tests.probes import DIVERGING, PLUGIN, tiny

Trainer = trainer.Trainer


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))


def test_what_a_record_says(tmp_path: Path) -> None:
    c = tiny(flow_at=(0, 4))
    got = cell.run(c, tmp_path, "p", converged=False, fresh=False)
    assert got == record.read(tmp_path / "result.json")
    assert (got.outcome, got.reason, got.plan, got.fresh_process) == ("ok", "", "p", False)
    assert got.ran.startswith("numpy")
    assert (got.metric, got.better, len(got.bounds)) == ("accuracy", "higher", 2)
    assert {row["check"] for row in got.checks} == {
        "update/loss",
        "update/gradient norm",
        "update/norm per parameter",
        "update/parameters",
        "outputs",
        "loss",
        "gradients",
        "gradient flow",
    }
    assert all(row["ok"] and row["error"] <= row["limit"] for row in got.checks)
    assert len(got.step_s) == c.steps  # the first, which compiles, was the checked one
    assert min(*got.step_s, got.first_step_s, got.build_s) > 0
    assert [p["step"] for p in got.curve] == [2, 4]
    assert got.curve[-1]["train_s"] == sum(got.step_s)
    assert got.curve[-1]["accuracy"] == got.scores["val"]["accuracy"]
    assert set(got.scores) == {"val", "test"}
    assert got.tokens_per_step == 3 * 4  # rows x valid steps
    assert got.facts["converged"] is False
    assert got.facts["backend"] == {"numpy": np.__version__}
    final = weights.load(tmp_path / "weights.safetensors")
    assert final.step == c.steps
    assert got.digests["final"] == params.digest(final.params) != got.digests["initial"]
    assert got.parameters == params.count(final.params)
    with np.load(tmp_path / "flow.npz") as flow:
        assert {name: f.shape for name, f in flow.items()} == {"0/layer0/h": (5,), "4/layer0/h": (5,)}
    points = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    train = [p for p in points if "train/loss" in p["values"]]
    assert [p["step"] for p in train] == [1, 2, 3, 4]
    assert {"grad/global_norm", "grad/layer0.U", "train/ms_per_step"} < set(train[0]["values"])
    assert math.isclose(train[-1]["values"]["train/loss"], got.last_loss, rel_tol=1e-6)
    evals = [p for p in points if "eval/accuracy" in p["values"]]
    assert [p["step"] for p in evals] == [2, 4]
    assert all(name.count("/") == 1 for p in points for name in p["values"])


def test_the_same_cell_twice_gives_the_same_bits(tmp_path: Path) -> None:
    one, two = (cell.run(tiny(), tmp_path / name, "p") for name in ("one", "two"))
    assert (one.digests, one.scores, one.last_loss) == (two.digests, two.scores, two.last_loss)
    assert one.digests != cell.run(tiny(seed=1), tmp_path / "three", "p").digests


class Gradient(Trainer):
    """Its gradients of U are 1.0001 times too large."""

    def grads(self, handle: Batch) -> tuple[float, Params]:
        loss, g = super().grads(handle)
        return loss, g | {"layer0/U": 1.0001 * g["layer0/U"]}


class Loss(Trainer):
    """Its loss is a sum over rows, not a mean."""

    def grads(self, handle: Batch) -> tuple[float, Params]:
        loss, g = super().grads(handle)
        return loss * len(handle.x), g


class Rate(Trainer):
    """It doubles the learning rate in the update, and nowhere else."""

    def step(self, handle: Batch, lr: float) -> StepResult:
        return super().step(handle, 2 * lr)


class Correction(Trainer):
    """It forgets how many updates were done, so Adam's bias corrections are wrong."""

    def load(self, snapshot: Snapshot) -> None:
        super().load(Snapshot(0, snapshot.params, snapshot.slots))


class Norm(Trainer):
    """It reports the gradient norm after clipping."""

    def wait(self, pending: StepResult) -> StepResult:
        return replace(pending, grad_norm=min(1e-3, pending.grad_norm))


class ParamNorm(Trainer):
    """It reports the squared norm of each parameter's gradient."""

    def wait(self, pending: StepResult) -> StepResult:
        return replace(pending, param_norms={n: v * v for n, v in pending.param_norms.items()})


class Late(Trainer):
    """Its step reports another batch's loss."""

    def wait(self, pending: StepResult) -> StepResult:
        return replace(pending, loss=pending.loss + 1e-6)


class Output(Trainer):
    """Its outputs forget the read-out's bias where it matters least: they are shifted."""

    def outputs(self, handle: Batch, state: State | None = None) -> Any:
        outputs, final = super().outputs(handle, state)
        return outputs + 1e-9, final


class Nan(Trainer):
    """One NaN in one gradient."""

    def grads(self, handle: Batch) -> tuple[float, Params]:
        loss, g = super().grads(handle)
        g["layer0/W"].flat[0] = np.nan
        return loss, g


class Missing(Trainer):
    """One gradient under another name."""

    def grads(self, handle: Batch) -> tuple[float, Params]:
        loss, g = super().grads(handle)
        g["layer0/R"] = g.pop("layer0/U")
        return loss, g


class Flow(Trainer):
    """Its gradient flow is shifted by one step."""

    def flow(self, handle: Batch) -> Params:
        return {name: np.roll(f, 1) for name, f in super().flow(handle).items()}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Gradient, r"gradients at layer0/U: error .* > limit 1e-13"),
        (Loss, r"loss: error 2\.00e\+00 > limit 3e-14"),
        (Rate, r"update/parameters at .*: error .* > limit 3e-14"),
        (Correction, r"update/parameters at .*: error .* > limit 3e-14"),
        (Norm, r"update/gradient norm: error .* > limit 1e-13"),
        (ParamNorm, r"update/norm per parameter at .*: error .* > limit 1e-13"),
        (Late, r"update/loss: error .* > limit 3e-14"),
        (Output, r"outputs: error .* > limit 3e-14"),
        (Nan, r"gradients at layer0/W: error nan > limit"),
        (Missing, r"gradients at layer0/R, layer0/U: error inf > limit .*these names are in one of the two only"),
        (Flow, r"gradient flow at layer0/h: error .* > limit 1e-13"),
    ],
)
def test_a_planted_fault_is_refused_and_no_number_is_reported(
    model: type[Trainer], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "Trainer", model)
    got = cell.run(tiny(flow_at=(0,)), tmp_path, "p")
    assert got.outcome == "crash"
    with pytest.raises(AssertionError, match="^not the specification: " + message):
        raise AssertionError(got.reason)
    assert (got.checks, got.scores, got.curve, got.step_s) == ((), {}, (), ())
    assert (got.first_step_s, got.build_s, got.last_loss, got.peak_rss_bytes) == (0, 0, 0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_training_starts_from_the_cells_own_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check leaves no trace: one update of the cell is one update of the oracle from the initial values."""
    from suite import registry
    from suite.spec import optim
    from suite.spec.contract import Net

    c = tiny(steps=1, eval_every=0)
    cell.run(c, tmp_path, "p")
    task = registry.task("probe")
    net = Net(registry.arch("rnn"), task.signature, c.sizes)
    p = params.init(net, 0)
    g = network.gradients(net, p, task.batch("train", 0, 0, c.batch))
    want, _, _ = optim.update(c.optim, c.optim.lr, 1, p, g.params, optim.init_slots(c.optim, p))
    got = weights.load(tmp_path / "weights.safetensors").params
    assert params.digest(got) == params.digest(want)


def test_new_shapes_are_not_steady_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import recurbench_probe

    plain = recurbench_probe.Probe.batch

    def longer(self: Any, split: str, seed: int, step: int, size: int) -> Batch:
        b: Batch = plain(self, split, seed, step, size)
        if split == "train" and step in (1, 3):
            double = {name: np.concatenate([getattr(b, name)] * 2, axis=1) for name in ("x", "y", "scored")}
            return replace(b, **double)
        return b

    monkeypatch.setattr(recurbench_probe.Probe, "batch", longer)
    got = cell.run(tiny(), tmp_path, "p")
    assert len(got.step_s) == 3  # of 4: step 1 met a shape first, step 3 knew it


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: tiny(impl="stock"), "NumPy ships no recurrent layer"),
        (lambda: tiny(precision="float32"), "reference computes in float64 only"),
        (lambda: tiny(device="cuda"), "reference runs on the cpu only"),
        (
            lambda: tiny(task="numwords", sizes=replace(tiny().sizes, bidirectional=True)),
            "translate/bidirectional: a decoder starts from one final state",
        ),
    ],
)
def test_what_cannot_run_is_recorded_with_its_reason(make: Callable[[], Cell], reason: str, tmp_path: Path) -> None:
    got = cell.run(make(), tmp_path, "p")
    assert got.outcome == "unsupported"
    assert got.reason.startswith(reason)
    assert got == record.read(tmp_path / "result.json")


def test_divergence_ends_training_and_keeps_what_was_finite(tmp_path: Path) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        got = cell.run(DIVERGING, tmp_path, "p")
    assert got.outcome == "diverged"
    assert re.fullmatch(
        r"loss is inf at update 2, with a gradient that is not finite at \S+ and \d+ more of \d+ parameters", got.reason
    )
    assert math.isfinite(got.last_loss)
    assert "test" not in got.scores
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1]


def test_a_score_that_is_not_finite_is_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import recurbench_probe

    monkeypatch.setattr(recurbench_probe.Probe, "score", lambda self, p, b: {"accuracy": math.nan, "accuracy_se": 0.0})
    got = cell.run(tiny(), tmp_path, "p")
    assert (got.outcome, got.reason) == ("diverged", "accuracy is nan at val after update 2")


def test_limits_grow_with_nothing_but_precision() -> None:
    assert set(LIMITS) == {"float32", "float64"}
    assert all(LIMITS["float64"][name] < 1e-6 * LIMITS["float32"][name] for name in LIMITS["float32"])
