"""A probe in a process of its own, in any checkout of the suite."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import suite
from suite.executors.process import environment
from suite.perf.tree import Tree
from suite.spec.cell import Cell

HERE = Path(suite.__file__).resolve().parents[1]
BOOT = Path(__file__).resolve().parent / "boot.py"
READY_S, RUN_S = 900.0, 300.0  # how long a probe may take to be warm (compilers), and for one block


class ProbeFailed(Exception):
    """A probe ended before it answered, or did not answer in time; the message says so in one line."""


class ProbeRefused(ProbeFailed):
    """The checkout has no such cell, or the cell cannot run here; the message is the reason it gave."""


@dataclass(frozen=True, slots=True)
class Block:
    """Calls in a row: the seconds of each, the processor's seconds of all, and how often the system cut in.

    wall_s     the seconds of all, with what lies between them
    compiled   how often the framework compiled or traced meanwhile; None where the backend does not count it
    """

    seconds: tuple[float, ...]
    cpu_s: float
    switches: int
    compiled: int | None = None
    wall_s: float = math.nan


class Probe:
    """One process that times a cell on command. ``told`` is what it said once it was warm.

    tree     the checkout whose code is measured: it is found before the installed one
    python   the interpreter that runs it, with what is installed there
    of       whose products "gemm" does
    """

    def __init__(
        self,
        cell: Cell,
        what: str,
        tree: Path = HERE,
        check: bool = False,
        python: Path = Path(sys.executable),
        of: str = "step",
    ) -> None:
        where = "" if tree == HERE else f" in {tree}"
        self._talk = _Talk(f"{cell.name} {what}{where}", tree, environment(cell), python)
        self._asked = {"cell": cell.as_json(), "what": what, "check": check, "of": of}
        self._tree = tree
        self.told: dict[str, Any] = {}

    def ready(self) -> dict[str, Any]:
        """Build it and wait until it is warm. ProbeRefused or ProbeFailed with the reason."""
        if not self.told:
            told = self._talk.ask(self._asked, READY_S)
            if Path(told["root"]) != self._tree.resolve():
                raise ProbeFailed(f"{self._talk.name}: its suite came from {told['root']}, not from {self._tree}")
            self.told = told
        return self.told

    def run(self, count: int) -> Block:
        """Time so many calls. ProbeFailed, with its last line, if the process has ended."""
        self.ready()
        got = self._talk.ask({"run": count}, RUN_S)
        return Block(tuple(got["seconds"]), got["cpu_s"], got["switches"], got["compiled"], got["wall_s"])

    def close(self) -> None:
        """End the process and all that it started."""
        self._talk.close()

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cells(plan: str, tree: Tree) -> list[Cell]:
    """The cells of a plan as a checkout has them; ProbeRefused where it does not know the plan."""
    talk = _Talk(f"plan {plan} in {tree.path}", tree.path, dict(os.environ), tree.python)
    try:
        return [Cell.from_json(data) for data in talk.ask({"plan": plan}, RUN_S)["cells"]]
    except TypeError as error:  # a setting that this checkout's Cell does not have
        raise ProbeRefused(f"{talk.name}: {error}") from error
    finally:
        talk.close()


class _Talk:
    """A process, and JSON lines to and from it: one answer a question."""

    def __init__(self, name: str, tree: Path, variables: dict[str, str], python: Path) -> None:
        self.name = name
        paths = [str(tree), *filter(None, [variables.get("PYTHONPATH")])]
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [str(python), "-P", str(BOOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=tree,
            env=variables | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # its own process group: a compiler's helpers end with it
        )
        assert self._process.stdin is not None and self._process.stdout is not None, "they were opened as pipes"
        self._in, self._out = self._process.stdin, self._process.stdout

    def ask(self, question: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """Its answer. ProbeRefused where that is a refusal, ProbeFailed where none came within ``limit_s``."""
        try:
            self._in.write(json.dumps(question) + "\n")
            self._in.flush()
        except BrokenPipeError:
            raise self._ended() from None
        if not select.select([self._out], [], [], limit_s)[0]:
            raise ProbeFailed(f"{self.name}: no answer within {limit_s:.0f} s")
        line = self._out.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        if answer["event"] == "refused":
            raise ProbeRefused(answer["reason"])
        return answer

    def close(self) -> None:
        """SIGKILL to the process group: it has nothing to tidy up."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._in, self._out, self._log):
            with contextlib.suppress(BrokenPipeError):  # what it never read
                pipe.close()

    def _ended(self) -> ProbeFailed:
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return ProbeFailed(f"{self.name}: was killed; as a rule the machine had no memory left for it")
        self._log.seek(0)
        last = (self._log.read().strip().splitlines() or ["it said nothing"])[-1]
        return ProbeFailed(f"{self.name}: ended with exit code {code}: {last}")
