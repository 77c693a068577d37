"""Records: what is known of a cell after it ran. The file is the truth; tables, figures and MLflow are views of it.

    <results>/<plan>/<key>/result.json    the record; it exists only when the cell has ended (written by rename)
    <results>/<plan>/<key>/metrics.jsonl  the curves, one line a point, flushed as it goes:
                                          {"step": 20, "time_ms": 1764..., "values": {"train/loss": 1.93, ...}}
    <results>/<plan>/<key>/flow.npz       gradient flow: "<step>/<state name>" -> (T,)   where asked for
    <results>/<plan>/<key>/weights.safetensors   final canonical parameters (not committed)

The last line of a record is a SHA-256 of all lines before it: a file that was damaged, or edited, is no record.

Metric names have exactly one slash, "section/name"; a parameter's path is written with dots: "grad/layer0.U".
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from suite.files import whole
from suite.spec.cell import Cell
from suite.spec.contract import Array, Bound

SCHEMA = 1
Outcome = Literal["ok", "unsupported", "skipped", "diverged", "oom", "timeout", "crash"]
DIGEST = '"digest": "'
MOST_FLOW = 256 << 20  # bytes of gradient flow, unpacked


@dataclass(frozen=True, slots=True)
class Record:
    """One ended cell. Units are in the names: _s seconds, _bytes, _nats; raw samples are kept.

    log      the last lines that the process of a crashed cell printed
    checks   rows of the exam that passed before the clock started: {"check", "error", "limit", "ok"}
    scores   split -> metric -> value; the headline metric has its standard error beside it
    curve    validation: [{"step", "train_s", <metric>: value, ...}], train_s counts training steps only
    updates  how many were made; best_update: after which one the tested model was taken
    step_s   every timed step's seconds, in order (the first, which compiles, is first_step_s); the steps of one call
             (``cell.steps_per_call``) have equal shares of its seconds
    resumed_at  after which updates another process went on, from a checkpoint
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
    log: tuple[str, ...] = ()
    resumed_at: tuple[int, ...] = ()
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
    lines = [f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in data.items()]
    with whole(folder / "result.json") as part:
        part.write_text(_sealed("{\n" + ",\n".join(lines) + ",\n"), encoding="utf-8")
    return folder / "result.json"


def read(path: Path) -> Record:
    """The record in a ``result.json``. ValueError, with the file's name, if it is not one, or not whole."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
        if data.pop("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        key = data.pop("key")
        data.pop("digest")
        data["cell"] = Cell.from_json(data["cell"])
        data["bounds"] = tuple(Bound(**b) for b in data["bounds"])
        for name in ("checks", "curve", "step_s", "log", "resumed_at"):
            data[name] = tuple(data.get(name, ()))
        record = Record(**data)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a record of this version ({error})") from error
    if record.key != key:
        raise ValueError(f"{path}: its key is {key}, but its cell has the key {record.key}")
    if not isinstance(record.plan, str) or record.outcome not in get_args(Outcome):
        raise ValueError(f"{path}: not a record of this version (plan {record.plan!r}, outcome {record.outcome!r})")
    if _sealed(text.rpartition(DIGEST)[0]) != text:
        raise ValueError(f"{path}: its digest does not fit: the file was damaged, or edited")
    return record


def of(cell: Cell, path: Path) -> Record | None:
    """The record at ``path``; None if there is none. ValueError if it is damaged, or another cell's."""
    if not path.exists():
        return None
    found = read(path)
    if found.cell != cell:
        raise ValueError(f"{path}: it is the record of {found.cell.name}, {found.key}")
    return found


def _sealed(lines: str) -> str:
    return f'{lines}{DIGEST}{hashlib.sha256(lines.encode()).hexdigest()}"\n}}\n'


def read_all(results: Path) -> list[Record]:
    """Every record of a folder of results, or of one plan's folder in it, in order of plan, cell name and key."""
    records = [read(path) for pattern in ("*/result.json", "*/*/result.json") for path in results.glob(pattern)]
    return sorted(records, key=lambda r: (r.plan, r.cell.name, r.key))


def points(folder: Path) -> Iterator[dict[str, Any]]:
    """The curve points of a cell; a torn last line (a killed process) is left out."""
    path = folder / "metrics.jsonl"
    for line in path.read_bytes().splitlines() if path.exists() else ():
        if (found := point(line)) is None:
            return
        yield found


def point(line: bytes) -> dict[str, Any] | None:
    """The point in a line of metrics.jsonl; None if the line is torn or no point."""
    try:
        found = json.loads(line)
        step, time_ms, values = found["step"], found["time_ms"], found["values"]
        good = isinstance(step, int) and isinstance(time_ms, int)
        [isfinite(value) for value in values.values()]  # raises for what is no number
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None
    return found if good else None


def flow(folder: Path) -> dict[str, Array]:
    """The gradient flow of a cell, "<step>/<state name>" -> (T,); empty if it has none.

    ValueError, with the file's name, for a file that is damaged or larger than `MOST_FLOW`.
    """
    path = folder / "flow.npz"
    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MOST_FLOW:
            raise ValueError(f"it holds {size} bytes, the limit is {MOST_FLOW}")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        if not all(name.partition("/")[0].isdecimal() and a.ndim == 1 for name, a in found.items()):
            raise ValueError("a name or a shape in it is none of gradient flow")
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a gradient flow ({error})") from error
    return found


def watched(metric: str) -> bool:
    """Whether a curve is one people follow as it grows, and not the norm of a single parameter's gradient."""
    return not metric.startswith("grad/") or metric == "grad/global_norm"
