"""One cell in this process: build, compare with the oracle, train (``suite.training``), score, record.

Nothing is reported of a model that fails the comparison. A loss or a gradient norm that is not finite ends training
as "diverged". Any other exception is a fault and is not caught: the parent process records the crash.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite import clock, contract, facts, parity, record, registry, weights
from suite.exam.compare import Check
from suite.record import Record
from suite.spec import params
from suite.spec.cell import Cell, Options
from suite.spec.contract import Net, Precision, Snapshot, StepResult, Task, Unsupported
from suite.training import Diverged, Done, Progress, timed, train, training_batch


def run(
    cell: Cell,
    folder: Path,
    plan: str,
    *,
    converged: bool = True,
    fresh: bool = True,
    progress: Progress = lambda step, loss: None,
) -> Record:
    """Run a cell and write its record and curves into ``folder``. ``fresh``: nothing ran in this process before."""
    folder.mkdir(parents=True, exist_ok=True)
    base = Record(plan=plan, cell=cell, outcome="ok", started=clock.stamp(), fresh_process=fresh)
    extra: dict[str, Any] = {"converged": converged}
    try:
        ended, versions = _run(cell, folder, base, progress)
        extra |= {"backend": versions}
    except Unsupported as reason:
        ended = replace(base, outcome="unsupported", reason=str(reason))
    ended = replace(ended, finished=clock.stamp(), facts=facts.facts() | extra)
    record.write(ended, folder)
    return ended


def _run(cell: Cell, folder: Path, base: Record, progress: Progress) -> tuple[Record, dict[str, str]]:
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
        build_s=build_s,
        parameters=params.count(start.params),
    )
    done = Done()
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
    model.load(start)
    facts.forget_peak()  # the oracle's memory is not the model's
    outcome, reason = "ok", ""
    try:
        train(cell, folder, task, net, model, done, progress)
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
