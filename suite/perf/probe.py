"""A process that times one subject on command: JSON lines in, JSON lines out.

    in    {"cell": CELL, "what": "step"}         build it, warm it up; "of": whose products "gemm" does
    out   {"event": "ready", "ran": "...", "first_s": ..., "losses": [...], "reads": 1.0, ...}
    in    {"run": 20}                            time so many calls
    out   {"event": "ran", "seconds": [...], "wall_s": ..., "cpu_s": ..., "switches": 0, "compiled": 0}
    in    {"plan": "smoke"}                      instead of a cell: the cells of a plan
    out   {"event": "cells", "cells": [CELL, ...]}
    out   {"event": "refused", "reason": "..."}  there is no such cell or plan here, or it is unsupported

Subjects: "step" is a whole update, waited for; "gradients" the loss and all gradients, brought to the host; "forward"
the outputs of a batch; "latency" those of one sequence; "stream" one further time step of one sequence, from the state
before; "decode" greedy decoding; "gemm" the matrix products of another alone, as fast as NumPy's library does them.

A step also tells what needs no clock: the losses of its first updates, how often the host reads values in an update,
with each block how often the framework compiled and, where it is held against the oracle, of how many operations an
update consists. All but the losses come from the backend's file ``counts``: ``compiled`` and ``operations`` of a model,
``tensor``, the type whose values are read. A backend without it tells none of them (null).

Where a cell makes several updates in one call, the numbers of a step are of updates: so many are run at least, and the
seconds of a call are shared out among its updates.
"""

from __future__ import annotations

import itertools
import json
import math
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import suite
from suite import cell as cells
from suite import clock, facts, parity, registry, training
from suite.perf import products, reads
from suite.protocol import end_with_parent, private_stdout
from suite.spec import network, params
from suite.spec.cell import Cell
from suite.spec.contract import Array, Batch, Model, Net, Snapshot, State, StepResult, Task, Unsupported

SUBJECTS = ("step", "gradients", "forward", "latency", "stream", "decode", "gemm")
BATCHES = 4  # taken in turn: one alone would be learnt by heart, and its gradients become denormal
WARM = 3  # calls before the first timed one
LOSSES = 8  # updates whose losses are reported, to tell one network from another without a clock

Call = Callable[[], object]
Count = Callable[[], int | None]  # how often the framework has compiled until now; None where nobody counts


def main() -> None:
    """Serve the process that started this one."""
    out = private_stdout()
    end_with_parent()

    def emit(event: str, **values: Any) -> None:
        out.write(json.dumps({"event": event, **values}, allow_nan=False) + "\n")
        out.flush()

    asked = json.loads(sys.stdin.readline())
    try:
        if "plan" in asked:
            from suite import plan  # only here: its validation takes longer to import than all the rest

            emit("cells", cells=[cell.as_json() for cell in plan.load(asked["plan"]).cells])
            return
        check, of = asked.get("check", False), asked.get("of", "step")
        call, compiled, told = prepare(Cell.from_json(asked["cell"]), asked["what"], check, of)
    except (Unsupported, registry.UnknownName) as reason:
        emit("refused", reason=str(reason))
        return
    emit("ready", **told)
    for line in sys.stdin:
        emit("ran", **_timed(call, compiled, int(json.loads(line)["run"]), told["updates_per_call"]))


def prepare(cell: Cell, what: str, check: bool = False, of: str = "step") -> tuple[Call, Count, dict[str, Any]]:
    """The call to time, warm, and what is known of it. ``check``: hold it against the oracle too.

    of   whose products "gemm" does: those of "forward", or of what brings gradients too

    ValueError for a subject that is not known or that the network does not have; Unsupported as in a run.
    RuntimeError, with the first difference, for a model that is not the specification, or a loss that is not finite.
    """
    if what not in SUBJECTS:
        raise registry.unknown("subject", what, SUBJECTS)
    task: Task = registry.task(cell.task, **dict(cell.options))
    net = Net(registry.arch(cell.arch), replace(task.signature, smoothing=cell.smoothing), cell.sizes)
    if what in ("latency", "stream"):
        batches = [task.batch("train", cell.seed, k, 1) for k in range(BATCHES)]
    else:
        batches = [training.training_batch(cell, task, net, k) for k in range(BATCHES)]
    together = cell.as_json().get("steps_per_call", 1) if what == "step" else 1  # an older Cell has no such field
    told: dict[str, Any] = {
        "updates_per_call": together,
        "root": str(Path(suite.__file__).resolve().parents[1]),
        "flops": network.flops(net, batches[0]),
    }
    call: Call
    if what == "gemm":
        call = products.call(net, batches[0], cell.precision, back=of != "forward")
        told |= {"ran": "numpy.matmul", "parameters": sum(math.prod(s) for s in params.shapes(net).values())}
        _, told["first_s"] = clock.seconds(call)
        return _warm(call), lambda: None, told | {"facts": facts.facts()}
    start = Snapshot(0, params.init(net, cell.seed, cell.init))
    model, more = _built(cell, net, start)
    told["parameters"] = sum(p.size for p in model.snapshot().params.values())
    counts = _counts(cell.backend)
    compiled: Count = (lambda: None) if counts is None else counts.compiled(model)
    if what != "step":
        call = _call(model, what, batches)
        _, more["first_s"] = clock.seconds(call)  # before the check, which compiles it too
        if check:
            _examine(cell, net, model, batches, start, together)
        return _warm(call), compiled, told | more | {"ran": model.ran(), "facts": facts.facts()}
    told["operations"] = None
    if check:
        more["first_s"] = _examine(cell, net, model, batches, start, together)
        if counts is not None and hasattr(counts, "operations"):  # an older checkout has none
            told["operations"] = counts.operations(model, model.put(batches[0]), cell.optim.lr)
            model.load(start)  # where it took an update to count them
    update = _update(model, batches, cell.optim.lr, together)
    results, told["first_s"] = clock.seconds(update)
    while len(results) < LOSSES:
        results += update()
    told["losses"] = _finite(cell, [result.loss for result in results[:LOSSES]])
    read = None if counts is None else reads.count(counts.tensor(), update, BATCHES)
    told["reads"] = None if read is None else read / (BATCHES * together)
    told |= more  # where it was checked, that was the first update
    return update, compiled, told | {"ran": model.ran(), "facts": facts.facts()}


def _warm(call: Call) -> Call:
    for _ in range(WARM):
        call()
    return call


def _counts(backend: str) -> ModuleType | None:
    """The file ``counts`` of a backend; None where it has none, as before there was such a file."""
    try:
        return registry.member(backend, "counts")
    except ModuleNotFoundError as missing:
        if (missing.name or "").endswith(".counts"):
            return None
        raise


def _finite(cell: Cell, losses: list[float]) -> list[float]:
    for number, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise RuntimeError(f"{cell.name}: the loss of update {number + 1} is {loss}")
    return losses


def _built(cell: Cell, net: Net, start: Snapshot) -> tuple[Model, dict[str, Any]]:
    """The model; the seconds of its framework's import and of building it, and what it says of itself."""
    module, import_s = clock.seconds(lambda: registry.backend(cell.backend))
    registry.implementation(module, cell.arch, cell.impl)
    _, setup_s = clock.seconds(lambda: cells.setup(cell.backend, cell.precision, cell.device, cell.threads))
    model, build_s = clock.seconds(lambda: module.build(net, cell.impl, cell.optim, start, cell.precision, cell.device))
    return model, {"import_s": import_s + setup_s, "build_s": build_s, "versions": module.versions()}


def _examine(cell: Cell, net: Net, model: Model, batches: list[Batch], start: Snapshot, together: int) -> float:
    """Hold a model against the oracle and put it back to its start; the seconds of the first call as it is timed."""
    first_s = math.nan

    def update(handle: Any) -> StepResult:
        nonlocal first_s
        result, first_s = clock.seconds(lambda: model.wait(model.step(handle, cell.optim.lr)))
        return result

    def call(handles: Sequence[Any], lrs: Sequence[float]) -> list[StepResult]:
        nonlocal first_s
        results, first_s = clock.seconds(lambda: training.updates(model, handles, lrs))
        return results

    checks = list(parity.check(cell, net, model, start.params, batches[0], update))
    if together > 1:
        several = list(itertools.islice(itertools.cycle(batches), together))
        checks += parity.check_call(cell, model, start.params, several, call)
    wrong = [c for c in checks if not c.ok]
    if wrong:
        raise RuntimeError(f"{cell.name} is not the specification: {wrong[0]}")
    model.load(start)
    return first_s


def _update(model: Model, batches: list[Batch], lr: float, together: int) -> Callable[[], list[StepResult]]:
    """The updates of one call."""
    handles = itertools.cycle([model.put(b) for b in batches])
    if together == 1:  # as an older checkout can
        return lambda: [model.wait(model.step(next(handles), lr))]
    lrs = [lr] * together
    return lambda: training.updates(model, [next(handles) for _ in lrs], lrs)


def _call(model: Model, what: str, batches: list[Batch]) -> Call:
    """One call of a subject, which ends when its result is there."""
    handles = itertools.cycle([model.put(b) for b in batches])
    if what == "decode":
        return lambda: model.decode(next(handles))
    if what == "gradients":
        return lambda: model.grads(next(handles))
    if what == "stream":
        ones = itertools.cycle([model.put(one) for one in _cut(batches[0])])
        state: State | None = None

        def further() -> Array:
            nonlocal state
            read, state = model.outputs(next(ones), state)
            return read

        return further
    return lambda: model.outputs(next(handles))


def _cut(batch: Batch) -> Iterator[Batch]:
    """The time steps of one sequence, each a batch of its own."""
    if batch.y.shape != batch.x.shape[:2]:
        raise ValueError("stream: only a network with an output at every step can be read step by step")
    for t in range(int(batch.lengths[0])):
        at = slice(t, t + 1)
        yield replace(
            batch, x=batch.x[:, at], y=batch.y[:, at], scored=batch.scored[:, at], lengths=np.ones(1, np.int32)
        )


def _timed(call: Call, compiled: Count, count: int, together: int = 1) -> dict[str, Any]:
    """At least ``count`` updates; those of a call share its seconds alike. RuntimeError where the last has no loss."""
    last: object = None

    def share() -> float:
        nonlocal last
        last, took_s = clock.seconds(call)
        return took_s / together

    before, made = resource.getrusage(resource.RUSAGE_SELF), compiled()
    shares, wall_s = clock.seconds(lambda: [share() for _ in range(math.ceil(count / together))])
    after, made_after = resource.getrusage(resource.RUSAGE_SELF), compiled()
    for result in last if isinstance(last, list) else ():
        if not math.isfinite(result.loss):
            raise RuntimeError(f"the loss is {result.loss} after {count} timed updates")
    return {
        "seconds": [share for share in shares for _ in range(together)],
        "wall_s": wall_s,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "switches": after.ru_nivcsw - before.ru_nivcsw,
        "compiled": None if made is None or made_after is None else made_after - made,
    }
