"""Kill anything at any moment: what a cell of each framework goes on from, Ctrl-C once and twice, and no orphans."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from suite import api, checkpoint, lock, record
from suite.spec.cell import Cell
from tests.probes import suite, tiny
from tests.processes import PLAN, children_of_the_probe, family, heard, start_and_wait, until

IMPLEMENTATIONS = [
    ("pytorch", "gru", "scan"),
    ("tensorflow", "gru", "scan"),
    ("jax", "gru", "scan"),
    *(
        pytest.param(backend, arch, impl, marks=pytest.mark.slow)
        for backend, arch, impl in (
            ("pytorch", "lstm", "stock"),
            ("pytorch", "lstm", "fused"),
            ("pytorch", "gru", "native"),
            ("tensorflow", "lstm", "stock"),
            ("tensorflow", "gru", "fused"),
            ("jax", "lstm", "fused"),
            ("jax", "lstm_peephole", "scan"),
        )
    ),
]


@pytest.mark.parametrize(("backend", "arch", "impl"), IMPLEMENTATIONS)
def test_a_killed_cell_goes_on_bit_for_bit(backend: str, arch: str, impl: str, tmp_path: Path) -> None:
    """SIGKILL to all of it while update 3 is under way; the same command with --resume gives the same bits."""
    c = tiny("wait", backend=backend, arch=arch, impl=impl, steps=5, precision="float32")
    spec, gate = tmp_path / "spec.json", tmp_path / "gate"
    spec.write_text(json.dumps(c.as_json()))
    command = ("cell", "spec.json", "--checkpoint", "0", "--out")
    runner = start_and_wait(*command, "cut", cwd=tmp_path, gate=gate, folder=tmp_path / "cut", points=3)
    for process in family(runner):
        process.kill()
    runner.communicate(timeout=30)
    assert (tmp_path / "cut" / checkpoint.NAME).exists()
    gate.touch()
    resumed = suite(*command, "cut", "--resume", cwd=tmp_path, PROBE_GATE=str(gate))
    assert resumed.returncode == 0, resumed.stderr
    assert "goes on after update 2" in resumed.stderr
    once = suite(*command, "once", cwd=tmp_path, PROBE_GATE=str(gate))
    assert once.returncode == 0, once.stderr
    a, b = (record.read(tmp_path / name / "result.json") for name in ("cut", "once"))
    assert (a.resumed_at, b.resumed_at) == ((2,), ())
    assert (a.digests, a.scores, a.last_loss, a.last_grad_norm) == (b.digests, b.scores, b.last_loss, b.last_grad_norm)
    losses = [
        [p["values"]["train/loss"] for p in record.points(tmp_path / name) if "train/loss" in p["values"]]
        for name in ("cut", "once")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 5


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Cell, Path]]:
    """A run of three cells whose second waits for a gate, with a child of its own."""
    (tmp_path / "p.toml").write_text(PLAN.format(fault="child"))
    gate, cell = tmp_path / "gate", tiny("child", eval_every=0)
    folder = tmp_path / "results" / "probes" / cell.key
    command = ("run", "p.toml", "--tracking-uri", "none", "--checkpoint", "0")
    runner = start_and_wait(*command, cwd=tmp_path, gate=gate, folder=folder, points=2)
    until(children_of_the_probe, runner)
    yield runner, cell, gate
    if runner.poll() is None:  # the test has failed
        for process in family(runner):
            process.kill()
        runner.communicate()


def outcomes(results: Path) -> dict[str, str]:
    return {r.cell.name: r.outcome for r in api.read(results)}


def test_ctrl_c_once_finishes_the_cell_and_stops(
    waiting: tuple[subprocess.Popen[str], Cell, Path], tmp_path: Path
) -> None:
    runner, cell, gate = waiting
    everybody = family(runner)
    runner.send_signal(signal.SIGINT)
    heard(runner, "stopping when what runs is finished; Ctrl-C again stops now")
    gate.touch()
    _, said = runner.communicate(timeout=60)
    assert runner.returncode == 130, said
    assert "go on with the same command and --resume" in said
    assert len(api.read(tmp_path / "results")) == 2
    assert outcomes(tmp_path / "results")[cell.name] == "ok"
    assert not psutil.wait_procs(everybody, timeout=10)[1]
    assert children_of_the_probe() == []


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,), (signal.SIGKILL,)])
def test_stopped_now_and_resumed(
    signals: tuple[signal.Signals, ...], waiting: tuple[subprocess.Popen[str], Cell, Path], tmp_path: Path
) -> None:
    runner, cell, gate = waiting
    everybody = family(runner)
    assert len(children_of_the_probe()) == 1
    for number in signals[:-1]:
        runner.send_signal(number)
        heard(runner, "Ctrl-C again stops now")
    runner.send_signal(signals[-1])
    _, said = runner.communicate(timeout=30)
    assert runner.returncode == (-9 if signals == (signal.SIGKILL,) else 130), said
    assert "Traceback" not in said
    assert not psutil.wait_procs(everybody, timeout=10)[1]
    assert children_of_the_probe() == []
    (kept,) = (tmp_path / "results").rglob("result.json")
    before = kept.read_bytes()
    gate.touch()
    again = suite("run", "p.toml", "--tracking-uri", "none", "--resume", cwd=tmp_path, PROBE_GATE=str(gate))
    assert again.returncode == 0, again.stderr
    assert "2 cells to run, 1 finished before" in again.stderr
    assert f"{cell.name} goes on after update 2" in again.stderr
    assert kept.read_bytes() == before
    assert set(outcomes(tmp_path / "results").values()) == {"ok"}
    assert children_of_the_probe() == []


def test_a_worker_that_is_killed_is_one_record_and_no_orphan(
    waiting: tuple[subprocess.Popen[str], Cell, Path], tmp_path: Path
) -> None:
    runner, cell, _ = waiting
    (child,) = children_of_the_probe()
    worker = child.parent()
    assert worker is not None
    worker.kill()
    _, said = runner.communicate(timeout=60)
    assert runner.returncode == 1, said
    found = {r.cell.name: r for r in api.read(tmp_path / "results")}
    assert len(found) == 3
    assert found[cell.name].outcome == "oom"
    assert sorted(r.outcome for r in found.values()) == ["ok", "ok", "oom"]
    assert children_of_the_probe() == []


def test_two_cells_do_not_share_a_folder(waiting: tuple[subprocess.Popen[str], Cell, Path], tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(tiny().as_json()))
    with lock.held(tmp_path / "own" / "lock"):
        second = suite("cell", "spec.json", "--out", "own", cwd=tmp_path)
    assert second.returncode == 2
    assert f"recurbench: own belongs to process {os.getpid()} on " in second.stderr


def test_two_runners_do_not_share_a_folder(waiting: tuple[subprocess.Popen[str], Cell, Path], tmp_path: Path) -> None:
    runner, _, gate = waiting
    second = suite("run", "p.toml", "--tracking-uri", "none", "--resume", cwd=tmp_path, PROBE_GATE=str(gate))
    assert second.returncode == 2
    assert second.stderr.startswith(f"recurbench: results/probes belongs to process {runner.pid} on ")
    assert second.stderr.count("\n") == 1
    gate.touch()
    _, said = runner.communicate(timeout=60)
    assert runner.returncode == 0, said
    assert set(outcomes(tmp_path / "results").values()) == {"ok"}


def test_a_worker_that_outlives_its_runner_keeps_the_folder(
    waiting: tuple[subprocess.Popen[str], Cell, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped worker cannot see that its runner is gone; nobody else may write beside it."""
    runner, _, _ = waiting
    (worker,) = [p for p in psutil.Process(runner.pid).children() if "worker" in p.cmdline()]
    worker.suspend()
    runner.kill()
    runner.communicate(timeout=30)
    monkeypatch.setattr(lock, "WAIT_S", 0.3)
    path = tmp_path / "results" / "probes" / "lock"
    with pytest.raises(ValueError, match=f"a worker that process {runner.pid} on .* has left behind"), lock.held(path):
        pass
    os.killpg(worker.pid, signal.SIGKILL)
    monkeypatch.setattr(lock, "WAIT_S", 10.0)
    with lock.held(path):
        pass
    assert children_of_the_probe() == []
