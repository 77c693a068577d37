"""Plan `speed`: every implementation of an architecture in turn, at one shape, beside its matrix products alone.

    group    (shape, architecture, subject): its candidates are what is compared with each other
    set      fresh processes, one a candidate; in each round every candidate runs one block, there and back again
    result   <out>/speed/<shape>.<arch>.<subject>.json: by candidate, set and round the fastest and the median call

The first process of a candidate holds it against the oracle before it is timed. What a reader could not believe is not
written: `gates` names it.
"""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suite import clock, facts, registry
from suite.perf.driver import Block, Probe, ProbeFailed
from suite.perf.probe import SUBJECTS
from suite.spec.cell import Cell
from suite.spec.contract import IMPLEMENTATIONS, Optim, Sizes, Unsupported

SCHEMA = 1
ARCHS = ("rnn", "gru", "gru_before", "lstm", "lstm_peephole")
SETS, ROUNDS = 4, 8
BLOCK_S, FEWEST = 0.06, 2
PRODUCTS = "products"  # the candidate that does nothing but the step's matrix products
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Group:
    """What is compared with each other: one architecture at one shape, and what of it is timed."""

    shape: str
    arch: str
    subject: str
    candidates: dict[str, Cell]  # name -> cell, such as "pytorch fused"

    @property
    def name(self) -> str:
        """The stem of its file."""
        return f"{self.shape}.{self.arch}.{self.subject}"


def shapes() -> dict[str, dict[str, Any]]:
    """The shapes that come with the suite, by name."""
    with (Path(__file__).parent / "shapes.toml").open("rb") as file:
        found: dict[str, dict[str, Any]] = tomllib.load(file)["shape"]
    return found


def group(shape: str, arch: str, subject: str, backends: Sequence[str], impls: Sequence[str], threads: int) -> Group:
    """The candidates of a group. ValueError, in one line, for a name that is not known."""
    known = shapes()
    for what, name, names in (("shape", shape, known), ("subject", subject, SUBJECTS)):
        if name not in names:
            raise registry.unknown(what, name, names)
    s = dict(known[shape])
    options = {"time": s["time"], "features": s["features"]} | ({"shortest": s["shortest"]} if "shortest" in s else {})
    sizes = Sizes(s["hidden"], s.get("layers", 1), s.get("bidirectional", False))
    base = Cell(
        "noise",
        registry.arch(arch).name,
        "reference",
        options=tuple(sorted(options.items())),
        sizes=sizes,
        optim=Optim(lr=1e-4),
        batch=s["batch"],
        threads=threads,
    )
    cells = {f"{b} {i}": replace(base, backend=b, impl=i) for b in backends for i in impls}
    return Group(shape, base.arch, subject, {PRODUCTS: base, **cells})


def measure(group: Group, out: Path, say: Say, sets: int = SETS, rounds: int = ROUNDS) -> Path:
    """Measure a group and write its file, or raise RuntimeError with what cannot be believed."""
    candidates, unsupported = _offered(group)
    start, found = clock.stamp(), {name: _empty(cell) for name, cell in candidates.items()}
    for number in range(sets):
        say(f"{group.name}: set {number + 1} of {sets}, {len(candidates)} processes")
        _set(group, candidates, found, number, rounds)
    data = {
        "schema": SCHEMA,
        "shape": group.shape,
        "arch": group.arch,
        "subject": group.subject,
        "candidates": found,
        "unsupported": unsupported,
        "started": start,
        "finished": clock.stamp(),
        "facts": facts.facts(),
    }
    if wrong := list(gates(data)):
        raise RuntimeError(f"speed: {group.name} is not written: {'; '.join(wrong)}")
    path = out / "speed" / f"{group.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def gates(data: dict[str, Any]) -> Iterator[str]:
    """What cannot be believed of a group's data."""
    for name, candidate in data["candidates"].items():
        best = min(min(s["min"]) for s in candidate["sets"])
        if not (math.isfinite(best) and best > 0):
            yield f"{name} took {best} s"
        if name != PRODUCTS and not all(math.isfinite(x) for x in candidate["told"].get("losses", [])):
            yield f"{name} has a loss that is not finite"
        for s in candidate["sets"]:
            if not 0.9 <= s["accounted"] <= 1.0 + 1e-6:
                yield f"{name}: its calls make {s['accounted']:.0%} of the time that passed while they ran"
    least = data["candidates"].get(PRODUCTS)
    if least and data["subject"] == "step":
        floor = min(min(s["min"]) for s in least["sets"])
        for name, candidate in data["candidates"].items():
            best = min(min(s["min"]) for s in candidate["sets"])
            if best < floor / MOST_OF_PRODUCTS:
                yield f"{name} took {1e3 * best:.3g} ms, its matrix products alone {1e3 * floor:.3g} ms"


MOST_OF_PRODUCTS = 1.5  # another library's products may be faster than NumPy's, but not by this much


def _offered(group: Group) -> tuple[dict[str, Cell], dict[str, str]]:
    offered, gaps = {}, {}
    for name, cell in group.candidates.items():
        if name == PRODUCTS:
            if group.subject == "step":
                offered[name] = cell
            continue
        try:
            registry.implementation(registry.backend(cell.backend), cell.arch, cell.impl)
            offered[name] = cell
        except Unsupported as reason:
            gaps[name] = str(reason)
    return offered, gaps


def _empty(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.as_json(), "key": cell.key, "told": {}, "sets": []}


def _set(group: Group, cells: dict[str, Cell], found: dict[str, Any], number: int, rounds: int) -> None:
    """Fresh processes of every candidate; one after the other they import and compile, then they run in turn."""
    with contextlib.ExitStack() as stack:
        probes = {}
        for name, cell in cells.items():
            subject = "gemm" if name == PRODUCTS else group.subject
            probes[name] = stack.enter_context(Probe(cell, subject, check=number == 0 and name != PRODUCTS))
            told = probes[name].ready()
            found[name]["told"] = found[name]["told"] or told
        counts = {name: _length(probe) for name, probe in probes.items()}
        blocks: dict[str, list[tuple[Block, float]]] = {name: [] for name in probes}
        for k in range(rounds):
            for name in list(probes) if k % 2 == 0 else list(reversed(probes)):
                begin = clock.now_ns()
                block = probes[name].run(counts[name])
                blocks[name].append((block, clock.since_s(begin)))
    for name, several in blocks.items():
        took, passed = sum(sum(b.seconds) for b, _ in several), sum(wall for _, wall in several)
        found[name]["sets"].append(
            {
                "min": [_short(min(b.seconds)) for b, _ in several],
                "median": [_short(statistics.median(b.seconds)) for b, _ in several],
                "calls": counts[name],
                "accounted": _short(took / passed),
                "cpu_per_s": _short(sum(b.cpu_s for b, _ in several) / took),
                "switches": sum(b.switches for b, _ in several),
                "first_s": _short(probes[name].told["first_s"]),
                "import_s": _short(probes[name].told.get("import_s", 0.0)),
            }
        )


def _length(probe: Probe) -> int:
    return max(FEWEST, math.ceil(BLOCK_S / min(probe.run(FEWEST).seconds)))


def _short(x: float) -> float:
    return float(f"{x:.5g}")


__all__ = ["ARCHS", "IMPLEMENTATIONS", "Group", "ProbeFailed", "gates", "group", "measure", "shapes"]
