"""Benchmarks: collected by name alone, a file as one run in MLflow, and what is no such file refused in one line."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from suite.sinks import benched, runs
from suite.sinks.mlflow import Sink

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # inside MLflow
ROOT = Path(__file__).parents[1]
PERF = ROOT / "tests" / "perf"
DATA: dict[str, Any] = {
    "backend": "jax",
    "datetime": "2025-01-31T12:00:00+00:00",
    "machine_info": {
        "machine_id": "0123456789ab",
        "platform": "Linux",
        "cpu": "a processor",
        "cores": 2,
        "cores_usable": 2,
        "memory_bytes": 1 << 33,
        "suite": "0.1",
        "spec": 1,
        "git": "ba9876543210",
        "git_dirty": True,
        "versions": {"python": "3.11.0", "jax": "0.10"},
    },
    "benchmarks": [
        {"group": "small gru step", "name": "test_step[scan-gru]", "stats": {"min": 0.002, "median": 3e-3, "iqr": 0.0}},
        {"group": "data", "name": "test_a_batch", "stats": {"min": 1e-4, "median": 2e-4, "iqr": 5e-5}},
    ],
}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    assert Sink(None, folder, "bench").online
    return folder / "mlflow.db"


@pytest.fixture
def results(template: Path, tmp_path: Path) -> Path:
    """A folder with an empty store, a copy of one: to make it takes seconds."""
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path


def planted(folder: Path, damage: Callable[[dict[str, Any]], object] = lambda data: None) -> Path:
    """The file, after ``damage`` was done to it."""
    data, path = copy.deepcopy(DATA), folder / "jax.json"
    damage(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def sent(results: Path) -> tuple[Any, list[Any]]:
    """The store's client, and the runs of the role perf."""
    sink = Sink(None, results, "bench")
    assert sink.online, sink.why_offline
    return sink.client, runs.search(sink.client, sink.experiment, {"suite.role": "perf"})


def bench(*arguments: str, results: Path) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, whose store is below ``results``."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--results", str(results), *arguments]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}  # it is no worker of ours
    return subprocess.run(command, cwd=ROOT, env=env | {"COLUMNS": "200"}, capture_output=True, text=True)


def test_a_file_is_one_run_however_often_it_is_sent(results: Path) -> None:
    path = planted(results)
    assert benched.send(path, None, results) == ""
    assert benched.send(path, None, results) == ""
    client, (run,) = sent(results)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == pytest.approx(
        {
            "small gru step/step.scan-gru/min_ms": 2.0,
            "small gru step/step.scan-gru/median_ms": 3.0,
            "small gru step/step.scan-gru/iqr_ms": 0.0,
            "data/a_batch/min_ms": 0.1,
            "data/a_batch/median_ms": 0.2,
            "data/a_batch/iqr_ms": 0.05,
        }
    )
    assert run.data.params["cpu"] == "a processor"
    assert run.data.params["version.jax"] == "0.10"
    assert run.data.params["git"] == run.data.tags["git.sha"] == "ba9876543210"
    assert (run.data.tags["backend"], run.data.tags["git.dirty"]) == ("jax", "True")
    assert "| small gru step/step.scan-gru | 3 |" in run.data.tags["mlflow.note.content"]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["jax.json"]


def test_another_file_is_another_run_and_a_torn_one_is_replaced(results: Path) -> None:
    assert benched.send(planted(results), None, results) == ""
    client, (run,) = sent(results)
    client.set_terminated(run.info.run_id, "KILLED")
    assert benched.send(planted(results), None, results) == ""
    _, (again,) = sent(results)
    assert (again.info.status, again.info.run_id == run.info.run_id) == ("FINISHED", False)
    assert benched.send(planted(results, lambda data: data["benchmarks"].pop()), None, results) == ""
    assert len(sent(results)[1]) == 2


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "pytest-benchmark's alone": (lambda data: data.pop("backend"), "it has no 'backend'"),
    "a fact is gone": (lambda data: data["machine_info"].pop("cpu"), "it has no 'cpu'"),
    "nothing ran": (lambda data: data["benchmarks"].clear(), "it has no benchmarks"),
    "one NaN": (lambda data: data["benchmarks"][0]["stats"].update(min=float("nan")), "has min = nan s"),
    "no group": (lambda data: data["benchmarks"][0].update(group=None), "NoneType"),
    "two of one name": (lambda data: data["benchmarks"].append(data["benchmarks"][1]), "are called data/a_batch"),
    "no date": (lambda data: data.update(datetime="today"), "'today'"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_refused_in_one_line(fault: str, tmp_path: Path) -> None:
    damage, message = BROKEN[fault]
    refused = CliRunner().invoke(benched.main, [str(planted(tmp_path, damage)), "--results", str(tmp_path)])
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert "jax.json: not a file of tests/perf" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "mlflow.db").exists()


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json: not a file of tests/perf: Expecting property name"):
        benched.send(tmp_path / "x.json", None, tmp_path)


def test_a_store_that_is_down_is_said_in_one_line(tmp_path: Path) -> None:
    why = benched.send(planted(tmp_path), "http://127.0.0.1:9", tmp_path)
    assert why.startswith("http://127.0.0.1:9: ")
    assert "\n" not in why


def test_they_are_collected_by_name_alone(tmp_path: Path) -> None:
    asked = bench("--collect-only", "-q", str(PERF), results=tmp_path)
    assert asked.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, asked.stdout
    assert "bench_" not in asked.stdout
    named = bench("--collect-only", "-q", *map(str, sorted(PERF.glob("bench_*.py"))), results=tmp_path)
    assert named.returncode == 0, named.stdout
    for name in ("test_step[fused-gru]", "test_products[lstm]", "bench_start.py::test_warm", "test_update[file]"):
        assert name in named.stdout


def test_one_of_them_runs_and_a_store_that_is_down_loses_no_file(results: Path) -> None:
    path = results / "new" / "reference.json"
    chosen = [str(PERF / "bench_kernels.py"), "-k", "test_step and gru_before", "--benchmark-json", str(path)]
    ran = bench(*chosen, "--tracking-uri", "http://127.0.0.1:9", results=results)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "warning: MLflow is off (http://127.0.0.1:9: " in ran.stdout
    assert f"later: python -m suite.sinks.benched {path}" in ran.stdout
    data = json.loads(path.read_text(encoding="utf-8"))
    (step,) = data["benchmarks"]
    assert (data["backend"], step["name"], step["stats"]["rounds"]) == ("reference", "test_step[scan-gru_before]", 30)
    more = step["extra_info"]
    assert set(more) == {"cell", "ran", "parameters", "first_s", "gemm_s", "flops", "gflop_per_s"}
    assert more["gemm_s"] > 0
    assert more["gflop_per_s"] == pytest.approx(more["flops"] / step["stats"]["median"] / 1e9)
    assert "node" not in data["machine_info"], "it would name the machine"
    assert {pool["num_threads"] for pool in data["machine_info"]["thread_pools"]} == {1}
    assert benched.send(path, None, results) == ""
    _, (run,) = sent(results)
    name = "small gru_before step/step.scan-gru_before/min_ms"
    assert run.data.metrics[name] == pytest.approx(1e3 * step["stats"]["min"])


def test_a_file_is_sent_as_the_session_ends(results: Path) -> None:
    path = results / "reference.json"
    ran = bench(str(PERF / "bench_suite.py"), "-k", "record", "--benchmark-json", str(path), results=results)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "warning" not in ran.stdout
    _, (run,) = sent(results)
    assert "records/a_record_written_and_read/min_ms" in run.data.metrics


def test_a_store_without_a_file_to_send_is_refused(tmp_path: Path) -> None:
    ran = bench(str(PERF / "bench_suite.py"), "--tracking-uri", "http://127.0.0.1:9", results=tmp_path)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there will be none; add --benchmark-json FILE" in ran.stderr
