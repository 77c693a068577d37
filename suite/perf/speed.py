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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suite import clock, facts, registry
from suite.perf import machine
from suite.perf.driver import Block, Probe, ProbeRefused
from suite.perf.probe import SUBJECTS
from suite.perf.shapes import Shape, shape
from suite.spec.cell import Cell
from suite.spec.contract import Unsupported

SCHEMA = 1
BLOCK_S = 0.06
PRODUCTS = "products"  # the candidate that does nothing but the step's matrix products
MOST_OF_PRODUCTS = 1.5  # another library's products may be faster than NumPy's, but not by this much
SLOW = {"pytorch scan-compiled": "every shape takes long to compile: add --slow"}
Say = Callable[[str], None]
Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """What is compared with each other: one architecture at one shape, and what of it is timed."""

    shape: Shape
    arch: str
    subject: str
    candidates: dict[str, Cell]  # name -> cell, such as "pytorch fused"

    @property
    def name(self) -> str:
        """The stem of its file."""
        return f"{self.shape.name}.{self.arch}.{self.subject}"


def group(
    name: str,
    arch: str,
    subject: str,
    backends: Sequence[str],
    impls: Sequence[str],
    peers: Sequence[str],
    threads: int,
) -> Group:
    """The candidates of a group; of peers, their stock layers. ValueError, in one line, for an unknown name."""
    if subject not in SUBJECTS:
        raise registry.unknown("subject", subject, SUBJECTS)
    asked = [(b, i) for b in backends for i in impls] + [(peer, "stock") for peer in peers]
    base = shape(name).cell(arch, threads)
    cells = {f"{b} {i}": replace(base, backend=b, impl=i) for b, i in asked}
    if beside := shape(name).beside:
        full = shape(beside).cell(arch, threads)
        cells |= {f"{b} {i}, full rows": replace(full, backend=b, impl=i) for b, i in asked}
    return Group(shape(name), base.arch, subject, {PRODUCTS: base, **cells})


def measure(group: Group, out: Path, say: Say, sets: int, rounds: int, slow: bool = False) -> Path:
    """Measure a group and write its file. RuntimeError with what cannot be believed, ProbeFailed with what failed."""
    candidates, unsupported = _offered(group, slow)
    found: Data = {}
    start = clock.stamp()
    for number in range(sets):
        asked = {name: cell for name, cell in candidates.items() if name not in unsupported}
        say(f"{group.name}: set {number + 1} of {sets}, {len(asked)} processes")
        _set(group, asked, found, unsupported, number, rounds)
    data = {
        "schema": SCHEMA,
        "shape": group.shape.name,
        "arch": group.arch,
        "subject": group.subject,
        "candidates": found,
        "unsupported": unsupported,
        "started": start,
        "finished": clock.stamp(),
        "facts": facts.facts(),
    }
    if wrong := [*gates(data), *_beside(data, out)]:
        raise RuntimeError(f"speed: {group.name} is not written: {'; '.join(wrong)}")
    path = file(out, group.shape.name, group.arch, group.subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(_compact(data), encoding="utf-8")
    part.replace(path)
    return path


def file(out: Path, shape: str, arch: str, subject: str) -> Path:
    """Where a group's file lies."""
    return out / "speed" / f"{shape}.{arch}.{subject}.json"


def best(candidate: Data) -> float:
    """The fastest call of all, in seconds."""
    return min(min(s["min"]) for s in candidate["sets"])


def gates(data: Data) -> Iterator[str]:
    """What cannot be believed of a group's data."""
    for name, candidate in data["candidates"].items():
        if not (math.isfinite(best(candidate)) and best(candidate) > 0):
            yield f"{name} took {best(candidate)} s"
        if name != PRODUCTS and not all(math.isfinite(x) for x in candidate["told"].get("losses", [])):
            yield f"{name} has a loss that is not finite"
        for s in candidate["sets"]:
            if not 0.9 <= s["accounted"] <= 1.0 + 1e-6:
                yield f"{name}: its calls make {s['accounted']:.0%} of the time that passed while they ran"
    least = data["candidates"].get(PRODUCTS)
    if least and data["subject"] == "step":
        for name, candidate in data["candidates"].items():
            if best(candidate) < best(least) / MOST_OF_PRODUCTS:
                yield f"{name} took {_ms(candidate)}, its matrix products alone {_ms(least)}"


def order(small: Data, large: Data) -> Iterator[str]:
    """What cannot be believed of two subjects, of which the second does all that the first does, and more."""
    for name in small["candidates"].keys() & large["candidates"].keys():
        one, more = small["candidates"][name], large["candidates"][name]
        if not best(one) <= best(more):
            yield f"{name}: {small['subject']} took {_ms(one)}, {large['subject']} {_ms(more)}, and it does more"


def _ms(candidate: Data) -> str:
    return f"{1e3 * best(candidate):.3g} ms"


def _beside(data: Data, out: Path) -> Iterator[str]:
    """`order` of a step and of the outputs alone, where both have been measured."""
    other = {"step": "forward", "forward": "step"}.get(data["subject"], "")
    path = file(out, data["shape"], data["arch"], other)
    if other and path.exists():
        both = {d["subject"]: d for d in (data, json.loads(path.read_text(encoding="utf-8")))}
        yield from order(both["forward"], both["step"])


def _offered(group: Group, slow: bool) -> tuple[dict[str, Cell], dict[str, str]]:
    offered, gaps = {}, {}
    for name, cell in group.candidates.items():
        if name == PRODUCTS:
            if group.subject == "step":
                offered[name] = cell
            continue
        try:
            registry.implementation(registry.backend(cell.backend), cell.arch, cell.impl)
            if name in SLOW and not slow:
                raise Unsupported(SLOW[name])
            offered[name] = cell
        except Unsupported as reason:
            gaps[name] = str(reason)
    return offered, gaps


def _empty(cell: Cell, told: Data) -> Data:
    """A candidate before its first set: the surroundings are kept once a group, of each process only its threads."""
    pools = {pool["internal_api"]: pool["num_threads"] for pool in told["facts"]["thread_pools"]}
    keys = ("ran", "flops", "parameters", "losses")
    kept = {key: told[key] for key in keys if key in told} | {"pools": pools}
    return {"cell": cell.as_json(), "key": cell.key, "told": kept, "sets": []}


def _set(
    group: Group, cells: dict[str, Cell], found: Data, unsupported: dict[str, str], number: int, rounds: int
) -> None:
    """Fresh processes of every candidate; one after the other they import and compile, then they run in turn."""
    with contextlib.ExitStack() as stack:
        probes = {}
        for name, cell in cells.items():
            subject = "gemm" if name == PRODUCTS else group.subject
            probe = stack.enter_context(Probe(cell, subject, check=number == 0 and name != PRODUCTS))
            try:
                told = probe.ready()
            except ProbeRefused as reason:
                unsupported[name] = str(reason)
                continue
            probes[name] = probe
            found.setdefault(name, _empty(cell, told))
        counts = {name: _length(probe) for name, probe in probes.items()}
        runs: dict[str, list[Run]] = {name: [] for name in probes}
        for k in range(rounds):
            for name in list(probes) if k % 2 == 0 else list(reversed(probes)):
                runs[name].append(Run.of(probes[name], counts[name]))
    for name, several in runs.items():
        blocks, passed = [run.block for run in several], sum(run.wall_s for run in several)
        took, used = sum(sum(b.seconds) for b in blocks), sum(b.cpu_s for b in blocks)
        found[name]["sets"].append(
            {
                "min": [_short(min(b.seconds)) for b in blocks],
                "median": [_short(statistics.median(b.seconds)) for b in blocks],
                "p99": _short(_quantile([s for b in blocks for s in b.seconds], 0.99)),
                "calls": counts[name],
                "accounted": _short(took / sum(b.wall_s for b in blocks)),
                "cpu_per_s": _short(used / took),
                "foreign_per_s": _short(max(0.0, sum(run.busy_s for run in several) - used) / passed),
                "switches": sum(b.switches for b in blocks),
                "first_s": _short(probes[name].told["first_s"]),
                "import_s": _short(probes[name].told.get("import_s", 0.0)),
            }
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A block, the time that passed meanwhile, and the processor seconds that all processes used."""

    block: Block
    wall_s: float
    busy_s: float

    @classmethod
    def of(cls, probe: Probe, count: int) -> Run:
        """Let a probe run."""
        begin, busy = clock.now_ns(), machine.busy_s()
        block = probe.run(count)
        return cls(block, clock.since_s(begin), machine.busy_s() - busy)


def _length(probe: Probe) -> int:
    return max(1, math.ceil(BLOCK_S / min(probe.run(2).seconds)))


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _short(x: float) -> float:
    return float(f"{x:.4g}")


def _compact(data: Data) -> str:
    """One line a candidate."""
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(c, allow_nan=False)}" for name, c in data["candidates"].items()
    )
    rest = json.dumps({key: value for key, value in data.items() if key != "candidates"}, indent=1, allow_nan=False)
    return f'{rest[:-2]},\n "candidates": {{\n{lines}\n}}}}\n'
