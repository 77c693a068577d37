"""Plans: experiments as data. TOML -> validated -> the cells to run.

    name = "quick"                     also the folder below results/
    title = "..."                      one line
    description = "..."                what it shows, and what it does not
    converged = false                  whether its scores are meant to be final

    [defaults]                         any key of [[grid]]; a grid's own value wins, tables key by key
    batch = 32
    sizes = { hidden = 32 }

    [[grid]]                           task, arch, lr, backend, impl, seed: one value or a list; lists multiply out
    task = "copy_memory"
    arch = ["rnn", "gru", "lstm"]
    backend = ["pytorch", "tensorflow", "jax"]
    options = { time = 20 }            the task's own

Also: steps, steps_per_call, eval_every, patience, smoothing, dropout, flow_at, precision, device, threads, and the
tables optim, init and schedule. A key or a name that is not known is refused. A cell that cannot run stays in the plan:
it is recorded with its reason.
"""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from suite import registry
from suite.spec.cell import Cell
from suite.spec.contract import IMPLEMENTATIONS, Optim, Precision, Sizes
from suite.spec.init import Init
from suite.spec.schedule import Schedule

FOLDER = Path(__file__).parent / "plans"
AXES = ("seed", "task", "arch", "lr", "impl", "backend")  # the last turns fastest: backends meet the same drift
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
MOST_CELLS = 100_000
NAME = r"[a-z0-9][a-z0-9_-]*"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, in order. ``converged``: whether the scores are meant to be final, or only to show that it runs."""

    name: str
    title: str
    description: str
    converged: bool
    cells: tuple[Cell, ...]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _table(cls: type) -> Any:
    """A model with the fields of a dataclass, each of which may be left out."""
    hints = get_type_hints(cls)
    named: dict[str, Any] = {f.name: (hints[f.name], f.default) for f in fields(cls)}
    return create_model(cls.__name__, __config__=STRICT, **named)


Names = Annotated[list[str], BeforeValidator(_listed)]
SizesTable, OptimTable, InitTable, ScheduleTable = map(_table, (Sizes, Optim, Init, Schedule))


class _Grid(BaseModel):
    model_config = STRICT
    task: Names = Field(default=[], min_length=1)
    arch: Names = Field(default=[], min_length=1)
    backend: Names = Field(default=[], min_length=1)
    impl: Names = Field(default=[], min_length=1)
    seed: Annotated[list[int], BeforeValidator(_listed)] = Field(default=[], min_length=1)
    lr: Annotated[list[float], BeforeValidator(_listed)] = Field(default=[], min_length=1)
    options: dict[str, str | int | float | bool] = {}
    sizes: SizesTable = None  # type: ignore[valid-type]
    optim: OptimTable = None  # type: ignore[valid-type]
    init: InitTable = None  # type: ignore[valid-type]
    schedule: ScheduleTable = None  # type: ignore[valid-type]
    batch: int = 0
    steps: int = 0
    steps_per_call: int = 1
    eval_every: int = Field(default=0, ge=0)
    patience: int = 0
    smoothing: float = 0.0
    dropout: float = 0.0
    flow_at: list[int] = []
    precision: Precision = "float32"
    device: str = "cpu"
    threads: int = 0


class _File(BaseModel):
    model_config = STRICT
    name: str = Field(pattern=f"^{NAME}$")
    title: str
    description: str
    converged: bool
    defaults: _Grid = _Grid()
    grid: list[_Grid] = Field(min_length=1)


_TABLES: dict[str, Any] = {"sizes": SizesTable, "optim": OptimTable, "init": InitTable, "schedule": ScheduleTable}
_MODELS: dict[str, Any] = {"": _File, "defaults": _Grid, "grid": _Grid, **_TABLES}


_CELL: dict[str, Any] = {f.name: (get_type_hints(Cell)[f.name], f.default) for f in fields(Cell)}
_CELL |= {name: (str, ...) for name in ("task", "arch", "backend")}
_CELL |= {name: (table | None, None) for name, table in _TABLES.items()}
_CELL |= {"options": (dict[str, str | int | float | bool], {}), "flow_at": (list[int], [])}
CellTable = create_model("CellTable", __config__=STRICT, **_CELL)


def checked_name(name: Any, source: str) -> str:
    """A plan's name that is also a folder's. ValueError for what is none."""
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise ValueError(f"{source}: plan is {name!r}; a name has small letters, digits, - and _, and no other sign")
    return name


def cell(data: Any, source: str) -> Cell:
    """The cell in a JSON object, as `Cell.as_json` writes it. ValueError, in one line, says what is wrong and where."""
    try:
        CellTable.model_validate(data)
        return Cell.from_json(data)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        where = " ".join(".".join(map(str, first["loc"])).split()) or "it"
        raise ValueError(f"{source}: not a cell: {where}: {first['msg'].lower()}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: not a cell: {error}") from error


def names() -> list[str]:
    """The plans that come with the suite."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(
    name: str,
    *,
    backends: Sequence[str] = (),
    archs: Sequence[str] = (),
    tasks: Sequence[str] = (),
    impls: Sequence[str] = (),
    seeds: int | None = None,
    precision: str | None = None,
    device: str | None = None,
    steps: int | None = None,
    steps_per_call: int | None = None,
) -> Plan:
    """The plan of this name, or in the TOML file at this path, narrowed by what is given.

    A name the plan has picks it wherever it occurs; a backend, architecture or implementation the plan lacks is put
    in every grid instead. ``seeds`` runs 0..seeds-1. ValueError, in one line, says what is wrong and where.
    """
    file, source = _read(name)
    grids = [_merge(file.defaults, grid) for grid in file.grid]
    for k, grid in enumerate(grids):
        for axis in ("task", "arch", "backend"):
            if axis not in grid:
                raise ValueError(f"{source}: grid {k + 1} has no {axis}; give it one, there or in [defaults]")
        grid.setdefault("impl", ["scan"])
        grid.setdefault("seed", [0])
        grid.setdefault(
            "lr", [grid.get("optim", {}).get("lr", Optim().lr)]
        )  # an optimiser's setting that may be a list
        if seeds is not None:
            grid["seed"] = range(seeds)
        grid |= {"precision": precision} if precision else {}
        grid |= {"device": device} if device else {}
        grid |= {"steps_per_call": steps_per_call} if steps_per_call else {}
        if steps:
            grid |= {"steps": steps, "flow_at": [step for step in grid.get("flow_at", ()) if step <= steps]}
    _known_names(grids, source)
    whole = grids
    for axis, chosen in (("backend", backends), ("arch", archs), ("task", tasks), ("impl", impls)):
        present = list(dict.fromkeys(itertools.chain.from_iterable(grid[axis] for grid in whole)))
        grids = _narrow(grids, axis, chosen, present, file.name) if chosen else grids
    many = sum(math.prod(len(grid[axis]) for axis in AXES) for grid in grids)
    if many > MOST_CELLS:
        raise ValueError(
            f"{source}: its lists multiply out to {many} cells; {MOST_CELLS} is the limit: make several plans"
        )
    cells = dict.fromkeys(cell for grid in grids for cell in _multiply(grid, source))
    if not cells:
        raise ValueError(f"{source}: no cell is left; the filters exclude each other, or --seeds is 0")
    return Plan(file.name, file.title, file.description, file.converged, tuple(cells))


def _read(name: str) -> tuple[_File, str]:
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise ValueError(f"plan: there is no file {name}")
        raise registry.unknown("plan", name, names())
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))), path.name
    except ValidationError as error:
        raise _one_line(path.name, error) from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number of thousands of digits
        raise ValueError(f"{path.name}: not TOML: {error}") from error


def _one_line(source: str, error: ValidationError) -> ValueError:
    """The first thing that is wrong, with the nearest known key where a key is not known."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # a typo explains what is missing
    loc = [str(part + 1) if isinstance(part, int) else part for part in first["loc"]]
    parents = [part for part in loc[:-1] if part in _MODELS]
    if first["type"] == "extra_forbidden":
        where = f" of {'.'.join(loc[:-1])}" if loc[1:] else ""
        return registry.unknown(f"{source}: key{where}", loc[-1], _MODELS[parents[-1] if parents else ""].model_fields)
    if first["type"] == "missing":
        return ValueError(f"{source}: {'.'.join(loc)} is missing")
    return ValueError(f"{source}: {'.'.join(loc)} is {first['input']!r}; {first['msg'].lower()}")


def _merge(defaults: _Grid, grid: _Grid) -> dict[str, Any]:
    base, own = defaults.model_dump(exclude_unset=True), grid.model_dump(exclude_unset=True)
    tables = {k: base.get(k, {}) | own.get(k, {}) for k in (*_TABLES, "options") if k in base or k in own}
    return base | own | tables


def _known_names(grids: list[dict[str, Any]], source: str) -> None:
    known = {
        "task": registry.tasks(),
        "arch": registry.archs(),
        "backend": [*registry.backends(), *registry.PEERS],
        "impl": list(IMPLEMENTATIONS),
    }
    for axis, names in known.items():
        for name in itertools.chain.from_iterable(grid[axis] for grid in grids):
            if name not in names:
                raise registry.unknown(f"{source}: {axis}", name, names)


def _narrow(
    grids: list[dict[str, Any]], axis: str, chosen: Sequence[str], present: list[str], plan: str
) -> list[dict[str, Any]]:
    """The grids with the chosen names only; ``present`` are all that the plan has on this axis."""
    added = [name for name in chosen if name not in present]
    if axis == "task" and added:  # a task comes with its options and sizes, which only a plan gives
        raise registry.unknown(f"task of plan {plan}", added[0], present)
    narrowed = [grid | {axis: [name for name in chosen if name in grid[axis] or name in added]} for grid in grids]
    _known_names(narrowed, f"--{axis}")
    return [grid for grid in narrowed if grid[axis]]


def _multiply(grid: dict[str, Any], source: str) -> Iterator[Cell]:
    settings = {name: value for name, value in grid.items() if name not in AXES}
    for values in itertools.product(*(grid[axis] for axis in AXES)):
        try:
            chosen = settings | dict(zip(AXES, values, strict=True))
            chosen["optim"] = chosen.get("optim", {}) | {"lr": chosen.pop("lr")}
            if chosen["impl"] == "stock":
                chosen["flow_at"] = ()  # a framework's own layer hides its inner states
            cell = Cell.from_json(chosen)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}: {error}") from error
        yield cell
