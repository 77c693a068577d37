"""Where cells run: on this machine (`local`), in a Ray cluster (`ray`) or under Slurm (`slurm`).

An executor takes jobs and tells what becomes of them; it knows nothing of records. After `Ended` the job's folder holds
what the cell's process wrote, on this machine. That is all that `suite.run` knows of an executor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from suite.checkpoint import CHECKPOINT_S
from suite.spec.cell import Cell
from suite.stop import Stop

TIMEOUT_S = 3600.0
FILES = ("metrics.jsonl", "flow.npz", "weights.safetensors", "worker.log")  # of a cell, but for record and checkpoint
TICK_S = 0.25  # how often an executor looks whether it is to stop


@dataclass(frozen=True, slots=True)
class Job:
    """One cell to run, and how.

    resume        go on from the checkpoint in its folder, where there is one
    memory_bytes  what its processes may hold together, resident; 0: no limit but the machine's
    packed        beside other cells, so that its speed means nothing
    """

    cell: Cell
    folder: Path
    plan: str
    converged: bool = True
    resume: bool = False
    timeout_s: float = TIMEOUT_S
    memory_bytes: int = 0
    checkpoint_s: float = CHECKPOINT_S
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """How a cell's process ended, for the case that it left no record.

    how     "done": its record says the rest; "timeout" or "memory": it passed a limit; "died": by itself; "lost": its
            machine or its engine was
    code    of the process: negative for a signal
    said    the last lines it printed, or what is known beside them
    """

    how: Literal["done", "timeout", "memory", "died", "lost"]
    code: int = 0
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """Frameworks are imported, no cell has begun: the last moment for whatever should not run beside a timed cell."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A job is about to run: its folder may be cleared."""

    job: Job


@dataclass(frozen=True, slots=True)
class News:
    """A worker's event about a job, or {} a few times a second where there is none."""

    job: Job
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """A job has ended, one way or another."""

    job: Job
    exit: Exit


Event = Ready | Begun | News | Ended


class Executor(Protocol):
    """Runs jobs."""

    def run(self, jobs: Sequence[Job], stop: Stop) -> Iterator[Event]:
        """Run the jobs. Begins no more once ``stop.soon``; raises KeyboardInterrupt once ``stop.now``."""

    def close(self) -> None:
        """End every process; nothing of it may outlive this call."""
