"""The check before the clock: one cell's model against the oracle, on the cell's own first batch.

    outputs, loss, every gradient      by `suite.spec.network`
    gradient flow                      where the cell records it
    one update                         by `suite.spec.optim`, from slots that are not zero: loss, norms, parameters
    several updates a call             by as many calls of one, where the cell asks for them

Adam's first update from zero slots is lr * sign(g) nearly everywhere, which rounding flips where g is almost 0; from
slots of the gradient's size the update is smooth in g, and rounding stays rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from suite.exam import calls, twin
from suite.exam.compare import Check, gradient_floor, rel_error, worst
from suite.spec import network, optim
from suite.spec.cell import Cell
from suite.spec.contract import Batch, Model, Net, Params, Snapshot, StepResult
from suite.spec.random import Stream

LIMITS = {  # norm-wise relative errors, 2 to 10 times the worst measured at T <= 120, H <= 256
    "float32": {"outputs": 5e-6, "loss": 1e-6, "gradients": 1e-5, "norms": 3e-4, "parameters": 5e-6},
    "float64": {"outputs": 3e-14, "loss": 3e-14, "gradients": 1e-13, "norms": 1e-13, "parameters": 3e-14},
}
UPDATES = 9  # done before the checked one, so that bias corrections count

Update = Callable[[Any], StepResult]


def check(cell: Cell, net: Net, model: Model, params: Params, batch: Batch, update: Update) -> list[Check]:
    """Compare; the model is left with the checked update done, so `Model.load` it before training.

    ``update`` makes one step of ``model`` from what `Model.put` returned (the caller times this first one). Where a
    comparison of an expanding architecture fails, the limits grow as far as the oracle's twins part: `suite.exam.twin`.
    """
    checks = list(_compare(cell, net, model, params, batch, update))
    if all(c.ok for c in checks) or not net.arch.expanding:
        return checks
    want, *found = (network.gradients(net, p, batch).params for p in (params, *twin.twins(params)))
    grown = twin.room(want, found)
    return [replace(c, limit=grown * c.limit) for c in checks]


def _compare(cell: Cell, net: Net, model: Model, params: Params, batch: Batch, update: Update) -> Iterator[Check]:
    limits = limits_for(cell.precision, batch)
    want = network.gradients(net, params, batch)
    floor = gradient_floor(want.params)
    handle = model.put(batch)

    start = Snapshot(UPDATES, params, _slots(cell, want.params))
    new, _, norm = optim.update(cell.optim, cell.optim.lr, UPDATES + 1, params, want.params, start.slots)
    norms = {name: np.asarray(math.sqrt(float(np.sum(g**2)))) for name, g in want.params.items()}
    model.load(start)
    result = update(handle)
    yield Check("update/loss", rel_error(result.loss, want.loss), limits["loss"])
    yield Check("update/gradient norm", rel_error(result.grad_norm, norm), limits["gradients"])
    got = {name: np.asarray(n) for name, n in result.param_norms.items()}
    yield worst("update/norm per parameter", got, norms, limits["norms"], gradient_floor(norms))
    yield worst("update/parameters", model.snapshot().params, new, limits["parameters"])

    model.load(Snapshot(0, params))
    outputs, _ = model.outputs(handle)
    yield Check("outputs", rel_error(outputs, network.forward(net, params, batch)[0]), limits["outputs"])
    loss, grads = model.grads(handle)
    yield Check("loss", rel_error(loss, want.loss), limits["loss"])
    yield worst("gradients", grads, want.params, limits["gradients"], floor)
    if cell.flow_at:
        yield worst("gradient flow", model.flow(handle), want.flow, limits["gradients"], gradient_floor(want.flow))


def check_call(
    cell: Cell, model: Model, params: Params, batches: Sequence[Batch], together: calls.Together
) -> Iterator[Check]:
    """The updates of one call, ``together``, against as many calls; the model is left as after `check`."""
    start = Snapshot(UPDATES, params, _slots(cell, model.grads(model.put(batches[0]))[1]))
    yield from calls.compare(model, start, batches, cell.optim.lr, limits_for(cell.precision, batches[0]), together)


def limits_for(precision: str, batch: Batch) -> dict[str, float]:
    """The limits of one batch. A gradient is a sum over B x T tokens, which frameworks may add one after the other:
    each addition rounds, and one token may be nearly all of them (the blanks of copy_memory).
    """
    base = LIMITS[precision]
    tokens = batch.x.shape[0] * batch.x.shape[1]
    return base | {"gradients": max(base["gradients"], tokens * float(np.finfo(precision).eps) / 8)}


def _slots(cell: Cell, grads: Params) -> dict[str, Params]:
    """Random slots of the gradients' size: means of either sign, mean squares positive and of its square."""
    size = max(float(np.max(np.abs(g))) for g in grads.values())
    stream = Stream(f"parity/{cell.seed}")
    mean, square = (-size, size), (0.5 * size**2, 1.5 * size**2)
    scale = {"m": mean, "v": mean if cell.optim.name == "sgd" else square}
    return {
        slot: {name: stream.uniform(g.shape, *scale[slot]) for name, g in grads.items()}
        for slot in optim.SLOTS[cell.optim.name]
    }
