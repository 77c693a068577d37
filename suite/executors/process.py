"""One worker process: started, given jobs, watched against its limits, and ended with everything it has started."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import psutil

from suite import clock
from suite.executors import TICK_S, Exit, Job, News
from suite.spec.cell import Cell
from suite.stop import Stop
from suite.worker import kind

# malloc of glibc: memory that was used once is kept, in huge pages, so that no update pays for fresh pages again
MALLOC = {"mmap_max": 0, "trim_threshold": 2**34, "top_pad": 2**28, "hugetlb": 1}
GRACE_S = 10.0  # between SIGTERM and SIGKILL
START_S = 300.0  # for importing a framework from a cold disk
LOG_LINES = 20  # that are kept of a process that died
MOST_MAPS = Path("/proc/sys/vm/max_map_count")

Waiting = Generator[News, None, Exit]  # until it is known how it ended


def environment(cell: Cell) -> dict[str, str]:
    """The environment of a cell's process: its threads, how it keeps memory, reproducible hashing, quiet logs."""
    pools = [f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS", "VECLIB_MAXIMUM")]
    pools += ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
    memory = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    memory["GLIBC_TUNABLES"] = ":".join(f"glibc.malloc.{name}={value}" for name, value in MALLOC.items())
    return dict(os.environ) | dict.fromkeys(pools, str(cell.threads)) | quiet | memory


def tail(*logs: Path) -> tuple[str, ...]:
    """The last lines of the first log that has any."""
    for log in logs:
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        if lines := [line.rstrip()[:500] for line in text.splitlines() if line.strip()]:
            return tuple(lines[-LOG_LINES:])
    return ()


class Worker:
    """One process of ``suite worker`` and the thread that reads its events. ``held``: descriptors that it inherits."""

    def __init__(self, cell: Cell, logs: Path, held: Sequence[int] = ()) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / f"{'-'.join(map(str, kind(cell)))}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "suite", "worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(cell),
                pass_fds=held,
                start_new_session=True,  # its own process group: Ctrl-C is the runner's alone, and a kill takes all
            )
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._ready = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._send({"warm": cell.as_json()})

    def ready(self, job: Job, stop: Stop) -> None:
        """Wait for the import; a process that dies of it is found out by `run`."""
        if not self._ready:
            for _ in self._until("ready", job, START_S, 0, stop):
                pass
            self._ready = True

    def run(self, job: Job, stop: Stop) -> Waiting:
        """Hand over one cell and wait for its end."""
        told = ("plan", "converged", "resume", "packed", "checkpoint_s")
        given = {name: getattr(job, name) for name in told}
        self._send({"cell": job.cell.as_json(), "folder": str(job.folder.absolute())} | given)
        return self._until("done", job, job.timeout_s, job.memory_bytes, stop)

    def crowded(self) -> bool:
        """Whether it maps half of the pieces of memory that Linux lets a process have; XLA keeps what it compiles."""
        if not MOST_MAPS.exists():  # no Linux
            return False
        try:
            maps = Path(f"/proc/{self._process.pid}/maps").read_bytes()
        except OSError:  # it has just ended
            return False
        return 2 * len(maps.splitlines()) > int(MOST_MAPS.read_text(encoding="ascii"))

    def end(self, grace_s: float = 0.0) -> None:
        """SIGTERM to the process group, ``grace_s`` later SIGKILL; also to its children that have left the group."""
        strays = self._children()
        if grace_s and self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        self._signal(signal.SIGKILL)
        for stray in strays:
            with contextlib.suppress(psutil.NoSuchProcess):
                stray.kill()
        self._process.wait()
        self._reader.join(GRACE_S)
        assert self._process.stdin is not None and self._process.stdout is not None, "they were opened as pipes"
        if not self._reader.is_alive():  # else a child that left its group holds the pipe
            self._process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _until(self, awaited: str, job: Job, timeout_s: float, memory_bytes: int, stop: Stop) -> Waiting:
        start_ns = clock.now_ns()
        while clock.since_s(start_ns) < timeout_s:
            if stop.now:
                raise KeyboardInterrupt
            if memory_bytes and (used := self._memory_bytes()) > memory_bytes:
                return Exit("memory", -signal.SIGTERM, (f"{used / 2**20:.0f} MiB",))
            try:
                event = self._events.get(timeout=min(TICK_S, timeout_s))
            except queue.Empty:
                if self._process.poll() is not None:  # and a child of it still holds its pipe
                    return Exit("died", self._process.returncode, tail(job.folder / "worker.log", self._log))
                yield News(job, {})
                continue
            if event is None:
                self._events.put(None)  # whoever asks again gets the same answer
                return Exit("died", self._process.wait(), tail(job.folder / "worker.log", self._log))
            if event["event"] == awaited:
                return Exit("done")
            if event["event"] in ("progress", "note"):
                yield News(job, event)
        return Exit("timeout", -signal.SIGTERM)

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _memory_bytes(self) -> int:
        """What it and its children hold, resident; pages that they share count for each."""
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile, which `_until` sees
            for process in (psutil.Process(self._process.pid), *self._children()):
                total += process.memory_info().rss
        return total

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _send(self, spec: dict[str, Any]) -> None:
        assert self._process.stdin is not None, "it was opened as a pipe"
        with contextlib.suppress(BrokenPipeError):  # a dead worker has no events either, and so is found out
            self._process.stdin.write(json.dumps(spec) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None, "it was opened as a pipe"
        try:
            for line in self._process.stdout:
                self._events.put(json.loads(line))
        except ValueError:  # a torn line: it has been killed while it wrote
            pass
        finally:
            self._events.put(None)
