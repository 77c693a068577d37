"""Several updates in one call do what as many calls do: losses, norms, parameters, slots and the number of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from suite.exam import twin
from suite.exam.cases import hub
from suite.exam.compare import Check, gradient_floor, rel_error, worst
from suite.spec.arch import Arch
from suite.spec.contract import Batch, Model, Snapshot, StepResult, Unsupported
from suite.training import updates

Together = Callable[[Sequence[Any], Sequence[float]], list[StepResult]]  # handles, rates -> what each update reports
UPDATES = 3  # a call of the exam


def check_calls(model: Model, arch: Arch, precision: str) -> Iterator[Check]:
    """One call on the batches of the case that properties are checked on; nothing where the model refuses it."""
    case = hub(arch)
    grown = twin.limits(precision, arch, case, UPDATES)
    limits = {"loss": grown["loss"], "norms": grown["gradients"], "parameters": grown["steps"]}
    start, batches = Snapshot(0, case.params(arch)), [case.masked(arch, t) for t in range(1, UPDATES + 1)]
    try:
        yield from compare(model, start, batches, case.optim.lr, limits, partial(updates, model))
    except Unsupported:
        return


def compare(
    model: Model,
    start: Snapshot,
    batches: Sequence[Batch],
    lr: float,
    limits: Mapping[str, float],
    together: Together,
) -> Iterator[Check]:
    """One call from ``start``, then as many calls; the rate falls, so that each update is told from the others."""
    handles, lrs = [model.put(batch) for batch in batches], [lr / (k + 1) for k in range(len(batches))]
    model.load(start)
    got, end = together(handles, lrs), model.snapshot()
    model.load(start)
    want = [model.wait(model.step(handle, rate)) for handle, rate in zip(handles, lrs, strict=True)]
    honest, name = model.snapshot(), f"{len(batches)} updates a call"
    yield Check(f"{name}/step count", abs(end.step - honest.step), 0.0)
    losses, wanted = ([r.loss for r in results] for results in (got, want))
    yield Check(f"{name}/losses", rel_error(np.array(losses), np.array(wanted)), limits["loss"])
    sizes, wanted = ([r.grad_norm for r in results] for results in (got, want))
    yield Check(f"{name}/gradient norms", rel_error(np.array(sizes), np.array(wanted)), limits["norms"])
    norms, honest_norms = (_norms(results) for results in (got, want))
    yield worst(f"{name}/norm per parameter", norms, honest_norms, limits["norms"], gradient_floor(honest_norms))
    yield worst(f"{name}/parameters", end.params, honest.params, limits["parameters"])
    for slot, values in honest.slots.items():
        yield worst(f"{name}/slot {slot}", end.slots[slot], values, limits["norms"], gradient_floor(values))


def _norms(results: Sequence[StepResult]) -> dict[str, np.ndarray]:
    """Parameter -> the norm of its gradient in each update."""
    return {name: np.array([r.param_norms[name] for r in results]) for name in results[0].param_norms}
