"""The MLflow sink and a real server that dies in the middle of a sweep, comes back, and is filled by sync."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.sinks import mlflow as sinks
from suite.sinks import runs
from suite.sinks.mlflow import Sink
from tests.records import PLAN, cell, curve_lines, failed, ok, write_folder
from tests.servers import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder).start()
    yield server
    server.kill()


@pytest.mark.slow  # tests/test_outages.py has a server that dies and comes back; here it is back only for sync
def test_a_server_dies_during_a_sweep(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks.facts, "machine", lambda: {"machine_id": ""})
    results = tmp_path / "results"
    first, second = ok(cell()), ok(cell(seed=1))
    slow, refused = failed(cell(seed=2), "timeout", "no step for 60 s"), failed(cell(seed=3), "unsupported", "not here")
    sink = Sink(server.url, results, PLAN)
    assert sink.online, sink.why_offline
    sink.sweep(PLAN, "a sweep", 4)
    sink.start(first.cell)
    sink.end(first, write_folder(results, first))
    sink.start(second.cell)
    folder = results / PLAN / second.key
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(curve_lines(second.cell, 50)), encoding="utf-8")
    sink.feed(second.cell, folder)

    server.kill()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING, logger="suite.sinks.mlflow"):
        write_folder(results, second)
        sink.feed(second.cell, folder)
        assert not sink.online
        sink.end(second, folder)
        for record in (slow, refused):
            sink.start(record.cell)
            sink.end(record, write_folder(results, record))
        sink.close("FINISHED")
    assert len(caplog.messages) == 1
    assert "MLflow is off" in caplog.messages[0]

    server.start()
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    assert sinks.sync(results, server.url) == 3  # the first was there
    assert sinks.sync(results, server.url) == 0
    again = Sink(server.url, results, PLAN)
    found = {run.data.tags["seed"]: run for run in runs.search(again.client, again.experiment, {"suite.role": "cell"})}
    status = {seed: run.info.status for seed, run in found.items()}
    assert status == {"0": "FINISHED", "1": "FINISHED", "2": "KILLED", "3": "FINISHED"}
    points = again.client.get_metric_history(found["1"].info.run_id, "train/loss")
    assert [p.step for p in points] == list(range(1, 201))
    assert {a.path for a in again.client.list_artifacts(found["1"].info.run_id)} >= {"record.json", "figures"}
    parent = again.client.get_run(found["1"].data.tags["mlflow.parentRunId"])
    assert (parent.info.run_id, parent.info.status) == (sink.parent, "FINISHED")
