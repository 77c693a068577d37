"""What there is, in lines for people: backends, architectures, implementations, tasks, plans. Imports no framework."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from suite import checkpoint, plan, record, registry
from suite.plan import Plan
from suite.spec.cell import Cell
from suite.spec.contract import IMPLEMENTATIONS

WHAT = {
    "stock": "the framework's own layer",
    "scan": "a loop over time in the framework's operations",
    "scan-compiled": "the same loop, compiled by torch.compile or XLA",
    "fused": "a loop over time whose derivative is written by hand",
    "native": "the same loop and derivative in C++, compiled on first use",
}


def backends() -> Iterator[str]:
    """Each backend: whether it is installed, what it offers, and why not the rest."""
    yield from _offers(registry.backends())


def peers() -> Iterator[str]:
    """The same of the layers that people would pick instead: --backend takes their names too."""
    yield from _offers(registry.PEERS)


def _offers(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        module = registry.backend(name)
        need = "installed" if registry.installed(module) else f"not installed: pip install 'recurbench[{module.EXTRA}]'"
        yield f"{name:15} {need}"
        for impl in IMPLEMENTATIONS:
            archs = [arch for arch, i in module.TABLE if i == impl]
            if archs:
                yield f"  {impl:13} {', '.join(archs)}"
        for (arch, impl), reason in module.GAPS.items():
            yield f"  no {arch}/{impl}: {reason}"


def architectures() -> Iterator[str]:
    """Each architecture and its source."""
    for name in registry.archs():
        yield f"{name:15} {registry.arch(name).source}"


def coverage() -> Iterator[str]:
    """Which backend has which architecture in which implementation, as a Markdown table."""
    columns = [(b, i) for b in registry.BACKENDS for i in IMPLEMENTATIONS if any(i == k for _, k in _table(b))]
    yield f"| | {' | '.join(f'{b} {i}' for b, i in columns)} |"
    yield "|---|" + ":-:|" * len(columns)
    for name in registry.archs():
        yield f"| `{name}` | {' | '.join('✓' if (name, i) in _table(b) else '-' for b, i in columns)} |"


def cells(chosen: Plan, results: Path) -> Iterator[str]:
    """What a plan would run: each cell's key, what there is of it, and its name."""
    found = []
    for cell in chosen.cells:
        found.append(_state(cell, results / chosen.name / cell.key))
        yield f"{cell.key}  {found[-1]:11}  {cell.name}"
    count = ", ".join(f"{n} {state}" for state, n in Counter(found).items())
    yield f"{len(found)} cells of plan {chosen.name}: {count}"


def _state(cell: Cell, folder: Path) -> str:
    try:
        found = record.of(cell, folder / "result.json")
    except ValueError:
        return "damaged"
    if found:
        return found.outcome
    return "cut off" if (folder / checkpoint.NAME).exists() else "not run"


def _table(backend: str) -> Mapping[tuple[str, str], str]:
    return registry.backend(backend).TABLE


def implementations() -> Iterator[str]:
    """Each implementation and the backends that have it for some architecture."""
    for impl in IMPLEMENTATIONS:
        have = [b for b in registry.backends() if any(i == impl for _, i in registry.backend(b).TABLE)]
        yield f"{impl:14} {WHAT[impl]} ({', '.join(have)})"


def tasks() -> Iterator[str]:
    """Each task and the first line of what it says of itself; nothing is made or downloaded."""
    for name in registry.tasks():
        try:
            told = inspect.getdoc(registry.task_maker(name)) or ""
        except ValueError as error:
            told = f"not available: {error}"
        yield f"{name:15} {told.partition(chr(10))[0]}"


def plans() -> Iterator[str]:
    """Each plan: how many cells, and its title."""
    for name in plan.names():
        loaded = plan.load(name)
        yield f"{name:15} {len(loaded.cells):3} cells  {loaded.title}"


LISTS: dict[str, Callable[[], Iterator[str]]] = {
    "backends": backends,
    "peers": peers,
    "architectures": architectures,
    "coverage": coverage,
    "implementations": implementations,
    "tasks": tasks,
    "plans": plans,
}
