"""A probe in a process of its own, in any checkout of the suite."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import suite
from suite.executors.local import environment
from suite.spec.cell import Cell

HERE = Path(suite.__file__).parents[1]


class ProbeFailed(Exception):
    """A probe ended before it answered; the message is its last line."""


@dataclass(frozen=True, slots=True)
class Block:
    """Calls in a row: the seconds of each, the processor's seconds of all, and how often the system cut in."""

    seconds: tuple[float, ...]
    cpu_s: float
    switches: int


class Probe:
    """One process of ``suite perf-probe``. ``told`` is what it said once it was warm.

    tree   the checkout whose code is measured: it is found before the installed one
    """

    def __init__(self, cell: Cell, what: str, tree: Path = HERE, check: bool = False) -> None:
        self.name = f"{cell.name} {what}"
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "suite", "perf-probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=tree,
            env=environment(cell) | {"PYTHONPATH": str(tree)},
            start_new_session=True,
        )
        self.told: dict[str, Any] = {}
        self._ask({"cell": cell.as_json(), "what": what, "check": check})

    def ready(self) -> dict[str, Any]:
        """Wait until it is warm."""
        self.told = self.told or self._answer()
        return self.told

    def run(self, count: int) -> Block:
        """Time so many calls. ProbeFailed, with its last line, if the process has ended."""
        self.ready()
        self._ask({"run": count})
        got = self._answer()
        return Block(tuple(got["seconds"]), got["cpu_s"], got["switches"])

    def close(self) -> None:
        """End the process."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None and self._process.stdout is not None, "they were opened as pipes"
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            pipe.close()

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None, "it was opened as a pipe"
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "it was opened as a pipe"
        line = self._process.stdout.readline()
        if not line:
            raise self._failed()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failed(self) -> ProbeFailed:
        code = self._process.wait()
        self._log.seek(0)
        last = (self._log.read().strip().splitlines() or ["it said nothing"])[-1]
        return ProbeFailed(f"{self.name}: ended with exit code {code}: {last}")
