"""The MLflow sink on a store in a file: live feeding, statuses, dead runners, stores that break, the view."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from suite.record import read_all
from suite.sinks import mlflow as sinks
from suite.sinks import runs, views
from suite.sinks.mlflow import Sink
from tests.records import PLAN, START_MS, cell, curve_lines, failed, ok, write_all, write_folder
from tests.stores import cells, here, history, live

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # inside MLflow 3.17


def test_a_cell_is_shown_while_it_runs_and_complete_afterwards(results: Path) -> None:
    r = here(ok(cell(flow_at=(1, 200))))
    sink = Sink(None, results, PLAN)
    sink.sweep(PLAN, "what it shows", 1)
    folder = results / PLAN / r.key
    folder.mkdir(parents=True)
    lines = "".join(curve_lines(r.cell, 90))
    sink.start(r.cell)
    (folder / "metrics.jsonl").write_text(lines[:-7], encoding="utf-8")  # the last line is not whole yet
    sink.feed(r.cell, folder)
    (run,) = cells(sink)
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "pytorch/gru/hmm_tag/s0"
    assert [p[0] for p in history(sink, run, "train/loss")] == list(range(1, 90))

    write_folder(results, r)
    sink.end(r, folder)
    (run,) = cells(sink)
    assert run.info.status == "FINISHED"
    points = history(sink, run, "train/loss")
    assert [p[0] for p in points] == list(range(1, 201))
    assert points[4][1] == START_MS + 50
    assert run.data.metrics["final/accuracy"] == pytest.approx(r.scores["test"]["accuracy"])
    assert run.data.metrics["final/parameters"] == 12_000
    assert run.data.tags["outcome"] == "ok"
    assert run.data.tags["mlflow.parentRunId"] == sink.parent
    assert run.data.params["sizes.hidden"] == "32"
    assert run.inputs.dataset_inputs[0].dataset.name == "hmm_tag"
    names = {a.path for a in sink.client.list_artifacts(run.info.run_id)}
    assert names == {"record.json", "weights.safetensors", "flow.npz", "figures"}
    assert "/artifacts/" in run.info.artifact_uri

    sink.close("FINISHED")
    parent = sink.client.get_run(sink.parent)
    assert parent.info.status == "FINISHED"
    assert "gru pytorch scan" in parent.data.tags["mlflow.note.content"]


@pytest.mark.parametrize(
    ("outcome", "reason", "status"),
    [
        ("unsupported", "because", "FINISHED"), ("diverged", "because", "FAILED"),
        ("oom", "because", "KILLED"),
        ("crash", "exit code 1: because", "FAILED"),
        ("crash", "killed by SIGSEGV", "KILLED"),
        ("timeout", "because", "KILLED"),
        ("skipped", "because", "KILLED"),
    ],
)  # fmt: skip
def test_status_follows_from_the_record_alone(results: Path, outcome: Any, reason: str, status: str) -> None:
    sink = Sink(None, results, PLAN)
    sink.sweep(PLAN, "", 1)
    live(sink, results, here(failed(cell(), outcome, reason)))
    (run,) = cells(sink)
    assert run.info.status == status
    assert (run.data.tags["outcome"], run.data.tags["reason"]) == (outcome, reason)
    sink.client.delete_run(run.info.run_id)
    assert sinks.sync(results) == 1
    assert [again.info.status for again in cells(sink)] == [status]  # the same when it is sent afterwards


def test_runs_of_dead_runners_are_killed_and_others_are_left(results: Path) -> None:
    sink = Sink(None, results, PLAN)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host, me, boot = runs.runner().split(":")
    runners = {"gone": f"{host}:{child.pid}:{boot}", "before boot": f"{host}:{me}:0", "elsewhere": f"far:{child.pid}:0"}
    made = {name: sink.create(name, {"suite.runner": r}, START_MS) for name, r in runners.items()}
    made["mine"] = sink.create("mine", {"suite.runner": runs.runner()}, START_MS)
    assert runs.close_stale(sink.client, sink.experiment) == 2
    status = {name: sink.client.get_run(run_id).info.status for name, run_id in made.items()}
    assert status == {"gone": "KILLED", "before boot": "KILLED", "elsewhere": "RUNNING", "mine": "RUNNING"}


def test_a_store_that_breaks_costs_one_warning_and_no_result(
    results: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    def broken(*args: object, **more: object) -> None:
        raise MlflowException("disk I/O error\nand a page of SQL")

    sink = Sink(None, results, PLAN)
    sink.sweep(PLAN, "", 2)
    monkeypatch.setattr(sink.client, "log_batch", broken)
    with caplog.at_level(logging.WARNING):
        live(sink, results, here(ok(cell())))
        live(sink, results, here(ok(cell(seed=1))))
        sink.close("FINISHED")
    assert not sink.online
    assert "disk I/O error" in sink.why_offline
    assert "page of SQL" not in sink.why_offline
    assert len([m for m in caplog.messages if "MLflow is off" in m]) == 1
    assert sinks.sync(results) == 2
    assert {run.info.status for run in cells(Sink(None, results, PLAN))} == {"FINISHED"}


def test_a_file_that_is_no_store_turns_the_sink_off(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 100)
    sink = Sink(None, tmp_path, PLAN)
    assert not sink.online
    assert "not a database" in sink.why_offline


def test_an_interrupted_sweep_leaves_no_run_running(results: Path) -> None:
    sink = Sink(None, results, PLAN)
    sink.sweep(PLAN, "", 2)
    sink.start(cell())
    sink.close("KILLED")
    (run,) = cells(sink)
    assert (run.info.status, sink.client.get_run(sink.parent).info.status) == ("KILLED", "KILLED")


def test_a_bug_of_ours_is_not_swallowed(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink(None, results, PLAN)
    monkeypatch.setattr(sink, "create", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sink.start(cell())


def test_the_view_decodes_and_names_the_plans_metric(results: Path) -> None:
    sink = Sink(None, results, PLAN)
    sink.sweep(PLAN, "", 1)
    live(sink, results, here(ok(cell())))
    sink.close("FINISHED")
    tags = sink.client.get_experiment(sink.experiment).tags
    value = tags[views.PREFIX + views.key(PLAN)]
    assert len(value) <= views.LIMIT
    state = views.decode(value)
    assert state == views.state(PLAN, {"accuracy"}, {"gru pytorch scan, hmm_tag"})
    assert {c["metricSectionId"] for c in state["compareRunCharts"]} <= {s["uuid"] for s in state["compareRunSections"]}
    assert len({c["uuid"] for c in state["compareRunCharts"]}) == len(state["compareRunCharts"])
    assert sink.url().endswith(
        f"#/experiments/{sink.experiment}/runs?viewStateShareKey=recurbench-{PLAN}"
        "&compareRunsMode=CHART&workflowType=machine_learning"
    )
    assert "recurbench" in tags["mlflow.note.content"]


def test_a_view_too_long_for_the_store_fails_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(views, "LIMIT", 10)
    sink = Sink(None, results, PLAN)
    sink.sweep(PLAN, "", 0)
    with caplog.at_level(logging.WARNING):
        sink.close("FINISHED")
    assert sink.online
    assert any("no chart view" in m for m in caplog.messages)


def test_a_server_that_is_down_at_the_start(tmp_path: Path) -> None:
    sink = Sink("http://127.0.0.1:9", tmp_path, PLAN)
    assert not sink.online
    assert "refused" in sink.why_offline
    sink.sweep(PLAN, "", 1)
    live(sink, tmp_path, ok(cell()))
    sink.close("FINISHED")
    with pytest.raises(ConnectionError, match=r"sync: http://127\.0\.0\.1:9"):
        sinks.sync(tmp_path, "http://127.0.0.1:9")


def test_artifacts_below_the_results_are_not_taken_for_records(tmp_path: Path) -> None:
    write_all(tmp_path, [ok(cell())], flow=False)
    assert sinks.sync(tmp_path) == 1  # the store and its artifacts lie in the same folder
    assert (tmp_path / "artifacts").is_dir()
    assert len(read_all(tmp_path)) == 1
