"""One runner a folder: a living owner is named, a dead one's lock is free, and workers keep it while they live."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite import lock
from tests.probes import environment

HOLD = """
import sys, time
from pathlib import Path
from suite import lock
with lock.held(Path(sys.argv[1])) as descriptor:
    if len(sys.argv) > 2:
        import subprocess
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=[descriptor])
        print(child.pid, flush=True)
    else:
        print("held", flush=True)
    time.sleep(600)
"""


def hold(path: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    """Another process that holds the lock, and its first word."""
    command = [sys.executable, "-c", HOLD, str(path), *more]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_it_is_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with lock.held(tmp_path / "new" / "lock"):
            assert (tmp_path / "new" / "lock").read_text() == lock.runner()


def test_a_living_owner_is_named(tmp_path: Path) -> None:
    process, _ = hold(tmp_path / "lock")
    with pytest.raises(
        ValueError, match=f"belongs to process {process.pid} on .*; wait for it, or choose another --out"
    ):
        with lock.held(tmp_path / "lock"):
            pass
    end(process)
    with lock.held(tmp_path / "lock"):
        pass


def test_what_a_dead_owner_wrote_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("elsewhere:12:boot")
    with lock.held(tmp_path / "lock"):
        pass
    (tmp_path / "lock").write_bytes(b"\xff nonsense")
    with lock.held(tmp_path / "lock"):
        pass


def test_workers_of_a_killed_runner_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, child = hold(tmp_path / "lock", "with a worker")
    end(process)
    monkeypatch.setattr(lock, "WAIT_S", 0.2)
    with (
        pytest.raises(ValueError, match=f"belongs to a worker that process {process.pid} on .* has left behind"),
        lock.held(tmp_path / "lock"),
    ):
        pass
    os.kill(int(child), 9)
    monkeypatch.setattr(lock, "WAIT_S", 10.0)
    with lock.held(tmp_path / "lock"):
        pass
