"""What MLflow is told of a cell: names, parameters, tags, curve points, final numbers. Plain data, no MLflow.

A name has one slash, because the dashboard makes its sections from what stands before it. A point carries the time at
which the worker wrote it, so a point sent twice is stored once. Values that are not finite are never sent: the store
would turn an infinity into 1.8e308 without a word.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import suite
from suite.record import Record, point, watched
from suite.report.groups import task_name
from suite.spec.cell import Cell

POINTS = 300  # a curve in the store; the dashboard draws 320 at most, and the file has them all
Status = Literal["FINISHED", "FAILED", "KILLED"]
Row = tuple[str, float, int, int]  # name, value, milliseconds since 1970, step


def milliseconds(stamp: str) -> int:
    """An ISO 8601 time -> milliseconds since 1970."""
    return int(datetime.fromisoformat(stamp).timestamp() * 1000)


def params(cell: Cell) -> dict[str, str]:
    """The whole cell, nested names with dots: "sizes.hidden"."""
    out: dict[str, str] = {}
    for name, value in cell.as_json().items():
        inner = value if isinstance(value, dict) else {"": value}
        out |= {f"{name}.{key}" if key else name: str(v) for key, v in inner.items()}
    return out


def series(cell: Cell) -> str:
    """What the seeds of a cell have in common, in the words of the charts' legends: "gru jax scan, hmm_tag"."""
    return f"{cell.arch} {cell.backend} {cell.impl}, {task_name(cell)}"


def cell_tags(cell: Cell, plan: str) -> dict[str, str]:
    """What one filters and groups by."""
    own = {name: str(getattr(cell, name)) for name in ("task", "arch", "backend", "impl", "seed", "precision")}
    return own | {
        "series": series(cell),
        "suite.role": "cell",
        "suite.plan": plan,
        "suite.cell_key": cell.key,
        "suite.version": suite.__version__,
    }


def end_tags(record: Record) -> dict[str, str]:
    """How it ended, what really ran, and on which data."""
    told = {
        "outcome": record.outcome,
        "reason": record.reason,
        "ran": record.ran,
        "metric": record.metric,
        "suite.machine_id": str(record.facts.get("machine_id", "")),
        "git.sha": str(record.facts.get("git", "")),
        "git.dirty": str(record.facts.get("git_dirty", "")),
        "mlflow.note.content": f"**{record.outcome}**: {record.reason}" if record.reason else "",
    }
    told |= {f"digest.{name}": value for name, value in record.digests.items()}
    return {name: value[:8000] for name, value in told.items() if value}


def finals(record: Record) -> dict[str, float]:
    """The numbers of the table as "final/...": test scores by their own name, other splits with theirs in front.

    A zero that stands for "not measured" is left out; a score of zero is a score.
    """
    named = record.scores.items()
    scores = {name if split == "test" else f"{split}_{name}": v for split, found in named for name, v in found.items()}
    cost: dict[str, float] = {
        "grad_norm": record.last_grad_norm,
        "loss": record.last_loss,
        "first_step_s": record.first_step_s,
        "build_s": record.build_s,
        "flops_per_step": record.flops_per_step,
        "parameters": record.parameters,
        "peak_rss_mib": record.peak_rss_bytes / 2**20 if record.fresh_process else 0.0,
    }
    if record.step_s:
        step_s = statistics.fmean(record.step_s)
        cost |= {
            "ms_per_step": 1e3 * statistics.median(record.step_s),
            "train_s": sum(record.step_s) + record.first_step_s,
            "tokens_per_s": record.tokens_per_step / step_s,
            "gflops_per_s": record.flops_per_step / step_s / 1e9,
        }
    told = scores | {name: v for name, v in cost.items() if v}
    return {f"final/{name}": float(v) for name, v in told.items() if math.isfinite(v)}


def status(record: Record) -> Status:
    """The run's status. A refusal is an answer, so it counts as finished; its tag says "unsupported".

    What never began, was ended by a limit or by a signal is "KILLED"; what ended by itself, but badly, "FAILED".
    """
    if record.outcome in ("ok", "unsupported"):
        return "FINISHED"
    killed = record.outcome in ("timeout", "oom", "skipped") or record.reason.startswith("killed by ")
    return "KILLED" if killed else "FAILED"


@dataclass
class Tail:
    """Reads a growing ``metrics.jsonl`` and lets through at most `POINTS` points of each curve.

    Whether a point goes through depends on its step alone: the first one of each of 299 equal stretches of the
    training, and the last update. So a live run and a replay send the same points.

    Live, only what one watches goes through at once. The norms of the single parameters, most of all points, wait for
    the end of the cell: sending them while it is timed would cost it a few per cent on a machine of two cores.
    """

    steps: int
    offset: int = 0
    last: dict[str, int] = field(default_factory=dict)  # name -> stretch of the last point that went through
    held: list[Row] = field(default_factory=list)

    def rows(self, folder: Path, live: bool = False) -> list[Row]:
        """What is new since the last call, and was held; a line that is not complete yet waits for the next one."""
        rows = self.held + self._new(folder)
        self.held = [row for row in rows if not watched(row[0])] if live else []
        return [row for row in rows if watched(row[0])] if live else rows

    def _new(self, folder: Path) -> list[Row]:
        path = folder / "metrics.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self.offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [row for line in whole.splitlines() if (found := point(line)) for row in self._thinned(found)]

    def _thinned(self, point: dict[str, Any]) -> Iterator[Row]:
        step = int(point["step"])
        stretch = step * (POINTS - 1) // self.steps
        for name, value in point["values"].items():
            if math.isfinite(value) and stretch > self.last.get(name, -1):
                self.last[name] = stretch
                yield name, float(value), int(point["time_ms"]), step


def batches(rows: list[Row], size: int = 1000) -> Iterable[list[Row]]:
    """Pieces of at most ``size`` rows, as many as the store takes at once."""
    return (rows[i : i + size] for i in range(0, len(rows), size))
