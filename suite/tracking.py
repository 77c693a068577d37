"""The runner's side of MLflow: a process of its own sends what the records say, and training never waits for a store.

The runner tells `suite.sinks.tracker` which cell began and which ended, and reads what has arrived. It waits twice: for
the store to open, at most `OPEN_S`, before the first cell; and when all cells have ended, for what is still on its way.
What does not arrive is sent by ``python -m suite sync``.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

from suite import clock
from suite.plan import Plan
from suite.progress import Progress
from suite.spec.cell import Cell
from suite.stop import Stop

OPEN_S = 5.0
DRAIN_S = {True: 5.0, False: 60.0}  # a server, that may be slow or away; a file of our own
START_S = 60.0  # for importing MLflow from a cold disk, where a plan ends sooner than that
LAST_S = 3.0  # to say that the sweep was killed
POLL_S = 0.05


class Tracker:
    """A running `suite.sinks.tracker`. ``url`` and ``why`` (it is off) are what it last said."""

    def __init__(self, uri: str | None, results: Path, plan: Plan, show: Progress) -> None:
        self.url, self.why = "", ""
        self.ended, self.sent = 0, 0
        self._remote = (uri or "").startswith(("http://", "https://"))
        self._show = show
        self._opened = self._ready = self._closed = False
        log = results / plan.name / "workers" / "mlflow.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "suite.sinks.tracker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,  # Ctrl-C is the runner's alone
            )
        self._out: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True)  # the pipe may be full: nobody waits for it
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._writer.start()
        self._reader.start()
        what = {"plan": plan.name, "description": plan.description, "cells": len(plan.cells)}
        self._out.put({"uri": uri, "results": str(results.absolute())} | what)

    def opened(self) -> None:
        """Wait until the store is open or known to be away; from now on cells are timed, and they come first."""
        self._wait("_opened", OPEN_S, Stop())
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(self._process.pid).nice(19)

    def start(self, cell: Cell) -> None:
        """A cell has begun."""
        self._out.put({"start": cell.as_json()})

    def end(self, cell: Cell) -> None:
        """A cell has ended, and its record is there."""
        self.ended += 1
        self._out.put({"end": cell.key})

    def close(self, status: str, stop: Stop) -> int:
        """End the sweep with ``status``; returns how many cells the store has not. Ctrl-C ends the waiting."""
        self._out.put({"close": status})
        hurry = stop.now
        stop = Stop() if hurry else stop
        self._wait("_ready", LAST_S if hurry else START_S, stop)
        if self.ended - self.sent > 10:
            self._show.say(f"MLflow: {self.ended - self.sent} cells are still being sent; Ctrl-C leaves them to sync")
        self._wait("_closed", LAST_S if hurry else DRAIN_S[self._remote], stop)
        if self._process.poll() is None and not self._closed:
            self.why = self.why or "the store is slower than the cells"
        self._process.kill()
        self._process.wait()
        self._out.put(None)
        self._reader.join()
        self._writer.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        return self.ended - self.sent

    def _wait(self, what: str, limit_s: float, stop: Stop) -> bool:
        start_ns = clock.now_ns()
        while not getattr(self, what) and self._process.poll() is None and clock.since_s(start_ns) < limit_s:
            if stop.now:
                return False
            clock.sleep(POLL_S)
        return bool(getattr(self, what))

    def _write(self) -> None:
        assert self._process.stdin is not None, "it was opened as a pipe"
        with contextlib.suppress(BrokenPipeError):  # a dead tracker is found out by `_read`
            while (told := self._out.get()) is not None:
                self._process.stdin.write(json.dumps(told) + "\n")
                self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None, "it was opened as a pipe"
        with contextlib.suppress(json.JSONDecodeError):  # it was killed while it wrote
            for line in self._process.stdout:
                self._hear(json.loads(line))
        if not self._closed:
            self._opened = self._ready = True
            self._off(self.why or "its process ended; see workers/mlflow.log")

    def _hear(self, news: dict[str, Any]) -> None:
        match news["event"]:
            case "ready":
                self._ready = True
            case "online":
                if self.why:
                    self._show.say("MLflow is back; what it missed is sent")
                self._opened, self.url, self.why = True, news["url"], ""
            case "offline":
                self._opened = True
                self._off(news["why"])
            case "sent":
                self.sent += 1
            case "closed":
                self._closed = True

    def _off(self, why: str) -> None:
        if not self.why and not self._closed:
            self._show.say(f"warning: MLflow is off ({why}); the records are complete without it")
        self.why = why
