"""A process that keeps MLflow up to date with a running plan, so that nobody waits for a store: JSON lines in and out.

in    {"uri": null, "results": "...", "plan": "...", "description": "...", "cells": 12}     first, once
      {"start": CELL}                    a cell has begun
      {"end": "<key>"}                   its record is there
      {"close": "FINISHED"}              all have ended; without it, the runner is gone and the sweep was killed
out   {"event": "ready"}                 MLflow is imported
      {"event": "online", "url": "..."}  the store is open
      {"event": "offline", "why": "..."} it failed, and is tried again every `RETRY_S`; missed cells are sent then
      {"event": "sent"}                  one ended cell is in the store, whole
      {"event": "closed"}

"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite import clock, record
from suite.protocol import private_stdout
from suite.record import Record
from suite.sinks.mlflow import Sink, faults, first_line
from suite.sinks.replay import replay
from suite.spec.cell import Cell

FEED_S = 2.0
RETRY_S = 15.0
LAST_S = 5.0  # to say that a sweep was killed, when the runner is gone


class Tracker:
    """What has been told of a plan, and what of it the store has. ``emit`` answers."""

    def __init__(self, told: dict[str, Any], emit: Callable[..., None]) -> None:
        self._told, self._emit = told, emit
        self._results = Path(told["results"])
        self._folder = self._results / told["plan"]
        self._running: dict[str, Cell] = {}
        self._missed: list[Record] = []
        self._was_online = False
        self._tried_ns = clock.now_ns()
        self._sink = Sink(told["uri"], self._results, told["plan"])
        self._sink.sweep(told["plan"], told["description"], told["cells"])
        if self._sink.online:
            self._look()
        else:
            self._emit("offline", why=self._sink.why_offline)

    def hear(self, told: dict[str, Any]) -> None:
        """One line of the runner's."""
        if "start" in told:
            cell = Cell.from_json(told["start"])
            self._running[cell.key] = cell
            self._sink.start(cell)
        if "end" in told:
            self._running.pop(told["end"], None)
            ended = record.read(self._folder / told["end"] / "result.json")
            self._sink.end(ended, self._folder / ended.key)
            if self._sink.online:
                self._emit("sent")
            else:
                self._missed.append(ended)
        self._look()

    def feed(self) -> None:
        """Send what the running cells have written; if the store is away, see whether it is back."""
        if not self._sink.online and clock.since_s(self._tried_ns) >= RETRY_S:
            self._again()
        for key, cell in self._running.items():
            self._sink.feed(cell, self._folder / key)
        self._look()

    def close(self, status: str) -> None:
        """End the sweep, after a last try if the store is away."""
        if not self._sink.online:
            self._again()
        self._sink.close(status)
        self._look()
        self._emit("closed")

    def _again(self) -> None:
        """Open the store anew; what ended meanwhile is replayed, and running cells begin anew in it."""
        before = self._sink
        self._tried_ns = clock.now_ns()
        sink = Sink(self._told["uri"], self._results, self._told["plan"])
        if not sink.online:
            return
        if before.parent:
            sink.parent = before.parent
        else:
            sink.sweep(self._told["plan"], self._told["description"], self._told["cells"])
        sink.ended = before.ended
        try:
            replay(sink, self._missed, self._results)
        except faults() as error:
            sink.online, sink.why_offline = False, first_line(error)
        else:
            for _ in self._missed:
                self._emit("sent")
            self._missed.clear()
            for cell in self._running.values():
                sink.start(cell)
        self._sink = sink
        self._look()

    def _look(self) -> None:
        """Say so when the store has come or gone."""
        if self._sink.online and not self._was_online:
            self._emit("online", url=self._sink.url())
        elif not self._sink.online and self._was_online:
            self._tried_ns = clock.now_ns()
            self._emit("offline", why=self._sink.why_offline)
        self._was_online = self._sink.online


def main() -> None:
    """Serve one runner on standard input, until it says so or is gone."""
    out = private_stdout()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def emit(event: str, **values: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # the runner is gone, and the store is still to hear of it
            out.write(json.dumps({"event": event, **values}) + "\n")
            out.flush()

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    faults()  # imports MLflow
    emit("ready")
    first = lines.get()
    if not first:
        return
    tracker = Tracker(json.loads(first), emit)
    fed_ns = clock.now_ns()
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=FEED_S)
            told = json.loads(line) if line else {"close": "KILLED"}
            if "close" in told:
                tracker.close(told["close"])
                os._exit(0)  # a thread still waits for the runner's end
            tracker.hear(told)
        if clock.since_s(fed_ns) >= FEED_S:
            tracker.feed()
            fed_ns = clock.now_ns()


def _read(lines: queue.SimpleQueue[str]) -> None:
    """Standard input into a queue; its end, "", also ends this process soon if the store holds it up."""
    for line in sys.stdin:
        lines.put(line)
    lines.put("")
    clock.sleep(LAST_S)
    os._exit(1)


if __name__ == "__main__":
    main()
