"""Cells on this machine: one warm worker process a (backend, precision, device, threads), one cell at a time.

All workers import their frameworks before the first cell starts, so no import runs beside a timed cell. A worker that
crashes or runs out of time is ended, with its process group, and the next cell gets a new one; so it is when it has
compiled so much that it would soon crash. Processes are spawned, never forked, with their thread pools' sizes in the
environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite import clock
from suite.spec.cell import Cell
from suite.worker import Kind, kind

# malloc of glibc: memory that was used once is kept, in huge pages, so that no update pays for fresh pages again
MALLOC = {"mmap_max": 0, "trim_threshold": 2**34, "top_pad": 2**28, "hugetlb": 1}
GRACE_S = 10.0  # between SIGTERM and SIGKILL
START_S = 300.0  # for importing a framework from a cold disk
TICK_S = 1.0
MOST_MAPS = Path("/proc/sys/vm/max_map_count")

Tick = Callable[[dict[str, Any]], None]  # a progress event, or {} about once a second


@dataclass(frozen=True, slots=True)
class Exit:
    """How a cell ended: "done" (its record says the rest), "timeout", or "died" with the process's exit code.

    log   what the process printed before its first cell: where it says why, if it died of an import
    """

    how: str
    code: int
    log: Path


def environment(cell: Cell) -> dict[str, str]:
    """The environment of a cell's process: its threads, how it keeps memory, reproducible hashing, quiet logs."""
    pools = [f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS", "VECLIB_MAXIMUM")]
    pools += ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
    memory = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    memory["GLIBC_TUNABLES"] = ":".join(f"glibc.malloc.{name}={value}" for name, value in MALLOC.items())
    return dict(os.environ) | dict.fromkeys(pools, str(cell.threads)) | quiet | memory


class Local:
    """Workers on this machine. ``isolate``: a fresh process for every cell. ``logs``: where workers print."""

    def __init__(self, logs: Path, timeout_s: float, isolate: bool = False) -> None:
        self._logs, self._timeout_s, self._isolate = logs, timeout_s, isolate
        self._workers: dict[Kind, _Worker] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, cells: Iterable[Cell]) -> None:
        """Start every worker that the cells need, side by side."""
        for cell in cells if not self._isolate else ():
            if kind(cell) not in self._workers:
                self._workers[kind(cell)] = _Worker(cell, self._logs)

    def wait(self) -> None:
        """Until every started worker has imported its framework, or has died of it."""
        for worker in self._workers.values():
            worker.ready()

    def run(self, cell: Cell, folder: Path, plan: str, converged: bool, tick: Tick) -> Exit:
        """Run one cell; ``tick`` hears of its progress and is called about once a second."""
        worker = self._workers.pop(kind(cell), None) or _Worker(cell, self._logs)
        self._workers[kind(cell)] = worker  # `close` ends it, whatever happens here
        worker.ready()
        spec = {"cell": cell.as_json(), "folder": str(folder), "plan": plan, "converged": converged}
        ended = worker.run(spec, self._timeout_s, tick)
        if ended.how != "done" or self._isolate or worker.crowded():
            self._workers.pop(kind(cell)).end(GRACE_S if ended.how == "timeout" else 0.0)
        return ended

    def keep(self, kinds: Iterable[Kind]) -> None:
        """End the workers of every other kind: no cell is left for them."""
        for k in set(self._workers) - set(kinds):
            self._workers.pop(k).end()

    def close(self) -> None:
        """End every worker."""
        self.keep(())


class _Worker:
    """One process of ``suite worker`` and the thread that reads its events."""

    def __init__(self, cell: Cell, logs: Path) -> None:
        name = "-".join(map(str, kind(cell)))
        self._log = logs / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "suite", "worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(cell),
                start_new_session=True,  # its own process group: Ctrl-C is the runner's alone, and a kill takes all
            )
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._ready = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._send({"warm": cell.as_json()})

    def ready(self) -> None:
        """Wait for the import; a process that dies of it is found out by `run`."""
        if not self._ready:
            self._wait("ready", START_S, lambda event: None)
            self._ready = True

    def run(self, spec: dict[str, Any], timeout_s: float, tick: Tick) -> Exit:
        """Hand over one cell and wait for its end."""
        self._send(spec)
        return self._wait("done", timeout_s, tick)

    def crowded(self) -> bool:
        """Whether it maps half of the pieces of memory that Linux lets a process have; XLA keeps what it compiles."""
        maps = Path(f"/proc/{self._process.pid}/maps")
        if not MOST_MAPS.exists():  # no Linux
            return False
        return 2 * len(maps.read_bytes().splitlines()) > int(MOST_MAPS.read_text(encoding="ascii"))

    def end(self, grace_s: float = 0.0) -> None:
        """SIGTERM to the process group, ``grace_s`` later SIGKILL."""
        if grace_s and self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None and self._process.stdout is not None, "they were opened as pipes"
        self._process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

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
        for line in self._process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def _wait(self, awaited: str, timeout_s: float, tick: Tick) -> Exit:
        start_ns = clock.now_ns()
        while clock.since_s(start_ns) < timeout_s:
            try:
                event = self._events.get(timeout=min(TICK_S, timeout_s))
            except queue.Empty:
                tick({})
                continue
            if event is None:
                self._events.put(None)  # whoever asks again gets the same answer
                return Exit("died", self._process.wait(), self._log)
            if event["event"] == awaited:
                return Exit("done", 0, self._log)
            if event["event"] == "progress":
                tick(event)
        return Exit("timeout", -signal.SIGTERM, self._log)
