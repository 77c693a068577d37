"""Records sent afterwards: what sync makes of nothing, of a part, and of what is whole."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite.record import Record
from suite.sinks import mlflow as sinks
from suite.sinks import rows, runs
from suite.sinks.mlflow import Sink
from tests.records import PLAN, START_MS, cell, curve_lines, ok, write_all, write_folder
from tests.stores import cells, here, history, live

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # inside MLflow 3.17


def test_replay_equals_live_and_twice_is_once(results: Path, template: Path, tmp_path: Path) -> None:
    r = here(ok(cell()))
    sink = Sink(None, results, PLAN)
    sink.sweep(PLAN, "", 1)
    live(sink, results, r)
    sink.close("FINISHED")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    shutil.copy(template, tmp_path / "other.db")
    assert sinks.sync(results, other) == 1
    assert sinks.sync(results, other) == 0
    assert sinks.sync(results) == 0  # the live run had everything
    again = Sink(other, results, PLAN)
    (a,), (b,) = cells(sink), cells(again)
    assert a.data.metrics == b.data.metrics
    for name in a.data.metrics:
        assert history(sink, a, name) == history(again, b, name)
    differ = {"suite.runner", "mlflow.parentRunId", "mlflow.user"}
    assert {k: v for k, v in a.data.tags.items() if k not in differ} == {
        k: v for k, v in b.data.tags.items() if k not in differ
    }
    assert (a.info.status, a.info.end_time) == (b.info.status, b.info.end_time)
    assert b.info.start_time == rows.milliseconds(r.started)


def cut_off(results: Path, r: Record, curve: str) -> tuple[Sink, Any, Any]:
    """A cell whose tracker was gone after ``curve``, and that sync has sent: the store, its run before and after."""
    sink = Sink(None, results, PLAN)
    sink.sweep(PLAN, "", 1)
    folder = write_folder(results, r)
    (folder / "metrics.jsonl").write_text(curve, encoding="utf-8")
    sink.start(r.cell)
    sink.feed(r.cell, folder)
    (before,) = cells(sink)
    write_folder(results, r)
    assert sinks.sync(results) == 1
    (after,) = cells(sink)
    return sink, before, after


def test_sync_completes_a_run_that_was_cut_off(results: Path) -> None:
    r = here(ok(cell()))
    sink, before, after = cut_off(results, r, "".join(curve_lines(r.cell, 50)))
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FINISHED"
    assert len(history(sink, after, "train/loss")) == 200
    assert sink.client.get_run(sink.parent).info.status == "FINISHED"


class Dying:
    """A store's client whose process dies before its ``last``-th call."""

    def __init__(self, client: Any, last: int) -> None:
        self._client, self.left = client, last

    def __getattr__(self, name: str) -> Any:
        self.left -= 1
        if self.left < 0:
            raise SystemExit(name)
        return getattr(self._client, name)


def test_sync_completes_a_run_wherever_its_tracker_died(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every single call that ends a cell: what is left is a run that sync sends again, never half of one."""
    r = here(ok(cell()))
    folder = write_folder(results, r)
    died = []
    for last in range(20):
        sink = Sink(None, results, PLAN)
        sink.sweep(PLAN, "", 1)
        sink.start(r.cell)
        sink.client = Dying(sink.client, last)
        try:
            sink.end(r, folder)
        except SystemExit as call:
            died.append(str(call))
        else:
            break
        with monkeypatch.context() as patch:
            patch.setattr(runs, "dead", lambda name: True)
            assert sinks.sync(results) == 1, died[-1]
        (run,) = cells(Sink(None, results, PLAN))
        assert (run.info.status, run.data.tags.get("suite.sent")) == ("FINISHED", r.finished), died[-1]
    assert died[-2:] == ["set_terminated", "set_tag"]


def test_an_earlier_attempt_never_mixes_into_a_later_one(results: Path) -> None:
    r = here(ok(cell()))
    earlier = "".join(curve_lines(r.cell, 50)).replace(str(START_MS)[:6], str(START_MS - 10**8)[:6])
    sink, before, after = cut_off(results, r, earlier)
    assert after.info.run_id != before.info.run_id
    assert [p[0] for p in history(sink, after, "train/loss")] == list(range(1, 201))
    sink.start(r.cell)  # run once more: the dashboard shows a cell of a plan once
    (again,) = cells(sink)
    assert again.info.status == "RUNNING"


def test_another_machine_has_its_own_run(results: Path) -> None:
    write_all(results, [here(ok(cell()))], flow=False)
    assert sinks.sync(results) == 1
    write_all(results, [replace(ok(cell()), facts={"machine_id": "machine1"})], flow=False)
    assert sinks.sync(results) == 1
    assert len(cells(Sink(None, results, PLAN))) == 2
