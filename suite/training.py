"""The training of one cell: update, validate, record the curves; nothing here knows a framework.

put (not timed) -> step -> wait (timed)      one update; or several in one call, which have equal shares of its seconds
steps whose batch has a shape not seen before compile: their seconds make first_step_s, not step_s
validation, gradient flow, test              not timed
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from suite import clock
from suite.checkpoint import Checkpoints, Done
from suite.files import whole
from suite.spec import network
from suite.spec.cell import Cell
from suite.spec.contract import Array, Batch, Model, Net, StepResult, Task, Unsupported
from suite.spec.masks import masks
from suite.spec.schedule import Schedule

Progress = Callable[[int, float], None]  # (updates done, loss)


class Diverged(Exception):
    """Training left the finite numbers; the message says where."""


def train(
    cell: Cell, folder: Path, task: Task, net: Net, model: Model, done: Done, progress: Progress, keep: Checkpoints
) -> None:
    """Every update that is not done, with validation and gradient flow in between, then the test split.

    The curves go into ``folder``, after those of the updates that are done. With patience, training ends after so many
    validations without a better score, and the best model is what is tested.
    """
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as curves:
        curves.truncate(done.curves_bytes)
        while done.updates < cell.steps and not _stalled(cell, done):
            if done.updates in cell.flow_at:
                done.flow |= _flow(cell, task, net, model, done.updates)
            advance(cell, task, net, model, done, curves)
            progress(done.updates, done.loss)
            if done.updates == cell.steps or (cell.eval_every and done.updates % cell.eval_every == 0):
                scores = _score(task, model, "val", cell.batch, done.updates)
                done.curve.append({"step": done.updates, "train_s": sum(done.step_s), **scores})
                _point(curves, done.updates, {f"eval/{name}": value for name, value in scores.items()})
                if not cell.patience or _better(task, scores, done.scores.get("val")):
                    done.scores["val"], done.best_update = scores, done.updates
                    done.best = model.snapshot() if cell.patience else None
            keep.offer(model, done, curves)
    if done.updates in cell.flow_at:
        done.flow |= _flow(cell, task, net, model, done.updates)
    if done.flow:
        with whole(folder / "flow.npz") as part, part.open("wb") as file:
            np.savez(file, **done.flow)  # type: ignore[arg-type]
    if done.best is not None:
        model.load(done.best)
    done.scores["test"] = _score(task, model, "test", cell.batch, done.best_update)


def training_batch(cell: Cell, task: Task, net: Net, step: int) -> Batch:
    """What update ``step`` + 1 trains on, with its masks."""
    batch = task.batch("train", cell.seed, step, cell.batch)
    return replace(batch, masks=masks(net, cell.dropout, cell.batch, cell.seed, step)) if cell.dropout else batch


def _flow(cell: Cell, task: Task, net: Net, model: Model, step: int) -> dict[str, Array]:
    """The gradient flow on the batch of update ``step`` + 1."""
    handle = model.put(training_batch(cell, task, net, step))
    return {f"{step}/{name}": f for name, f in model.flow(handle).items()}


def _better(task: Task, scores: dict[str, float], best: dict[str, float] | None) -> bool:
    new, old = scores[task.metric], best[task.metric] if best else None
    return old is None or (new > old if task.better == "higher" else new < old)


def _stalled(cell: Cell, done: Done) -> bool:
    """Whether as many validations as patience allows have passed since the best one."""
    return bool(cell.patience) and sum(point["step"] > done.best_update for point in done.curve) >= cell.patience


def advance(cell: Cell, task: Task, net: Net, model: Model, done: Done, curves: TextIO) -> None:
    """The next call's updates, with everything the runner does around them; only the call itself is in ``step_s``."""
    numbers = range(done.updates, done.updates + cell.steps_per_call)
    batches = [training_batch(cell, task, net, number) for number in numbers]
    lrs = [cell.schedule.rate(cell.optim.lr, number + 1, cell.steps) for number in numbers]
    results, step_s = timed(model, done, batches, [model.put(batch) for batch in batches], lrs)
    for batch, lr, result in zip(batches, lrs, results, strict=True):
        where = f"update {done.updates + 1}{_not_finite(result.param_norms)}"
        _finite({"loss": result.loss, "gradient norm": result.grad_norm}, where)
        done.updates, done.loss, done.grad_norm = done.updates + 1, result.loss, result.grad_norm
        done.tokens += int(batch.lengths.sum()) + (0 if batch.y_lengths is None else int(batch.y_lengths.sum()))
        done.flops += network.flops(net, batch)
        values = _curves(result, step_s) | ({} if cell.schedule == Schedule() else {"train/lr": lr})
        _point(curves, done.updates, values)


def timed(
    model: Model, done: Done, batches: Sequence[Batch], handles: Sequence[Any], lrs: Sequence[float]
) -> tuple[list[StepResult], float | None]:
    """The updates of one call and the seconds of each; None where it compiled, which is counted apart, or is packed.

    Unsupported for batches of several shapes: a call is compiled for one.
    """
    shapes = {(len(batches), batch.x.shape, batch.y.shape) for batch in batches}
    if len(shapes) > 1:
        raise Unsupported("batches of different shapes cannot share a call; set steps_per_call = 1")
    results, call_s = clock.seconds(lambda: updates(model, handles, lrs))
    if done.packed:
        return results, None
    if shapes <= done.shapes:
        step_s = call_s / len(results)
        done.step_s += [step_s] * len(results)
        return results, step_s
    done.shapes |= shapes
    done.first_step_s += call_s
    return results, None


def updates(model: Model, handles: Sequence[Any], lrs: Sequence[float]) -> list[StepResult]:
    """What the updates of one call report."""
    if len(handles) == 1:
        return [model.wait(model.step(handles[0], lrs[0]))]
    return [model.wait(pending) for pending in model.steps(handles, lrs)]


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


def _not_finite(norms: dict[str, float]) -> str:
    """Which parameters' gradients are not finite, the first of them by name."""
    bad = [name for name, norm in norms.items() if not math.isfinite(norm)]
    more = f" and {len(bad) - 1} more of {len(norms)} parameters" if len(bad) > 1 else ""
    return f", with a gradient that is not finite at {bad[0]}{more}" if bad else ""


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
