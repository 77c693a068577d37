"""MLflow away, dying, coming back, slow, locked, broken: the cells run on, nothing is lost, and sync fills it in."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from suite import api, record
from suite.plan import Plan
from suite.sinks import mlflow as sinks
from suite.sinks import tracker as trackers
from suite.sinks.mlflow import Sink
from tests.probes import environment, suite, tiny
from tests.processes import PLAN, heard, start_and_wait, words
from tests.records import cell, ok, write_folder
from tests.servers import Server, free_port

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # inside MLflow 3.17
SYNTHETIC = Plan("synthetic", "t", "d", True, (cell(),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.toml").write_text(PLAN.format(fault="print"))
    return tmp_path


def counted(database: Path) -> dict[str, int]:
    """Rows of every table that a sync could add to."""
    names = (
        "runs",
        "tags",
        "params",
        "metrics",
        "latest_metrics",
        "experiments",
        "experiment_tags",
        "datasets",
        "inputs",
    )
    with closing(sqlite3.connect(database)) as store:
        return {name: store.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def all_there(results: Path) -> None:
    """Three cells in the store, each once, and syncing again adds no row."""
    assert sinks.sync(results) == 0
    sink = Sink(None, results, "probes")
    found = sinks.runs.search(sink.client, sink.experiment, {"suite.role": "cell"})
    assert sorted(run.info.status for run in found) == ["FINISHED"] * 3
    before = counted(results / "mlflow.db")
    for _ in range(2):
        assert sinks.sync(results) == 0
        assert counted(results / "mlflow.db") == before


def test_a_healthy_store_has_everything_at_the_end(folder: Path) -> None:
    done = suite("run", "p.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "dashboard: python -m suite ui --results results, then http://127.0.0.1:5000/#/" in done.stdout
    assert "warning" not in done.stderr
    all_there(folder / "results")


def test_no_server_costs_a_warning(folder: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = suite("run", "p.toml", "--tracking-uri", url, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"warning: MLflow is off ({url}: " in done.stderr
    assert "later: python -m suite sync --results results" in done.stderr
    assert "dashboard:" not in done.stdout
    assert [r.outcome for r in api.read(folder / "results")] == ["ok"] * 3
    assert sinks.sync(folder / "results") == 3
    all_there(folder / "results")


def test_nobody_waits_for_a_server_that_hangs(hanging: str, folder: Path) -> None:
    """It would take a hundred seconds a call, and there are thirty: the cells end without them."""
    start = time.monotonic()
    words_ = ("run", "p.toml", "--tracking-uri", hanging)
    done = suite(*words_, cwd=folder, MLFLOW_HTTP_REQUEST_TIMEOUT="100")
    took_s = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    assert "warning: MLflow is off" in done.stderr
    assert [r.outcome for r in api.read(folder / "results")] == ["ok"] * 3
    assert took_s < 60  # 15 s on an idle machine
    assert [p for p in psutil.process_iter() if "suite.sinks.tracker" in words(p) and p.cwd() == str(folder)] == []


def test_a_store_that_somebody_locks(folder: Path) -> None:
    results = folder / "results"
    results.mkdir()
    assert Sink(None, results, "probes").online
    with closing(sqlite3.connect(results / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = suite("run", "p.toml", cwd=folder)
        other.execute("ROLLBACK")
    assert done.returncode == 0, done.stderr
    assert "database is locked" in done.stderr
    assert [r.outcome for r in api.read(results)] == ["ok"] * 3
    assert sinks.sync(results) == 3
    all_there(results)


def test_a_store_that_cannot_be_written(folder: Path) -> None:
    uri = "sqlite:////proc/nowhere/mlflow.db"
    done = suite("run", "p.toml", "--tracking-uri", uri, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"warning: MLflow is off ({uri}: " in done.stderr
    assert [r.outcome for r in api.read(folder / "results")] == ["ok"] * 3


def ordinary(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``python -m suite`` of somebody for whom the modes of files count, which they do not for root."""
    command = [sys.executable, "-m", "suite", *words]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may write everywhere, and there is no setpriv that takes this from it")
        less = "-dac_override,-dac_read_search"
        command = ["setpriv", "--bounding-set", less, "--inh-caps", less, *command]
    return subprocess.run(command, env=environment(), cwd=cwd, capture_output=True, text=True)


def test_a_folder_that_is_read_only_is_one_line(folder: Path) -> None:
    (folder / "results").mkdir(mode=0o555)
    done = ordinary("run", "p.toml", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "recurbench: results/probes: Permission denied; choose another --out\n"


def test_a_store_that_is_read_only_costs_a_warning_and_is_filled_later(folder: Path) -> None:
    assert suite("run", "p.toml", cwd=folder).returncode == 0
    store = folder / "results" / "mlflow.db"
    store.chmod(0o444)
    done = ordinary("run", "p.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "attempt to write a readonly database); the records are complete without it" in done.stderr
    assert [r.outcome for r in api.read(folder / "results")] == ["ok"] * 3
    store.chmod(0o644)
    assert [sinks.sync(folder / "results") for _ in range(2)] == [3, 0]


def limited(size: int, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``python -m suite`` where no file may grow beyond so many KiB, as on a disk that is full."""
    command = f"ulimit -f {size}; exec {sys.executable} -m suite {' '.join(words)}"
    return subprocess.run(["bash", "-c", command], env=environment(), cwd=cwd, capture_output=True, text=True)


def test_a_disk_that_fills_up_under_the_store(folder: Path) -> None:
    done = limited(200, "run", "p.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "disk I/O error" in done.stderr
    assert not (folder / "results" / "mlflow.db").exists()  # no half of a store is left
    assert [r.outcome for r in api.read(folder / "results")] == ["ok"] * 3
    assert sinks.sync(folder / "results") == 3
    all_there(folder / "results")


def test_a_disk_that_is_full_is_one_line(folder: Path) -> None:
    done = limited(1, "run", "p.toml", "--tracking-uri", "none", cwd=folder)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("recurbench: results/probes/")
    assert last.endswith("/result.json: File too large")
    assert "Traceback" not in done.stderr
    assert api.read(folder / "results") == []
    again = suite("run", "p.toml", "--tracking-uri", "none", "--resume", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert [r.outcome for r in api.read(folder / "results")] == ["ok"] * 3


def test_a_broken_store(folder: Path) -> None:
    (folder / "results").mkdir()
    (folder / "results" / "mlflow.db").write_bytes(b"no database" * 1000)
    done = suite("run", "p.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "file is not a database" in done.stderr
    assert [r.outcome for r in api.read(folder / "results")] == ["ok"] * 3


def test_a_tracker_that_is_killed(folder: Path) -> None:
    (folder / "p.toml").write_text(PLAN.format(fault="wait"))
    waits = folder / "results" / "probes" / tiny("wait", eval_every=0).key
    gate = folder / "gate"
    runner = start_and_wait("run", "p.toml", cwd=folder, gate=gate, folder=waits, points=2)
    trackers_ = [p for p in psutil.Process(runner.pid).children() if "suite.sinks.tracker" in " ".join(words(p))]
    assert len(trackers_) == 1
    trackers_[0].kill()
    heard(runner, "warning: MLflow is off (its process ended")
    gate.touch()
    _, said = runner.communicate(timeout=60)
    assert runner.returncode == 0, said
    assert [r.outcome for r in api.read(folder / "results")] == ["ok"] * 3
    sinks.sync(folder / "results")
    all_there(folder / "results")


def test_a_server_that_dies_and_comes_back_is_filled_during_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks.facts, "machine", lambda: {"machine_id": ""})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server").start()
    results = tmp_path / "results"
    first, second, third = ok(cell()), ok(cell(seed=1)), ok(cell(seed=2))
    said: list[tuple[str, dict[str, Any]]] = []
    told = {"uri": server.url, "results": str(results), "plan": first.plan, "description": "d", "cells": 3}
    tracker = trackers.Tracker(told, lambda event, **more: said.append((event, more)))
    try:
        tracker.hear({"start": first.cell.as_json()})
        write_folder(results, first)
        tracker.hear({"end": first.key})
        tracker.hear({"start": second.cell.as_json()})
        server.kill()
        write_folder(results, second)
        tracker.hear({"end": second.key})
        tracker.hear({"start": third.cell.as_json()})
        assert [event for event, _ in said] == ["online", "sent", "offline"]
        server.start()
        monkeypatch.setattr(trackers, "RETRY_S", 0.0)
        tracker.feed()
        assert [event for event, _ in said[3:]] == ["sent", "online"]
        write_folder(results, third)
        tracker.hear({"end": third.key})
        tracker.close("FINISHED")
        assert [event for event, _ in said[5:]] == ["sent", "closed"]
        sink = Sink(server.url, results, first.plan)
        found = sinks.runs.search(sink.client, sink.experiment, {"suite.plan": first.plan})
        assert sorted(run.data.tags["suite.role"] for run in found) == ["cell", "cell", "cell", "sweep"]
        assert {run.info.status for run in found} == {"FINISHED"}
        assert sinks.sync(results, server.url) == 0
    finally:
        server.kill()


def test_sync_after_every_kind_of_end(folder: Path) -> None:
    """What is left when neither store nor runner was well is sent, whole, and three times is once."""
    (folder / "p.toml").write_text(PLAN.format(fault="raise"))
    done = suite("run", "p.toml", "--tracking-uri", "none", cwd=folder)
    assert done.returncode == 1
    results = folder / "results"
    assert sinks.sync(results) == 3
    before = counted(results / "mlflow.db")
    for _ in range(3):
        assert sinks.sync(results) == 0
    assert counted(results / "mlflow.db") == before
    sink = Sink(None, results, "probes")
    found = sinks.runs.search(sink.client, sink.experiment, {"suite.role": "cell"})
    (bad,) = [run for run in found if run.data.tags["outcome"] == "crash"]
    assert bad.info.status == "FAILED"
    assert "ValueError: the probe was told to fail" in bad.data.tags["reason"]
    crashed = next(r for r in record.read_all(results) if r.outcome == "crash")
    assert crashed.log
