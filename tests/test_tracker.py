"""The process that tells MLflow: it holds nobody up, and says the truth when its runner has been killed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from suite.plan import Plan
from suite.progress import Progress
from suite.stop import Stop
from suite.tracking import Tracker
from tests.probes import environment, tiny
from tests.processes import PLAN, start_and_wait, until
from tests.records import cell, ok, write_folder

SYNTHETIC = Plan("synthetic", "t", "d", True, (cell(),))


def statuses(database: Path) -> list[str]:
    """What the store says of its runs; opening a Sink would first close those of dead runners."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as store:
        return sorted(status for (status,) in store.execute("SELECT status FROM runs"))


def started(folder: Path, *more: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A run whose second cell waits for ever, and its processes."""
    (folder / "p.toml").write_text(PLAN.format(fault="wait"))
    waits = folder / "results" / "probes" / tiny("wait", eval_every=0).key
    runner = start_and_wait("run", "p.toml", *more, cwd=folder, gate=folder / "gate", folder=waits, points=2)
    return runner, psutil.Process(runner.pid).children(recursive=True)


def test_a_runner_that_is_killed_leaves_no_tracker_and_a_sweep_that_says_so(tmp_path: Path) -> None:
    runner, everybody = started(tmp_path)
    database = tmp_path / "results" / "mlflow.db"
    until(lambda: statuses(database) == ["FINISHED", "RUNNING", "RUNNING"], runner)
    runner.kill()
    runner.communicate(timeout=30)
    assert not psutil.wait_procs(everybody, timeout=20)[1]
    assert statuses(database) == ["FINISHED", "KILLED", "KILLED"]


def test_a_store_that_hangs_keeps_no_tracker_alive(
    hanging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "100")
    runner, everybody = started(tmp_path, "--tracking-uri", hanging)
    assert len(everybody) == 2
    runner.kill()
    runner.communicate(timeout=30)
    assert not psutil.wait_procs(everybody, timeout=20)[1]


def test_what_was_told_before_the_runner_was_killed_is_still_sent(tmp_path: Path) -> None:
    first, second = ok(cell()), cell(seed=1)
    write_folder(tmp_path, first)
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "suite.sinks.tracker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(),
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def say(told: dict[str, Any]) -> None:
            assert process.stdin is not None
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()

        say({"uri": None, "results": str(tmp_path), "plan": first.plan, "description": "d", "cells": 2})
        while json.loads(process.stdout.readline())["event"] != "online":
            pass
        psutil.Process(process.pid).suspend()
        for told in ({"start": first.cell.as_json()}, {"end": first.key}, {"start": second.as_json()}):
            say(told)
        process.stdin.close()
        process.stdout.close()
        psutil.Process(process.pid).resume()
        process.wait(timeout=30)
        log.seek(0)
        assert "Traceback" not in log.read()
    assert statuses(tmp_path / "mlflow.db") == ["FINISHED", "KILLED", "KILLED"]


def test_a_pipe_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    """A tracker that hangs: telling it more than a pipe holds does not block, and closing ends it."""
    tracker = Tracker("none of your business", tmp_path, SYNTHETIC, Progress())
    psutil.Process(tracker._process.pid).suspend()

    def tell() -> None:
        for seed in range(300):
            tracker.start(cell(seed=seed))
            tracker.end(cell(seed=seed))

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    teller.join(20)
    held_up = teller.is_alive()
    if held_up:
        tracker._process.kill()
    stop = Stop()
    stop.now = True
    assert not held_up
    assert tracker.close("KILLED", stop) == 300
