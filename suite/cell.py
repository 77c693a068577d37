"""One cell in this process: build, compare with the oracle, train (``suite.training``), score, record.

Nothing is reported of a model that fails the comparison. A loss or a gradient norm that is not finite ends training
as "diverged". Any other exception is a fault and is not caught: the parent process records the crash.

What was cut off goes on from its checkpoint, after the comparison with the oracle and before the first update.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite import checkpoint, clock, contract, facts, parity, record, registry, weights
from suite.checkpoint import CHECKPOINT_S, Checkpoints, Done
from suite.exam.compare import Check
from suite.files import set_aside
from suite.record import Record
from suite.spec import params
from suite.spec.cell import Cell, Options
from suite.spec.contract import Net, Precision, Snapshot, StepResult, Task, Unsupported
from suite.training import Diverged, Progress, timed, train, training_batch


def run(
    cell: Cell,
    folder: Path,
    plan: str,
    *,
    converged: bool = True,
    fresh: bool = True,
    resume: bool = False,
    packed: bool = False,
    checkpoint_s: float = CHECKPOINT_S,
    progress: Progress = lambda step, loss: None,
    note: Callable[[str], None] = lambda text: None,
) -> Record:
    """Run a cell and write its record and curves into ``folder``.

    fresh         nothing ran in this process before
    resume        go on from the checkpoint in the folder, if there is one
    packed        other cells run beside it: no speed is recorded
    checkpoint_s  seconds between checkpoints; 0: after every call
    note          hears what a person should know, such as a checkpoint that was damaged
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = Record(plan=plan, cell=cell, outcome="ok", started=clock.stamp(), fresh_process=fresh)
    extra: dict[str, Any] = {"converged": converged} | ({"packed": True} if packed else {})
    try:
        ended, versions = _run(cell, folder, base, Done(packed=packed), resume, checkpoint_s, progress, note)
        extra |= {"backend": versions}
    except Unsupported as reason:
        ended = replace(base, outcome="unsupported", reason=str(reason))
    ended = replace(ended, finished=clock.stamp(), facts=facts.facts() | extra)
    record.write(ended, folder)
    (folder / checkpoint.NAME).unlink(missing_ok=True)
    return ended


def _run(
    cell: Cell,
    folder: Path,
    base: Record,
    done: Done,
    resume: bool,
    checkpoint_s: float,
    progress: Progress,
    note: Callable[[str], None],
) -> tuple[Record, dict[str, str]]:
    task = _task(cell.task, cell.options)
    net = Net(registry.arch(cell.arch), replace(task.signature, smoothing=cell.smoothing), cell.sizes)
    module = registry.backend(cell.backend)
    registry.implementation(module, cell.arch, cell.impl)
    setup(cell.backend, cell.precision, cell.device, cell.threads)
    start = Snapshot(0, params.init(net, cell.seed, cell.init))
    model, build_s = clock.seconds(lambda: module.build(net, cell.impl, cell.optim, start, cell.precision, cell.device))
    base = replace(
        base,
        ran=model.ran(),
        metric=task.metric,
        better=task.better,
        bounds=task.bounds(cell.sizes.bidirectional),
        digests={"data": task.digest(), "initial": params.digest(start.params)},
        build_s=0.0 if done.packed else build_s,
        parameters=params.count(start.params),
    )
    batches = [training_batch(cell, task, net, step) for step in range(cell.steps_per_call)]
    contract.check_batch(f"{cell.task}: the first batch", task.signature, batches[0], cell.batch)

    def call(handles: Sequence[Any], lrs: Sequence[float]) -> list[StepResult]:
        return timed(model, done, batches[: len(handles)], handles, lrs)[0]

    checks = parity.check(cell, net, model, start.params, batches[0], lambda one: call([one], [cell.optim.lr])[0])
    if cell.steps_per_call > 1:
        checks += parity.check_call(cell, model, start.params, batches, call)
    failed = [check for check in checks if not check.ok]
    if failed:
        reason = f"not the specification: {failed[0]}"
        return replace(base, outcome="crash", reason=reason, build_s=0.0), module.versions()
    base = replace(base, checks=tuple(_row(check) for check in checks))
    owner = _owner(cell, model.ran(), module.versions(), done.packed)
    kept = _kept(folder / checkpoint.NAME, owner, start, note) if resume else None
    if kept:
        start, before = kept
        before.resumed_at.append(before.updates)
        done = replace(before, shapes=done.shapes, first_step_s=done.first_step_s)
        note(f"{cell.name} goes on after update {done.updates}")
    model.load(start)
    facts.forget_peak()  # the oracle's memory is not the model's
    outcome, reason = "ok", ""
    try:
        train(cell, folder, task, net, model, done, progress, Checkpoints(folder, owner, checkpoint_s, note))
    except Diverged as where:
        outcome, reason = "diverged", str(where)
    final = model.snapshot()
    weights.save(folder / "weights.safetensors", final)
    ended = replace(
        base,
        ran=model.ran(),  # only now are the kernels known
        outcome=outcome,  # type: ignore[arg-type]
        reason=reason,
        digests=base.digests | {"final": params.digest(final.params)},
        scores=done.scores,
        curve=tuple(done.curve),
        updates=done.updates,
        resumed_at=tuple(done.resumed_at),
        best_update=done.best_update,
        step_s=tuple(done.step_s),
        first_step_s=done.first_step_s,
        tokens_per_step=done.tokens / max(1, done.updates),
        flops_per_step=done.flops // max(1, done.updates),
        peak_rss_bytes=facts.peak_rss_bytes(),
        last_loss=done.loss,
        last_grad_norm=done.grad_norm,
    )
    return ended, module.versions()


def _owner(cell: Cell, ran: str, versions: dict[str, str], packed: bool) -> dict[str, str]:
    """What must be the same for another process to go on with the same bits, and with times of the same worth."""
    code = {name: str(facts.revision()[name]) for name in ("suite", "git", "spec")}
    where = {"machine": str(facts.machine()["machine_id"]), "packed": str(packed)}
    return {"cell": cell.key, "implementation": ran} | code | where | versions


def _kept(
    path: Path, owner: dict[str, str], start: Snapshot, note: Callable[[str], None]
) -> tuple[Snapshot, Done] | None:
    """What a checkpoint holds; one that cannot be used is set aside, and said."""
    if not path.exists():
        return None
    try:
        return checkpoint.load(path, owner, start.params)
    except ValueError as error:
        note(f"{error}; the cell begins anew, and the file is now {set_aside(path).name}")
        return None


def _row(check: Check) -> dict[str, Any]:
    return {name: value for name, value in check.as_json().items() if name != "reason"}


@functools.cache
def setup(backend: str, precision: Precision, device: str, threads: int) -> None:
    """A backend's process-wide switches, once a process."""
    registry.backend(backend).setup(precision, device, threads)


@functools.cache
def _task(name: str, options: Options) -> Task:
    """Making a task may read a corpus: once a process is enough."""
    return registry.task(name, **dict(options))
