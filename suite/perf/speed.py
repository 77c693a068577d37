"""Plan `speed`: every implementation of an architecture in turn, at one shape, beside its matrix products alone.

    group    (shape, architecture, subject): its candidates are what is compared with each other
    set      fresh processes, one a candidate; in each round every candidate runs one block, there and back again
    block    calls in a row, as many of each candidate, for the fastest of more calls is faster: as many as make about
             `BLOCK_S` of the candidate in the middle
    result   <out>/speed/<shape>.<arch>.<subject>.json: by candidate, set and round the fastest call

The first process of a candidate holds it against the oracle before a block of it is timed. What a reader could not
believe is not written: `gates` names it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suite import clock, facts, registry
from suite.perf import machine
from suite.perf.driver import Block, Probe, ProbeRefused
from suite.perf.plausible import PRODUCTS, gates, order
from suite.perf.probe import SUBJECTS
from suite.perf.shapes import Shape, shape
from suite.spec.cell import Cell
from suite.spec.contract import Unsupported

SCHEMA = 1
BLOCK_S = 0.06
FEWEST = 2  # calls of a block
TIMED = tuple(subject for subject in SUBJECTS if subject != "gemm")  # which is NumPy's, whatever the cell
WITH_PRODUCTS = ("step", "gradients", "forward")  # of one sequence, NumPy's calls take longer than their products
START_TOGETHER = 2  # processes of a later set
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
    if subject not in TIMED:
        raise registry.unknown("subject", subject, TIMED)
    asked = [(b, i) for b in backends for i in impls] + [(peer, "stock") for peer in peers]
    base = shape(name).cell(arch, threads)
    cells = {f"{b} {i}": replace(base, backend=b, impl=i) for b, i in asked}
    if beside := shape(name).beside:
        other, called = shape(beside[0]).cell(arch, threads), beside[1]
        cells |= {f"{b} {i}, {called}": replace(other, backend=b, impl=i) for b, i in asked}
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
        "environment": _shared_out(found),
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


def _beside(data: Data, out: Path) -> Iterator[str]:
    """`order` of the outputs alone and of what computes them too, where both were measured of one revision here."""
    for less, more in (("forward", "gradients"), ("forward", "step")):
        other = {less: more, more: less}.get(data["subject"], "")
        path = file(out, data["shape"], data["arch"], other)
        if other and path.exists():
            both = {d["subject"]: d for d in (data, json.loads(path.read_text(encoding="utf-8")))}
            if len({(d["facts"]["machine_id"], d["facts"]["git"]) for d in both.values()}) == 1:
                yield from order(both[less], both[more])


def _offered(group: Group, slow: bool) -> tuple[dict[str, Cell], dict[str, str]]:
    offered, gaps = {}, {}
    for name, cell in group.candidates.items():
        if name == PRODUCTS:
            kind = registry.task(cell.task, **dict(cell.options)).signature.kind
            if group.subject in WITH_PRODUCTS and kind != "translate":  # of which there is no list
                offered[name] = cell
            continue
        try:
            registry.implementation(registry.backend(cell.backend), cell.arch, cell.impl)
            if (what := name.partition(",")[0]) in SLOW and not slow:
                raise Unsupported(SLOW[what])
            offered[name] = cell
        except Unsupported as reason:
            gaps[name] = str(reason)
    return offered, gaps


def _kept(cell: Cell, told: Data) -> Data:
    """A candidate before its first set: of each process's surroundings only what may differ, threads and variables."""
    pools = {pool["internal_api"]: pool["num_threads"] for pool in told["facts"]["thread_pools"]}
    pools |= {name: n for name, n in told.get("versions", {}).items() if name.endswith("threads")}
    kept: Data = {name: told[name] for name in ("ran", "parameters", "losses") if name in told}
    kept |= {name: _short(told[name]) for name in ("import_s", "build_s", "first_s") if name in told}
    kept |= {"pools": pools, "environment": told["facts"]["environment"]}
    return {"cell": cell.as_json(), "key": cell.key, "told": kept, "sets": []}


def _shared_out(candidates: Data) -> Data:
    """Take the variables that all processes have out of each; those."""
    each = [candidate["told"] for candidate in candidates.values()]
    shared = dict(set.intersection(*(set(told["environment"].items()) for told in each)))
    for told in each:
        told["environment"] = {name: v for name, v in told["environment"].items() if name not in shared}
    return dict(sorted(shared.items()))


def _set(
    group: Group, cells: dict[str, Cell], found: Data, unsupported: dict[str, str], number: int, rounds: int
) -> None:
    """Fresh processes of every candidate, which run in turn. Those of the first set import and compile one by one."""
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Probe | str:
            """Begin its process and wait until it is warm; why it cannot be."""
            if name == PRODUCTS:
                probe = stack.enter_context(Probe(cells[name], "gemm", of=group.subject))
            else:
                probe = stack.enter_context(Probe(cells[name], group.subject, check=number == 0))
            try:
                probe.ready()
            except ProbeRefused as reason:
                return str(reason)
            return probe

        with ThreadPoolExecutor(START_TOGETHER if number else 1) as pool:
            started = dict(zip(cells, pool.map(start, cells), strict=True))
        unsupported |= {name: reason for name, reason in started.items() if isinstance(reason, str)}
        probes = {name: probe for name, probe in started.items() if not isinstance(probe, str)}
        for name, probe in probes.items():
            found.setdefault(name, _kept(cells[name], probe.told))
        if not probes.keys() - {PRODUCTS}:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in unsupported.items())
            raise RuntimeError(f"speed: {group.name}: nothing of it runs here: {reasons}")
        together = max(probe.told.get("updates_per_call", 1) for probe in probes.values())
        calls = together * math.ceil(statistics.median_high(_length(probe) for probe in probes.values()) / together)
        runs: dict[str, list[Run]] = {name: [] for name in probes}
        for k in range(rounds):
            for name in list(probes) if k % 2 == 0 else list(reversed(probes)):
                runs[name].append(Run.of(probes[name], calls))
    for name, several in runs.items():
        blocks, passed = [run.block for run in several], sum(run.wall_s for run in several)
        seconds = [_shared(b.seconds, together) for b in blocks]
        took, used = sum(sum(b.seconds) for b in blocks), sum(b.cpu_s for b in blocks)
        busy = [run.busy_s for run in several if run.busy_s is not None]
        found[name]["sets"].append(
            {
                "min": [_short(min(s)) for s in seconds],
                "median": _short(statistics.median(itertools.chain(*seconds))),
                "p99": _short(_quantile(list(itertools.chain(*seconds)), 0.99)),
                "calls": calls,
                "accounted": _short(took / sum(b.wall_s for b in blocks)),
                "cpu_per_s": _short(used / took),
                "foreign_per_s": _short(max(0.0, sum(busy) - used) / passed) if len(busy) == len(several) else None,
                "switches": sum(b.switches for b in blocks),
            }
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A block, the time that passed meanwhile, and the processor seconds that all processes used; None where untold."""

    block: Block
    wall_s: float
    busy_s: float | None

    @classmethod
    def of(cls, probe: Probe, count: int) -> Run:
        """Let a probe run; first as long untimed, for a system may page out what a process left alone for seconds."""
        probe.run(count)
        begin, before = clock.now_ns(), machine.busy_s()
        block = probe.run(count)
        wall_s, after = clock.since_s(begin), machine.busy_s()
        return cls(block, wall_s, None if before is None or after is None else after - before)


def _length(probe: Probe) -> int:
    return max(FEWEST, math.ceil(BLOCK_S / min(probe.run(FEWEST).seconds)))


def _shared(seconds: Sequence[float], together: int) -> list[float]:
    """Means of so many calls in a row: where a candidate makes them at once, its fastest is the mean of so many."""
    return [statistics.fmean(seconds[k : k + together]) for k in range(0, len(seconds), together)]


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
