"""Plans in real worker processes: every way a cell can end, resuming, and being killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from suite import api, record
from suite.executors import local
from suite.record import Record
from suite.spec.cell import Cell
from tests.probes import DIVERGING, PLUGIN, ROOT, plan, start, suite, tiny

PLAN = """
name = "probes"
title = "t"
description = "d"
converged = false
[defaults]
arch = "rnn"
backend = "reference"
precision = "float64"
sizes = { hidden = 4, embed = 3 }
batch = 3
steps = 4
[[grid]]
task = "probe"
[[grid]]
task = "probe"
options = { fault = "wait" }
[[grid]]
task = "probe"
arch = "gru"
"""


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the probe here and in every process started from here."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(PLUGIN))))


def run(results: Path, *cells: Cell, **options: object) -> list[Record]:
    return api.run(plan(*cells), results, **({"tracking_uri": "none", "timeout_s": 60.0} | options))  # type: ignore[arg-type]


def test_every_end_is_recorded_and_the_next_cell_runs(tmp_path: Path) -> None:
    cells = {
        "raise": tiny("raise"),
        "unsupported": tiny(impl="stock"),
        "kill": tiny("kill"),
        "diverged": DIVERGING,
        "segv": tiny("segv"),
        "memory": tiny("memory"),
        "import": tiny(backend="broken"),
        "print": tiny("print"),
        "ok": tiny(),
    }
    got = dict(zip(cells, run(tmp_path, *cells.values()), strict=True))
    assert {name: r.outcome for name, r in got.items()} == {
        "raise": "crash",
        "unsupported": "unsupported",
        "kill": "oom",
        "diverged": "diverged",
        "segv": "crash",
        "memory": "oom",
        "import": "crash",
        "print": "ok",
        "ok": "ok",
    }
    assert got["raise"].reason == "exit code 1: ValueError: the probe was told to fail"
    assert got["unsupported"].reason == "NumPy ships no recurrent layer"
    assert "loss is inf at update 2" in got["diverged"].reason
    assert "signal 9" in got["kill"].reason
    assert "SIGSEGV" in got["segv"].reason
    assert got["memory"].reason.startswith("exit code 1: MemoryError")
    assert got["import"].reason.endswith("ImportError: libframework.so.1: cannot open shared object file")
    for name, r in got.items():
        assert r == record.read(tmp_path / "probes" / r.key / "result.json"), name
        assert (r.scores.get("test", {}) != {}) == (r.outcome == "ok"), name
        assert r.facts["converged"] is False, name
    assert api.exit_code(got.values()) == 1
    assert api.exit_code([got["ok"], got["unsupported"]]) == 0
    log = (tmp_path / "probes" / got["print"].key / "worker.log").read_text()
    assert "noise from below" in log
    assert "a warning" in log


def test_warm_and_fresh_processes_give_the_same_bits(tmp_path: Path) -> None:
    cells = tiny(), tiny(seed=1)
    warm, fresh = run(tmp_path / "warm", *cells), run(tmp_path / "fresh", *cells, isolate=True)
    assert [r.fresh_process for r in warm] == [True, False]
    assert [r.fresh_process for r in fresh] == [True, True]
    for a, b in zip(warm, fresh, strict=True):
        assert (a.digests, a.scores, a.last_loss) == (b.digests, b.scores, b.last_loss)


def test_a_worker_that_has_compiled_too_much_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max_map_count").write_text("10")
    monkeypatch.setattr(local, "MOST_MAPS", tmp_path / "max_map_count")
    assert [r.fresh_process for r in run(tmp_path / "results", tiny(), tiny(seed=1))] == [True, True]


def test_a_record_says_how_its_process_keeps_memory(tmp_path: Path) -> None:
    (done,) = run(tmp_path, tiny())
    assert "glibc.malloc.hugetlb=1" in done.facts["environment"]["GLIBC_TUNABLES"].split(":")


def test_a_cell_out_of_time_is_ended_and_the_next_one_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_GATE", str(tmp_path / "gate"))
    slow, quick = run(tmp_path, tiny("wait"), tiny(), timeout_s=5.0)
    assert (slow.outcome, quick.outcome) == ("timeout", "ok")
    assert "raise --timeout" in slow.reason
    points = list(record.points(tmp_path / "probes" / slow.key))
    assert [p["step"] for p in points if "train/loss" in p["values"]] == [1, 2]  # what it did is kept


def test_resume_keeps_what_is_there_and_only_resume_does(tmp_path: Path) -> None:
    first, bad = run(tmp_path, tiny(), tiny("raise"))
    path = tmp_path / "probes" / first.key / "result.json"
    marked = replace(first, ran="marked")
    record.write(marked, path.parent)
    kept, still_bad, new = run(tmp_path, tiny(), tiny("raise"), tiny(arch="gru"), resume=True)
    assert (kept, still_bad) == (marked, bad)
    assert new.outcome == "ok"
    assert api.exit_code([kept, still_bad, new]) == 1  # a crash does not turn green by being skipped
    (again,) = run(tmp_path, tiny())
    assert again.ran != "marked"


def test_an_option_the_task_refuses_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="probe: fault is 'typo'"):
        run(tmp_path, tiny(), tiny("typo"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_runner_may_be_ended_at_any_moment(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(PLAN)
    command = ("run", "p.toml", "--tracking-uri", "none")
    gate = tmp_path / "gate"
    runner = start(*command, cwd=tmp_path, PROBE_GATE=str(gate))
    waiting = tiny("wait", eval_every=0)
    curve = tmp_path / "results" / "probes" / waiting.key / "metrics.jsonl"
    _until(lambda: curve.exists() and curve.read_text().count("\n") == 2, runner)
    workers = psutil.Process(runner.pid).children()
    runner.send_signal(number)
    _, said = runner.communicate(timeout=30)
    assert runner.returncode == (-9 if number == signal.SIGKILL else 130)
    assert number == signal.SIGKILL or "go on with the same command and --resume" in said
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    (kept,) = (tmp_path / "results").rglob("result.json")
    before = kept.read_bytes()
    gate.touch()
    resumed = suite(*command, "--resume", cwd=tmp_path, PROBE_GATE=str(gate))
    assert resumed.returncode == 0, resumed.stderr
    assert "2 cells to run, 1 finished before" in resumed.stderr
    assert kept.read_bytes() == before
    assert [r.outcome for r in api.read(tmp_path / "results")] == ["ok"] * 3


def test_one_cell_from_a_file_and_again_from_its_record(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(tiny().as_json()))
    done = suite("cell", "spec.json", "--out", "one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = suite("cell", "one/result.json", "--out", "two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = (record.read(tmp_path / name / "result.json") for name in ("one", "two"))
    assert one.digests == two.digests
    (tmp_path / "bad.json").write_text(json.dumps(tiny("raise").as_json()))
    done = suite("cell", "bad.json", "--out", "three", cwd=tmp_path)
    assert done.returncode == 1
    assert "ValueError: the probe was told to fail" in done.stderr


def test_a_worker_serves_one_kind_of_cell(tmp_path: Path) -> None:
    lines = [json.dumps({"warm": tiny(threads=n).as_json()}) for n in (1, 2)]
    (tmp_path / "specs").write_text("\n".join(lines))
    command = ["sh", "-c", f"{os.sys.executable} -m suite worker < specs"]  # type: ignore[attr-defined]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["ready"]
    assert done.returncode == 1
    assert "start another one" in done.stderr


def _until(condition: object, runner: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if condition():  # type: ignore[operator]
            return
        assert runner.poll() is None, runner.communicate()
        time.sleep(0.05)
    raise AssertionError("waited for 30 s in vain")
