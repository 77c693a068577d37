"""What a person sees while a plan runs: one rewritten line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, TextIO

from suite import clock
from suite.record import Record
from suite.spec.cell import Cell

QUIET_S = 30.0  # between plain lines about one long cell


class Progress:
    """Writes to ``stream`` (None: nowhere, which is the default of the Python call).

    ``dashboard`` is the address of the plan's charts once the plan has run; empty without MLflow.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.dashboard = ""
        self._stream = stream
        self._live = stream is not None and stream.isatty()
        self._total = self._ended = 0
        self._start_ns = self._last_ns = clock.now_ns()

    def start(self, total: int, skipped: int) -> None:
        """``total`` cells are to run; ``skipped`` have a record already."""
        self._total, self._start_ns = total, clock.now_ns()
        self.say(f"{total} cells to run" + (f", {skipped} finished before" if skipped else ""))

    def tick(self, cell: Cell, event: dict[str, Any]) -> None:
        """News of the running cell; {} where there is none."""
        if not self._live and clock.since_s(self._last_ns) < QUIET_S:
            return
        self._last_ns = clock.now_ns()
        share = event["step"] / event["steps"] if event else 0.0
        news = f"  step {event['step']}/{event['steps']}  loss {event['loss']:.4g}" if event else ""
        line = f"[{self._ended + 1}/{self._total}] {cell.name}{news}{self._eta(share)}"
        if self._live:
            self._write(f"\r\x1b[2K{line[: _columns()]}")
        else:
            self._write(line + "\n")

    def done(self, cell: Cell, record: Record) -> None:
        """A cell has ended. On a terminal only the bad ends stay."""
        self._ended += 1
        score = record.scores.get("test", {}).get(record.metric)
        what = record.outcome if score is None else f"{record.outcome}  {record.metric} {score:.4g}"
        reason = f": {record.reason}" if record.reason else ""
        if not self._live or record.outcome not in ("ok", "unsupported", "skipped"):
            self.say(f"[{self._ended}/{self._total}] {cell.name}  {what}{reason}{self._eta(0.0)}")

    def say(self, line: str) -> None:
        """A line that stays."""
        self._write(("\r\x1b[2K" if self._live else "") + line + "\n")

    def note(self, text: str) -> None:
        """What a person should know, such as a file that was damaged."""
        self.say(f"note: {text}")

    def tracked(self, dashboard: str, why_offline: str, results: Path) -> None:
        """Where MLflow shows the plan, or why it does not and what sends the records later."""
        self.dashboard = dashboard
        if not dashboard:
            self.say(f"warning: MLflow is off ({why_offline}); later: python -m suite sync --results {results}")

    def end(self) -> None:
        """Take the live line away."""
        if self._live:
            self._write("\r\x1b[2K")

    def _eta(self, share: float) -> str:
        ended = self._ended + share
        if ended < 1 or self._ended == self._total:
            return ""
        left_s = clock.since_s(self._start_ns) / ended * (self._total - ended)
        return f"  {left_s / 60:.0f} min left" if left_s > 90 else f"  {left_s:.0f} s left"

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()


def _columns() -> int:

    return shutil.get_terminal_size().columns - 1
