"""A plan, run: every cell in a worker process, one record each, shown as it goes and sent to MLflow beside it.

    <results>/<plan>/lock         held while a plan runs: one runner a plan
    <results>/<plan>/<key>/       one folder a cell, see `suite.record`; worker.log is what its process printed
    <results>/<plan>/workers/     what worker processes printed before their first cell

The outcome comes from the record. Only where a process left none does its end decide (`suite.verdict`). A record is
written when its cell ends and never touched again, so everything may be killed at any moment; ``resume`` goes on with
the cells that did not end well, and with those that were cut off from their last checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from suite import checkpoint, clock, facts, lock, record, registry
from suite.checkpoint import CHECKPOINT_S
from suite.executors import FILES, TIMEOUT_S, Begun, Ended, Executor, Exit, Job, News, Ready
from suite.executors.local import Local
from suite.files import set_aside
from suite.plan import Plan
from suite.progress import Progress
from suite.record import Outcome, Record
from suite.spec.cell import Cell
from suite.stop import Stop
from suite.tracking import Tracker
from suite.verdict import verdict

BAD: tuple[Outcome, ...] = ("diverged", "oom", "timeout", "crash")


def run(
    plan: Plan,
    results: Path,
    *,
    resume: bool = False,
    isolate: bool = False,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = 0,
    budget_s: float = math.inf,
    checkpoint_s: float = CHECKPOINT_S,
    executor: str = "local",
    packed: bool = False,
    slurm: Mapping[str, str] | None = None,
    tracking_uri: str | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> list[Record]:
    """Run a plan's cells and return their records, in the plan's order; fewer if ``stop`` came in between.

    resume        keep the records of cells that ended well; without it every cell runs again and replaces its record
    isolate       a fresh process for every cell: what peak memory is measured in
    timeout_s     a cell
    memory_bytes  what a cell's processes may hold together, resident, in a fresh process each; 0: no limit
    budget_s      of the whole run: cells that have not begun by then are recorded as skipped
    checkpoint_s  between two checkpoints of a cell; 0: one after every call
    executor      "local", "ray" or "slurm": see `suite.executors`
    packed        cells share machines, and report no speed; never on this one, where they take turns
    slurm         settings of sbatch
    tracking_uri  None: <results>/mlflow.db; "none": no MLflow. A server that is down costs a warning and no result
    stop          asked while cells run; None: never

    ValueError, in one line, for an option that a task refuses, or if another runner has the plan's folder.
    """
    show, asked, folder = progress or Progress(), stop or Stop(), results / plan.name
    if packed and executor == "local":
        raise ValueError("packed: cells of one machine take turns; leave it out, or choose --executor ray or slurm")
    _prepare(plan)
    cells = {cell.key: cell for cell in plan.cells}
    with lock.held(folder / "lock") as held, stop.listening() if stop else nullcontext():
        records = finished(cells, folder, show, anywhere=executor != "local") if resume else {}
        todo = {key: cell for key, cell in cells.items() if key not in records}
        show.start(len(todo), skipped=len(records))
        if todo:
            given = resume, timeout_s, memory_bytes, checkpoint_s, packed
            jobs = [Job(cell, folder / key, plan.name, plan.converged, *given) for key, cell in todo.items()]
            sweep = Sweep(show, None, budget_s)
            engine = _engine(executor, folder / "workers", isolate or memory_bytes > 0, held, slurm or {})
            try:
                if tracking_uri != "none":
                    sweep.tracker = Tracker(tracking_uri, results, plan, show)
                sweep.run(engine, jobs, asked)
            finally:
                engine.close()
                show.end()
                if sweep.tracker:
                    missing = sweep.tracker.close("FINISHED" if len(sweep.ended) == len(jobs) else "KILLED", asked)
                    show.tracked("" if missing else sweep.tracker.url, sweep.tracker.why, results)
            records |= {key: record.read(folder / key / "result.json") for key in sweep.ended}
    return [records[key] for key in cells if key in records]


def _engine(name: str, logs: Path, isolate: bool, held: int, slurm: Mapping[str, str]) -> Executor:
    """The executor called ``name``; those of other machines are imported where they are asked for."""
    if name == "ray":
        from suite.executors.ray import Ray

        return Ray()
    if name == "slurm":
        from suite.executors.slurm import Slurm

        return Slurm(logs, slurm)
    return Local(logs, isolate, [held])


@dataclass
class Sweep:
    """The cells of one run, as they end. Their records stay on the disk until all have: a long plan needs no memory."""

    show: Progress
    tracker: Tracker | None = None
    budget_s: float = math.inf
    start_ns: int = field(default_factory=clock.now_ns)
    ended: dict[str, Outcome] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)

    def run(self, executor: Executor, jobs: Sequence[Job], stop: Stop) -> None:
        """Every job, until the budget is spent or ``stop`` says so."""
        told = False
        for event in executor.run(jobs, stop):
            if stop.asked and not told:
                told = True
                self.show.say("stopping when what runs is finished; Ctrl-C again stops now")
            match event:
                case Ready():
                    if self.tracker:
                        self.tracker.opened()
                case Begun(job):
                    clear(job)
                    self._begin(job)
                case News(job, {"event": "note", "text": text}):
                    self.show.note(text)
                case News(job, progress):
                    self.show.tick(job.cell, progress)
                case Ended(job, how):
                    self._end(job, settle(job, how, self.begun[job.cell.key]))
                    stop.soon |= self._spent()
        for job in jobs if self._spent() and not stop.asked else ():
            if job.cell.key not in self.begun:
                self._skip(job)

    def _skip(self, job: Job) -> None:
        """A cell for which no time was left; a record that it has already stays."""
        if (earlier := _read(job)) is not None:
            self.ended[job.cell.key] = earlier.outcome
            return
        self._begin(job)
        reason = f"the {self.budget_s:g} s of the whole run were spent before it began; raise --budget"
        self._end(job, _left(job, "skipped", reason, clock.stamp()))

    def _begin(self, job: Job) -> None:
        self.begun[job.cell.key] = clock.stamp()
        if self.tracker:
            self.tracker.start(job.cell)

    def _end(self, job: Job, ended: Record) -> None:
        self.ended[job.cell.key] = ended.outcome
        if self.tracker:
            self.tracker.end(job.cell)
        self.show.done(job.cell, ended)

    def _spent(self) -> bool:
        return clock.since_s(self.start_ns) >= self.budget_s


def clear(job: Job) -> None:
    """Make room in a job's folder. An earlier record waits as ``previous.json`` until the new one is there."""
    path = job.folder / "result.json"
    if path.exists():
        path.replace(job.folder / "previous.json")
    kept = job.resume and (job.folder / checkpoint.NAME).exists()
    for name in FILES if not kept else ("worker.log",):
        (job.folder / name).unlink(missing_ok=True)
    if not kept:
        (job.folder / checkpoint.NAME).unlink(missing_ok=True)


def settle(job: Job, how: Exit, started: str) -> Record:
    """The record of a job that has ended: its process's own, or, if that left none that can be read, ours."""
    try:
        if (found := _read(job)) is not None:
            (job.folder / "previous.json").unlink(missing_ok=True)
            return found
    except ValueError as error:
        aside = set_aside(job.folder / "result.json")
        return _left(job, "crash", f"its record cannot be used ({error}); it is now {aside.name}", started)
    outcome, reason = verdict(how, job)
    return _left(job, outcome, reason, started, how.said if outcome == "crash" else ())


def exit_code(records: Iterable[Record]) -> int:
    """1 if a cell diverged, ran out of memory or time, or crashed; else 0."""
    return int(any(r.outcome in BAD for r in records))


def finished(cells: Mapping[str, Cell], folder: Path, show: Progress, anywhere: bool = False) -> dict[str, Record]:
    """What need not run again: the cells that ended well, on this machine or ``anywhere``.

    A damaged record is set aside, and said.
    """
    here = facts.machine()["machine_id"]
    found = {}
    for key, cell in cells.items():
        path = folder / key / "result.json"
        try:
            kept = record.of(cell, path)
        except ValueError as error:
            show.note(f"{error}; the cell runs again, and the file is now {set_aside(path).name}")
            continue
        if kept and kept.outcome == "ok" and (anywhere or kept.facts.get("machine_id") == here):
            found[key] = kept
    return found


def _read(job: Job) -> Record | None:
    return record.of(job.cell, job.folder / "result.json")


def _prepare(plan: Plan) -> None:
    """Make every task once, here: an option it refuses or a corpus it cannot get is said before anything starts."""
    for name, options in dict.fromkeys((cell.task, cell.options) for cell in plan.cells):
        registry.task(name, **dict(options))


def _left(job: Job, outcome: Outcome, reason: str, started: str, log: tuple[str, ...] = ()) -> Record:
    """The record of a cell whose process left none, written."""
    around = facts.facts() | {"converged": job.converged}
    left = Record(job.plan, job.cell, outcome, reason, started=started, finished=clock.stamp(), log=log, facts=around)
    record.write(left, job.folder)
    (job.folder / "previous.json").unlink(missing_ok=True)
    return left
