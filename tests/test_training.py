"""Training: the learning rate follows its schedule, and with patience it stops in time and goes back to the best."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.reference import trainer
from suite import cell, record, weights
from suite.spec import params
from suite.spec.cell import Cell
from suite.spec.schedule import Schedule
from tests.probes import PLUGIN, tiny

Trainer = trainer.Trainer


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))


def rates(monkeypatch: pytest.MonkeyPatch, c: Cell, folder: Path) -> list[float]:
    told: list[float] = []
    honest = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, handle, lr: told.append(lr) or honest(self, handle, lr))
    assert cell.run(c, folder, "p").outcome == "ok"
    return told[1:]  # the first is the check's


def test_updates_follow_the_schedule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    schedule = Schedule("linear", warmup=1)
    c = tiny(schedule=schedule)
    want = [schedule.rate(c.optim.lr, t, c.steps) for t in range(1, c.steps + 1)]
    assert rates(monkeypatch, c, tmp_path) == want
    assert len(set(want)) == c.steps
    points = [json.loads(line)["values"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [p["train/lr"] for p in points if "train/lr" in p] == pytest.approx(want)


def test_without_a_schedule_the_rate_stays_and_has_no_curve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert set(rates(monkeypatch, tiny(), tmp_path)) == {tiny().optim.lr}
    assert "train/lr" not in (tmp_path / "metrics.jsonl").read_text()


def scored(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """The task's validation scores, one after the other; the test's is what comes last."""
    from recurbench_probe import Probe  # type: ignore[import-not-found]

    told = iter(scores)
    monkeypatch.setattr(Probe, "score", lambda self, predictions, batches: {"accuracy": next(told)})


@pytest.mark.parametrize(
    ("scores", "updates", "best"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.4], 8, 8),  # better to the end
        ([0.1, 0.3, 0.2, 0.3, 0.3], 8, 4),  # two without a better one: equal is not better
        ([0.5, 0.1, 0.2, 0.5], 6, 2),
        ([0.1, 0.1, 0.2, 0.1, 0.2], 8, 6),  # one of patience is left
    ],
)
def test_patience(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scores: list[float], updates: int, best: int
) -> None:
    scored(monkeypatch, scores)
    got = cell.run(tiny(steps=8, patience=2), tmp_path, "p")
    assert (got.outcome, got.updates, got.best_update) == ("ok", updates, best)
    assert (
        got.scores["val"]["accuracy"] == max(point["accuracy"] for point in got.curve) == got.scores["test"]["accuracy"]
    )
    assert record.read(tmp_path / "result.json") == got
    final = weights.load(tmp_path / "weights.safetensors")
    assert final.step == best
    assert got.digests["final"] == params.digest(final.params)


def test_the_best_model_is_the_one_that_is_tested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short = cell.run(tiny(steps=2), tmp_path / "short", "p")
    scored(monkeypatch, [0.5, 0.1, 0.1, 0.5])
    stopped = cell.run(tiny(steps=8, patience=2), tmp_path / "stopped", "p")
    assert stopped.best_update == short.updates == short.best_update == 2
    assert stopped.digests["final"] == short.digests["final"]


def test_without_patience_the_last_model_is_tested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scored(monkeypatch, [0.5, 0.1, 0.1])
    got = cell.run(tiny(), tmp_path, "p")
    assert (got.updates, got.best_update, got.scores["val"]["accuracy"]) == (4, 4, 0.1)


def test_patience_without_validation_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("patience is 2, eval_every 0; patience counts validations")):
        tiny(patience=2, eval_every=0)


def test_smoothing_is_trained_by_and_not_scored_by(tmp_path: Path) -> None:
    still = replace(tiny().optim, lr=0.0)  # so that both have the same parameters
    plain, smooth = (cell.run(tiny(smoothing=s, optim=still), tmp_path / str(s), "p") for s in (0.0, 0.5))
    assert (plain.outcome, smooth.outcome) == ("ok", "ok")
    assert smooth.last_loss != plain.last_loss
    assert smooth.scores == plain.scores


def test_smoothing_of_values_is_refused(tmp_path: Path) -> None:
    got = cell.run(tiny(task="adding", smoothing=0.1), tmp_path, "p")
    assert got.outcome == "unsupported"
    assert got.reason.startswith("mse/smoothing: only the loss 'xent' has classes to smooth")


def test_updates_are_made_under_masks_and_scores_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: dict[str, list[float]] = {"step": [], "outputs": []}
    for name, rates in given.items():
        honest = getattr(Trainer, name)

        def spy(self: Any, handle: Any, *more: Any, honest: Any = honest, rates: list[float] = rates) -> Any:
            masks = handle.masks.values()
            rates.append(sum((m == 0).mean() for m in masks) / len(masks) if masks else 0.0)
            return honest(self, handle, *more)

        monkeypatch.setattr(Trainer, name, spy)
    got = cell.run(tiny(dropout=0.5), tmp_path, "p")
    assert got.outcome == "ok"
    assert min(given["step"]) > 0
    first, *scored = given["outputs"]
    assert first > 0  # the check before the clock is made under the first batch's masks
    assert set(scored) == {0.0}
    assert got.digests["final"] != cell.run(tiny(), tmp_path / "without", "p").digests["final"]


def test_a_mask_that_differs_stops_the_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest = Trainer.put
    monkeypatch.setattr(Trainer, "put", lambda self, batch: honest(self, replace(batch, masks={})))
    got = cell.run(tiny(dropout=0.5), tmp_path, "p")
    assert got.outcome == "crash"
    assert got.reason.startswith("not the specification: ")
