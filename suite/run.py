"""A plan, run: every cell in a worker process, one record each, shown as it goes and sent to MLflow by this process.

    <results>/<plan>/<key>/       one folder a cell, see `suite.record`; worker.log is what its process printed
    <results>/<plan>/workers/     what worker processes printed before their first cell

The outcome comes from the record. Only where a process left none does its end decide: out of time, killed by signal 9
or a message about memory (oom), anything else (crash). A record is written when its cell ends and never touched again,
so this process may be killed at any moment; ``resume`` goes on with the cells that have none.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from suite import clock, facts, record, registry
from suite.executors.local import Exit, Local, Tick
from suite.plan import Plan
from suite.progress import Progress
from suite.record import Outcome, Record
from suite.spec.cell import Cell
from suite.worker import kind

if TYPE_CHECKING:
    from suite.sinks.mlflow import Sink

TIMEOUT_S = 3600.0
FEED_S = 2.0
BAD: tuple[Outcome, ...] = ("diverged", "oom", "timeout", "crash")
FILES = ("metrics.jsonl", "flow.npz", "weights.safetensors", "worker.log")
MEMORY = re.compile(r"MemoryError|out of memory|can't allocate memory|RESOURCE_EXHAUSTED|ResourceExhausted")


def run(
    plan: Plan,
    results: Path,
    *,
    resume: bool = False,
    isolate: bool = False,
    timeout_s: float = TIMEOUT_S,
    tracking_uri: str | None = None,
    progress: Progress | None = None,
) -> list[Record]:
    """Run a plan's cells and return their records, in the plan's order.

    resume        keep the records that are there; without it every cell runs again and replaces its record
    isolate       a fresh process for every cell: what peak memory is measured in
    tracking_uri  None: <results>/mlflow.db; "none": no MLflow. A server that is down costs a warning and no result
    """
    show = progress or Progress()
    _prepare(plan)
    folder = results / plan.name
    records = _finished(plan, folder) if resume else {}
    todo = [cell for cell in plan.cells if cell.key not in records]
    show.start(len(todo), skipped=len(records))
    if not todo:
        return [records[cell.key] for cell in plan.cells]
    executor = Local(folder / "workers", timeout_s, isolate)
    sink: Sink | None = None
    status = "KILLED"
    try:
        executor.start(todo)
        sink = _sink(plan, results, tracking_uri, todo, show)  # imports MLflow while the workers import theirs
        executor.wait()
        for k, cell in enumerate(todo):
            executor.keep(map(kind, todo[k:]))
            records[cell.key] = _tracked(executor, cell, folder / cell.key, plan, sink, show)
        status = "FINISHED"
    finally:
        executor.close()
        show.end()
        if sink:
            sink.close(status)
            show.tracked(sink.url() if sink.online else "", sink.why_offline, results)
    return [records[cell.key] for cell in plan.cells]


def one(executor: Local, cell: Cell, folder: Path, plan: str, converged: bool, tick: Tick) -> tuple[Record, int]:
    """Run one cell -> its record and its process's exit code. Whatever happens, there is a record afterwards.

    An earlier record of the cell waits as ``previous.json`` until the new one is there.
    """
    path, previous = folder / "result.json", folder / "previous.json"
    if path.exists():
        path.replace(previous)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    started = clock.stamp()
    ended = executor.run(cell, folder, plan, converged, tick)
    if path.exists():
        previous.unlink(missing_ok=True)
        return record.read(path), ended.code
    outcome, reason = _verdict(ended, folder / "worker.log")
    around = facts.facts() | {"converged": converged}
    left = Record(plan, cell, outcome, reason, started=started, finished=clock.stamp(), facts=around)
    record.write(left, folder)
    return left, ended.code


def exit_code(records: Iterable[Record]) -> int:
    """1 if a cell diverged, ran out of memory or time, or crashed; else 0."""
    return int(any(r.outcome in BAD for r in records))


def _prepare(plan: Plan) -> None:
    """Make every task once, here: an option it refuses or a corpus it cannot get is said before anything starts."""
    for name, options in dict.fromkeys((cell.task, cell.options) for cell in plan.cells):
        registry.task(name, **dict(options))


def _finished(plan: Plan, folder: Path) -> dict[str, Record]:
    """What need not run again: records of this machine; what was unsupported then may be installed now."""
    paths = {cell.key: folder / cell.key / "result.json" for cell in plan.cells}
    found = {key: record.read(path) for key, path in paths.items() if path.exists()}
    here = facts.machine()["machine_id"]
    return {k: r for k, r in found.items() if r.outcome != "unsupported" and r.facts.get("machine_id") == here}


def _sink(plan: Plan, results: Path, uri: str | None, todo: list[Cell], show: Progress) -> Sink | None:
    if uri == "none":
        return None
    from suite.sinks.mlflow import Sink  # seconds to import, so only where a plan runs

    sink = Sink(uri, results, plan.name)
    if not sink.online:  # which costs a warning and no result
        show.tracked("", sink.why_offline, results)
    sink.sweep(plan.name, plan.description, len(todo))
    return sink


def _tracked(executor: Local, cell: Cell, folder: Path, plan: Plan, sink: Sink | None, show: Progress) -> Record:
    last_ns = clock.now_ns()

    def tick(event: dict[str, object]) -> None:
        nonlocal last_ns
        show.tick(cell, event)
        if sink and clock.since_s(last_ns) >= FEED_S:
            last_ns = clock.now_ns()
            sink.feed(cell, folder)

    if sink:
        sink.start(cell)
    ended, code = one(executor, cell, folder, plan.name, plan.converged, tick)
    if sink:
        sink.end(ended, folder, code)
    show.done(cell, ended)
    return ended


def _verdict(ended: Exit, log: Path) -> tuple[Outcome, str]:
    """What became of a cell whose process left no record."""
    if ended.how == "timeout":
        return "timeout", "no result in the time given; raise --timeout or ask for fewer steps"
    if ended.code == -signal.SIGKILL:
        return "oom", "killed by signal 9, most likely because memory ran out"
    said = (_last_line(log) or _last_line(ended.log) or "it printed nothing")[:500]
    if ended.code < 0:
        return "crash", f"killed by {signal.Signals(-ended.code).name}; last printed: {said}"
    return ("oom" if MEMORY.search(said) else "crash"), f"exit code {ended.code}: {said}"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].strip() if lines else ""
