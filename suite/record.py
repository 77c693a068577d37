"""Records: what is known of a cell after it ran. The file is the truth; tables, figures and MLflow are views of it.

    <results>/<plan>/<key>/result.json    the record; it exists only when the cell has ended (written by rename)
    <results>/<plan>/<key>/metrics.jsonl  the curves, one line a point, flushed as it goes:
                                          {"step": 20, "time_ms": 1764..., "values": {"train/loss": 1.93, ...}}
    <results>/<plan>/<key>/flow.npz       gradient flow: "<step>/<state name>" -> (T,)   where asked for
    <results>/<plan>/<key>/weights.safetensors   final canonical parameters (not committed)

Metric names have exactly one slash, "section/name"; a parameter's path is written with dots: "grad/layer0.U".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from suite.spec.cell import Cell
from suite.spec.contract import Bound

SCHEMA = 1
Outcome = Literal["ok", "unsupported", "diverged", "oom", "timeout", "crash"]


@dataclass(frozen=True, slots=True)
class Record:
    """One ended cell. Units are in the names: _s seconds, _bytes, _nats; raw samples are kept.

    checks   rows of the exam that passed before the clock started: {"check", "error", "limit", "ok"}
    scores   split -> metric -> value; the headline metric has its standard error beside it
    curve    validation: [{"step", "train_s", <metric>: value, ...}], train_s counts training steps only
    updates  how many were made; best_update: after which one the tested model was taken
    step_s   every timed step's seconds, in order (the first, which compiles, is first_step_s); the steps of one call
             (``cell.steps_per_call``) have equal shares of its seconds
    """

    plan: str
    cell: Cell
    outcome: Outcome
    reason: str = ""
    ran: str = ""
    metric: str = ""
    better: str = ""
    bounds: tuple[Bound, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)  # data, initial params, final params
    checks: tuple[dict[str, Any], ...] = ()
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    curve: tuple[dict[str, float], ...] = ()
    updates: int = 0
    best_update: int = 0
    step_s: tuple[float, ...] = ()
    first_step_s: float = 0.0
    build_s: float = 0.0
    tokens_per_step: float = 0.0
    flops_per_step: int = 0
    parameters: int = 0
    peak_rss_bytes: int = 0
    fresh_process: bool = False
    last_loss: float = 0.0
    last_grad_norm: float = 0.0
    started: str = ""
    finished: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.cell.key


def write(record: Record, folder: Path) -> Path:
    """Write ``result.json`` into the cell's folder so that it is there whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    data = asdict(record) | {"key": record.key, "cell": record.cell.as_json()}
    path, part = folder / "result.json", folder / "result.json.part"
    with part.open("w", encoding="utf-8") as f:
        lines = (f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in data.items())
        f.write("{\n" + ",\n".join(lines) + "\n}\n")
        f.flush()
        os.fsync(f.fileno())
    part.replace(path)
    return path


def read(path: Path) -> Record:
    """The record in a ``result.json``. ValueError, with the file's name, if it is not one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        key = data.pop("key")
        data["cell"] = Cell.from_json(data["cell"])
        data["bounds"] = tuple(Bound(**b) for b in data["bounds"])
        for name in ("checks", "curve", "step_s"):
            data[name] = tuple(data[name])
        record = Record(**data)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a record of this version ({error})") from error
    if record.key != key:
        raise ValueError(f"{path}: its key is {key}, but its cell has the key {record.key}")
    return record


def read_all(results: Path) -> list[Record]:
    """Every record of a folder of results, or of one plan's folder in it, in order of plan, cell name and key."""
    records = [read(path) for pattern in ("*/result.json", "*/*/result.json") for path in results.glob(pattern)]
    return sorted(records, key=lambda r: (r.plan, r.cell.name, r.key))


def points(folder: Path) -> Iterator[dict[str, Any]]:
    """The curve points of a cell; a torn last line (a killed process) is left out."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def watched(metric: str) -> bool:
    """Whether a curve is one people follow as it grows, and not the norm of a single parameter's gradient."""
    return not metric.startswith("grad/") or metric == "grad/global_norm"
