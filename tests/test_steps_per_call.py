"""Several updates in one call: what they report, when they are refused, and that a wrong call is found by its name."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.reference import trainer
from suite import cell, plan
from suite.exam.calls import check_calls
from suite.exam.cases import LABEL
from suite.perf import probe
from suite.spec.archs import ARCHS
from suite.spec.contract import Batch, Snapshot
from suite.spec.schedule import Schedule
from tests.probes import PLUGIN, ROOT, environment, tiny

Trainer = trainer.Trainer


class Honest(Trainer):
    """Several updates in one call."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        return [self.step(handle, lr) for handle, lr in zip(handles, lrs, strict=True)]


class FirstBatch(Honest):
    """Every update re-uses the first one's batch."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        return super().steps([handles[0]] * len(handles), lrs)


class FirstRate(Honest):
    """Every update has the first one's learning rate."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        return super().steps(handles, [lrs[0]] * len(lrs))


class FirstCorrections(Honest):
    """Every update has the bias corrections of the first one."""

    def step(self, handle: Any, lr: float) -> Any:
        self._step = self._before if self._inside else self._step
        return super().step(handle, lr)

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        self._before, self._inside = self._step, True
        reports = super().steps(handles, lrs)
        self._step, self._inside = self._before + len(lrs), False
        return reports

    _before, _inside = 0, False


class SlotsKept(Honest):
    """The means of the gradients are not handed on within a call."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        reports = []
        for handle, lr in zip(handles, lrs, strict=True):
            kept = self._slots
            reports.append(self.step(handle, lr))
            self._slots, last = kept, self._slots
        self._slots = last
        return reports


class LastReport(Honest):
    """Every update reports what the last one does."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        return [super().steps(handles, lrs)[-1]] * len(lrs)


class CountsOnce(Honest):
    """A call counts as one step."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        reports = super().steps(handles, lrs)
        self._step -= len(lrs) - 1
        return reports


class OneShort(Honest):
    """The last update is left out."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        return super().steps(handles[:-1], lrs[:-1])


class NormsOfFirst(Honest):
    """The norms of each parameter's gradient are the first update's."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        first, *others = super().steps(handles, lrs)
        return [first, *(replace(other, param_norms=first.param_norms) for other in others)]


FAULTS = [
    (FirstBatch, "updates a call/losses"),
    (FirstRate, "updates a call/parameters at"),
    (FirstCorrections, "updates a call/parameters at"),
    (SlotsKept, "updates a call/slot m at"),
    (LastReport, "updates a call/losses"),
    (CountsOnce, "updates a call/step count"),
    (OneShort, "updates a call/losses: error inf"),
    (NormsOfFirst, "updates a call/norm per parameter at"),
]


def checked(model: type[Trainer]) -> list[Any]:
    """What the exam says of a model."""
    arch = ARCHS["gru"]
    return list(check_calls(model(LABEL.net(arch), LABEL.optim, Snapshot(0, LABEL.params(arch))), arch, "float64"))


def test_an_honest_call_passes_and_a_refusal_is_no_failure() -> None:
    found = checked(Honest)
    assert all(check.ok for check in found)
    assert {check.check.split("/")[1] for check in found} == {
        *("step count", "losses", "gradient norms", "norm per parameter", "parameters", "slot m", "slot v")
    }
    assert checked(Trainer) == []


@pytest.mark.parametrize(("model", "words"), FAULTS)
def test_a_planted_fault_is_found(model: type[Trainer], words: str) -> None:
    failed = "\n".join(str(check) for check in checked(model) if not check.ok)
    assert f"3 {words}" in failed, failed


@pytest.fixture
def honest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setattr(trainer, "Trainer", Honest)


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize(("model", "words"), FAULTS[:2])
def test_a_wrong_call_is_refused_before_the_clock(
    model: type[Trainer], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "Trainer", model)
    got = cell.run(tiny(steps_per_call=2), tmp_path, "p")
    assert (got.outcome, got.step_s) == ("crash", ())
    assert f"not the specification: 2 {words}" in got.reason


@pytest.mark.usefixtures("honest")
def test_calls_of_two_train_as_calls_of_one(tmp_path: Path) -> None:
    c = tiny(schedule=Schedule("linear", warmup=1), flow_at=(0, 2), steps=8, dropout=0.2)
    one, two = (cell.run(replace(c, steps_per_call=k), tmp_path / str(k), "p") for k in (1, 2))
    assert one.outcome == two.outcome == "ok"
    assert (one.digests, one.scores, one.last_loss) == (two.digests, two.scores, two.last_loss)
    assert (one.updates, one.tokens_per_step, one.flops_per_step) == (
        two.updates,
        two.tokens_per_step,
        two.flops_per_step,
    )
    assert {row["check"] for row in two.checks} - {row["check"] for row in one.checks} == {
        f"2 updates a call/{what}"
        for what in ("step count", "losses", "gradient norms", "norm per parameter", "parameters", "slot m", "slot v")
    }
    assert len(two.step_s) == c.steps
    assert two.step_s[::2] == two.step_s[1::2]  # the shares of a call
    lines = [(tmp_path / str(k) / "metrics.jsonl").read_text().splitlines() for k in (1, 2)]
    for a, b in zip(*(map(json.loads, text) for text in lines), strict=True):
        assert a["step"] == b["step"]
        assert {**a["values"], "train/ms_per_step": 0} == {**b["values"], "train/ms_per_step": 0}


@pytest.mark.usefixtures("honest")
def test_a_refusal_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "Trainer", Trainer)
    got = cell.run(tiny(steps_per_call=2), tmp_path, "p")
    assert (got.outcome, got.reason) == (
        "unsupported",
        "NumPy has no call of an update to save; set steps_per_call = 1",
    )


@pytest.mark.usefixtures("honest")
def test_batches_of_several_shapes_share_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from recurbench_probe import Probe  # type: ignore[import-not-found]

    plain = Probe.batch

    def longer(self: Any, split: str, seed: int, step: int, size: int) -> Batch:
        b: Batch = plain(self, split, seed, step, size)
        if split == "train" and step == 3:
            return replace(b, **{name: np.concatenate([getattr(b, name)] * 2, axis=1) for name in ("x", "y", "scored")})
        return b

    monkeypatch.setattr(Probe, "batch", longer)
    got = cell.run(tiny(steps_per_call=2), tmp_path, "p")
    assert got.outcome == "unsupported"
    assert got.reason == "batches of different shapes cannot share a call; set steps_per_call = 1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"steps": 5},
            "cell: steps is 5, steps_per_call 2; nothing can be done within a call: make steps a multiple of 2",
        ),
        ({"eval_every": 1}, "cell: eval_every is 1, steps_per_call 2; "),
        ({"flow_at": (0, 3)}, "cell: flow_at is 3, steps_per_call 2; "),
        ({"steps_per_call": 0}, "cell: steps_per_call is 0; it must be at least 1"),
    ],
)
def test_what_would_fall_within_a_call_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        tiny(**{"steps_per_call": 2} | changes)


def test_a_plan_has_it_and_the_command_line_may_change_it() -> None:
    assert {c.steps_per_call for c in plan.load("smoke").cells} == {1}
    assert {c.steps_per_call for c in plan.load("smoke", steps_per_call=4).cells} == {4}
    with pytest.raises(ValueError, match=r"smoke\.toml: cell: steps is 8, steps_per_call 5; "):
        plan.load("smoke", steps_per_call=5)


@pytest.mark.usefixtures("honest")
def test_a_probe_tells_seconds_an_update() -> None:
    alone, shared = (probe.prepare(tiny(steps_per_call=k), "step", check=True) for k in (1, 2))
    assert alone[2]["losses"] == shared[2]["losses"]
    assert (alone[2]["updates_per_call"], shared[2]["updates_per_call"]) == (1, 2)
    assert probe.prepare(tiny(steps_per_call=2), "forward")[2]["updates_per_call"] == 1
    made: list[int] = []
    ran = probe._timed(lambda: made.append(1), lambda: None, 5, together=2)
    assert (len(made), len(ran["seconds"])) == (3, 6)
    assert ran["seconds"][::2] == ran["seconds"][1::2]


@pytest.mark.usefixtures("honest")
def test_a_probe_holds_a_call_against_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "Trainer", FirstBatch)
    with pytest.raises(RuntimeError, match="is not the specification: 2 updates a call/losses: error"):
        probe.prepare(tiny(steps_per_call=2), "step", check=True)
    probe.prepare(tiny(), "step", check=True)


CODE = """
import json, sys
from dataclasses import replace
from pathlib import Path
from suite import cell
from suite.spec.cell import Cell
from suite.spec.contract import Sizes

backend, arch, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
c = Cell("hmm_tag", arch, backend, impl="fused", options=(("test_size", 2), ("time", 3), ("val_size", 2)),
         sizes=Sizes(4, embed=3), batch=3, steps=4, dropout=0.2, precision="float64")
if arch != "gru":
    c = replace(c, task="dates", impl="scan", options=(("profile", "tiny"),))
for k in (1, 2):
    got = cell.run(replace(c, steps_per_call=k), folder / str(k), "p")
    print(json.dumps([got.outcome, got.reason, got.digests, got.scores, got.last_loss, got.last_grad_norm]))
"""
RUNS = [
    ("jax", "gru"),
    pytest.param("tensorflow", "gru", marks=pytest.mark.slow),
    pytest.param("jax", "gru_attention", marks=pytest.mark.slow),
    pytest.param("tensorflow", "gru_attention", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("backend", "arch"), RUNS)
def test_a_backend_trains_bit_for_bit_alike(backend: str, arch: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    command = [sys.executable, "-c", CODE, backend, arch, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = map(json.loads, done.stdout.splitlines()[-2:])
    assert one[0] == "ok", one
    assert two == one
