"""One cell in this process: build, compare with the oracle, train, score, record.

    put (not timed) -> step -> wait (timed)      one update
    steps whose batch has a shape not seen before compile: their seconds make first_step_s, not step_s
    validation, gradient flow, test              not timed

Nothing is reported of a model that fails the comparison. A loss or a gradient norm that is not finite ends training
as "diverged". Any other exception is a fault and is not caught: the parent process records the crash.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from suite import clock, contract, facts, parity, record, registry, weights
from suite.exam.compare import Check
from suite.record import Record
from suite.spec import network, params
from suite.spec.cell import Cell, Options
from suite.spec.contract import Array, Batch, Model, Net, Precision, Snapshot, StepResult, Task, Unsupported

Progress = Callable[[int, float], None]  # (updates done, loss)


class Diverged(Exception):
    """Training left the finite numbers; the message says where."""


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
    net = Net(registry.arch(cell.arch), task.signature, cell.sizes)
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
    first = task.batch("train", cell.seed, 0, cell.batch)
    contract.check_batch(f"{cell.task}: the first batch", task.signature, first, cell.batch)
    checks = list(
        parity.check(cell, net, model, start.params, first, lambda handle: _step(cell, model, done, first, handle)[0])
    )
    failed = [check for check in checks if not check.ok]
    if failed:
        reason = f"not the specification: {failed[0]}"
        return replace(base, outcome="crash", reason=reason, build_s=0.0), module.versions()
    base = replace(base, checks=tuple(_row(check) for check in checks))
    model.load(start)
    facts.forget_peak()  # the oracle's memory is not the model's
    outcome, reason = "ok", ""
    try:
        _train(cell, folder, task, net, model, done, progress)
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
        step_s=tuple(done.step_s),
        first_step_s=done.first_step_s,
        tokens_per_step=done.tokens / max(1, done.updates),
        flops_per_step=done.flops // max(1, done.updates),
        peak_rss_bytes=facts.peak_rss_bytes(),
        last_loss=done.loss,
        last_grad_norm=done.grad_norm,
    )
    return ended, module.versions()


@dataclass
class Done:
    """What training has produced so far."""

    updates: int = 0
    loss: float = 0.0
    grad_norm: float = 0.0
    tokens: int = 0
    flops: int = 0
    first_step_s: float = 0.0
    step_s: list[float] = field(default_factory=list)
    shapes: set[Any] = field(default_factory=set)
    curve: list[dict[str, float]] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


def _train(cell: Cell, folder: Path, task: Task, net: Net, model: Model, done: Done, progress: Progress) -> None:
    flow: dict[str, Array] = {}
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as curves:
        for step in range(cell.steps):
            if step in cell.flow_at:
                handle = model.put(task.batch("train", cell.seed, step, cell.batch))
                flow |= {f"{step}/{name}": f for name, f in model.flow(handle).items()}
            advance(cell, task, net, model, done, curves)
            progress(done.updates, done.loss)
            if done.updates == cell.steps or (cell.eval_every and done.updates % cell.eval_every == 0):
                scores = _score(task, model, "val", cell.batch, done.updates)
                train_s = sum(done.step_s)
                done.curve.append({"step": done.updates, "train_s": train_s, **scores})
                done.scores["val"] = scores
                _point(curves, done.updates, {f"eval/{name}": value for name, value in scores.items()})
    if cell.steps in cell.flow_at:
        handle = model.put(task.batch("train", cell.seed, cell.steps, cell.batch))
        flow |= {f"{cell.steps}/{name}": f for name, f in model.flow(handle).items()}
    if flow:
        np.savez(folder / "flow.npz", **flow)  # type: ignore[arg-type]
    done.scores["test"] = _score(task, model, "test", cell.batch, cell.steps)


def advance(cell: Cell, task: Task, net: Net, model: Model, done: Done, curves: TextIO) -> None:
    """The next update, with everything the runner does around it; only the update itself is in ``step_s``."""
    batch = task.batch("train", cell.seed, done.updates, cell.batch)
    result, step_s = _step(cell, model, done, batch, model.put(batch))
    _finite({"loss": result.loss, "gradient norm": result.grad_norm}, f"update {done.updates + 1}")
    done.updates, done.loss, done.grad_norm = done.updates + 1, result.loss, result.grad_norm
    done.tokens += int(batch.lengths.sum()) + (0 if batch.y_lengths is None else int(batch.y_lengths.sum()))
    done.flops += network.flops(net, batch)
    _point(curves, done.updates, _curves(result, step_s))


def _step(cell: Cell, model: Model, done: Done, batch: Batch, handle: Any) -> tuple[StepResult, float | None]:
    """One update and its seconds; None where it compiled, which is counted apart."""
    result, step_s = clock.seconds(lambda: model.wait(model.step(handle, cell.optim.lr)))
    shape = (batch.x.shape, batch.y.shape)
    if shape in done.shapes:
        done.step_s.append(step_s)
        return result, step_s
    done.shapes.add(shape)
    done.first_step_s += step_s
    return result, None


def _score(task: Task, model: Model, split: str, size: int, step: int) -> dict[str, float]:
    batches = [task.batch(split, 0, k, size) for k in range(task.batches(split, size))]
    if task.signature.kind == "translate":
        predictions = [model.decode(model.put(batch)) for batch in batches]
    else:
        predictions = [model.outputs(model.put(batch))[0] for batch in batches]
    scores = task.score(predictions, batches)
    _finite(scores, f"{split} after update {step}")
    return scores


def _finite(values: dict[str, float], where: str) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise Diverged(f"{name} is {value} at {where}")


def _curves(result: StepResult, step_s: float | None) -> dict[str, float]:
    values = {"train/loss": result.loss, "grad/global_norm": result.grad_norm}
    values |= {f"grad/{name.replace('/', '.')}": norm for name, norm in result.param_norms.items()}
    if step_s is not None:
        values["train/ms_per_step"] = 1e3 * step_s
    return values


def _point(curves: TextIO, step: int, values: dict[str, float]) -> None:
    """One line of metrics.jsonl, flushed: seven digits are enough to draw."""
    rounded = {name: float(f"{value:.7g}") for name, value in values.items()}
    point = {"step": step, "time_ms": clock.wall_ms(), "values": rounded}
    curves.write(json.dumps(point, allow_nan=False) + "\n")
    curves.flush()


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
