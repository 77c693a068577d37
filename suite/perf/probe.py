"""A process that times one subject on command: JSON lines in, JSON lines out.

    in    {"cell": CELL, "what": "step"}         build it, warm it up
    out   {"event": "ready", "ran": "...", "first_s": ..., "losses": [...], ...}
    in    {"run": 20}                            time so many calls
    out   {"event": "ran", "seconds": [...], "cpu_s": ..., "switches": 0, "compiled": 0}

Subjects: "step" is a whole update, waited for; "forward" the outputs of a batch; "latency" those of one sequence;
"stream" one further time step of one sequence, from the state before; "decode" greedy decoding; "gemm" the matrix
products of a step alone, as fast as NumPy's library does them.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from suite import cell as cells
from suite import clock, facts, parity, registry
from suite.perf import products
from suite.protocol import end_with_parent, private_stdout
from suite.spec import network, params
from suite.spec.cell import Cell
from suite.spec.contract import Batch, Model, Net, Snapshot, Task

SUBJECTS = ("step", "forward", "latency", "stream", "decode", "gemm")
BATCHES = 4  # taken in turn: one alone would be learnt by heart, and its gradients become denormal
WARM = 3  # calls before the first timed one
LOSSES = 8  # updates whose losses are reported, to tell one network from another without a clock

Call = Callable[[], object]


def main() -> None:
    """Serve the process that started this one."""
    out = private_stdout()
    end_with_parent()

    def emit(event: str, **values: Any) -> None:
        out.write(json.dumps({"event": event, **values}, allow_nan=False) + "\n")
        out.flush()

    asked = json.loads(sys.stdin.readline())
    call, told = prepare(Cell.from_json(asked["cell"]), asked["what"], asked.get("check", False))
    emit("ready", **told)
    for line in sys.stdin:
        emit("ran", **_timed(call, int(json.loads(line)["run"])))


def prepare(cell: Cell, what: str, check: bool = False) -> tuple[Call, dict[str, Any]]:
    """The call to time, warm, and what is known of it. ``check``: hold it against the oracle first.

    ValueError for a subject that is not known or that the network does not have; Unsupported as in a run.
    RuntimeError, with the first difference, for a model that is not the specification.
    """
    if what not in SUBJECTS:
        raise registry.unknown("subject", what, SUBJECTS)
    task: Task = registry.task(cell.task, **dict(cell.options))
    net = Net(registry.arch(cell.arch), task.signature, cell.sizes)
    batches = [
        task.batch("train", cell.seed, k, 1 if what in ("latency", "stream") else cell.batch) for k in range(BATCHES)
    ]
    told: dict[str, Any] = {
        "parameters": sum(int(np.prod(shape)) for shape in params.shapes(net).values()),
        "flops": network.flops(net, batches[0]),
    }
    if what == "gemm":
        call, told["ran"] = products.call(net, batches[0], cell.precision), "numpy.matmul"
        _, told["first_s"] = clock.seconds(call)
    else:
        model, more = _model(cell, net, batches[0], check)
        call = _call(model, what, batches, cell.optim.lr)
        _, told["first_s"] = clock.seconds(call)
        told |= more | {"ran": model.ran()}
    for _ in range(WARM):
        call()
    return call, told | {"facts": facts.facts()}


def _model(cell: Cell, net: Net, batch: Batch, check: bool) -> tuple[Model, dict[str, Any]]:
    module, import_s = clock.seconds(lambda: registry.backend(cell.backend))
    registry.implementation(module, cell.arch, cell.impl)
    _, setup_s = clock.seconds(lambda: cells.setup(cell.backend, cell.precision, cell.device, cell.threads))
    start = Snapshot(0, params.init(net, cell.seed, cell.init))
    model, build_s = clock.seconds(lambda: module.build(net, cell.impl, cell.optim, start, cell.precision, cell.device))
    if check:
        update = lambda handle: model.wait(model.step(handle, cell.optim.lr))  # noqa: E731
        wrong = [c for c in parity.check(cell, net, model, start.params, batch, update) if not c.ok]
        if wrong:
            raise RuntimeError(f"{cell.name} is not the specification: {wrong[0]}")
        model.load(start)
    return model, {"import_s": import_s + setup_s, "build_s": build_s}


def _call(model: Model, what: str, batches: list[Batch], lr: float) -> Call:
    """One call of a subject, which ends when its result is there."""
    handles = itertools.cycle([model.put(b) for b in batches])
    if what == "step":
        return lambda: model.wait(model.step(next(handles), lr))
    if what == "decode":
        return lambda: model.decode(next(handles))
    if what == "stream":
        ones = itertools.cycle([model.put(one) for one in _cut(batches[0])])
        state = model.outputs(next(ones))[1]

        def further() -> None:
            nonlocal state
            _, state = model.outputs(next(ones), state)

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


def _timed(call: Call, count: int) -> dict[str, Any]:
    before, cpu = resource.getrusage(resource.RUSAGE_SELF), os.times()
    seconds = [clock.seconds(call)[1] for _ in range(count)]
    after, cpu_after = resource.getrusage(resource.RUSAGE_SELF), os.times()
    return {
        "seconds": seconds,
        "cpu_s": cpu_after.user + cpu_after.system - cpu.user - cpu.system,
        "switches": after.ru_nivcsw - before.ru_nivcsw,
    }
