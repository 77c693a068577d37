"""What the runner costs on top of the bare step loop of a backend, and what gradient norms cost on top of none.

    python -m tests.perf.overhead --backend jax                  one process a backend; prints one JSON line

    bare      put, step, wait over the task's batches, as a user would write it
    runner    `suite.cell.advance`: the same, with the clock, the record and the curve file
    no norms  bare, with a step that computes no norm (clipping is off throughout, for it needs the global norm)

Blocks of updates alternate within one process (ABBA), so that drift hits both sides; a block's value is its fastest
update, for a stall of the machine is no cost of the runner. The ratio is the geometric mean over pairs of blocks with
its 95 % t-interval; the claim is made with the interval's upper end. What the runner's own process does meanwhile
(reading the curve file and feeding MLflow every two seconds) is not in it.
"""

from __future__ import annotations

import importlib
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from suite import cell as cells
from suite import clock, registry, stats
from suite.spec import params
from suite.spec.cell import Cell
from suite.spec.contract import Model, Net, Optim, Sizes, Snapshot

BLOCK, PAIRS = 6, 120
Update = Callable[[int], None]


@click.command()
@click.option("--backend", default="jax", show_default=True)
@click.option("--arch", default="gru", show_default=True)
@click.option("--impl", default="scan", show_default=True)
@click.option("--hidden", default=128, show_default=True, help="128 gives steps of 10 ms and more.")
def main(backend: str, arch: str, impl: str, hidden: int) -> None:
    """Print the two overheads of one backend."""
    cell = Cell("hmm_tag", arch, backend, impl, (("time", 60),), Sizes(hidden, embed=64), Optim(clip=0.0), steps=10**6)
    task = registry.task(cell.task, **dict(cell.options))
    net = Net(registry.arch(arch), task.signature, cell.sizes)
    cells.setup(backend, cell.precision, cell.device, cell.threads)
    without = _switch(cell, net)
    bare_model, runner_model, plain_model = _build(cell, net), _build(cell, net), _build(cell, net)
    done = cells.Done()

    def bare(model: Model) -> Update:
        def update(step: int) -> None:
            model.wait(model.step(model.put(task.batch("train", 0, step, cell.batch)), cell.optim.lr))

        return update

    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "metrics.jsonl").open("w") as curves:

        def runner(step: int) -> None:
            cells.advance(cell, task, net, runner_model, done, curves)

        runner_ratio, step_ms = compare(bare(bare_model), runner)
        norms_ratio, _ = compare(without(bare(plain_model)), bare(bare_model))
    told = {"backend": backend, "arch": arch, "impl": impl, "hidden": hidden, "bare_step_ms": round(step_ms, 2)}
    click.echo(json.dumps(told | {"runner": runner_ratio, "norms": norms_ratio, "pairs": PAIRS, "block": BLOCK}))


def compare(base: Update, other: Update) -> tuple[dict[str, float], float]:
    """other / base as a ratio with its interval, and base's median milliseconds."""
    for step in range(BLOCK):
        base(step)
        other(step)
    logs, base_ms = [], []
    for pair in range(PAIRS):
        first, second = (base, other) if pair % 2 else (other, base)
        seconds = {first: _block(first, pair), second: _block(second, pair)}
        logs.append(math.log(seconds[other] / seconds[base]))
        base_ms.append(1e3 * seconds[base])
    i = stats.t_interval(logs)
    ratio = {name: round(math.exp(v), 4) for name, v in (("ratio", i.value), ("low", i.low), ("high", i.high))}
    return ratio, float(np.median(base_ms))


def _block(update: Update, pair: int) -> float:
    """Seconds of the fastest update within the block."""
    return min(clock.seconds(lambda s=s: update(s))[1] for s in range(pair * BLOCK, (pair + 1) * BLOCK))


def _build(cell: Cell, net: Net) -> Model:
    start = Snapshot(0, params.init(net, cell.seed))
    return registry.backend(cell.backend).build(net, cell.impl, cell.optim, start, cell.precision, cell.device)


def _switch(cell: Cell, net: Net) -> Callable[[Update], Update]:
    """Wraps an update so that norms are zeros while it runs; a compiled step keeps what its first call traced."""
    count, off = len(params.shapes(net)), [False]
    trainer: Any = registry.member(cell.backend, "trainer")
    honest, zeros = trainer.norms, _zeros(cell.backend, count)
    trainer.norms = lambda grads: zeros() if off[0] else honest(grads)

    def without(update: Update) -> Update:
        def quiet(step: int) -> None:
            off[0] = True
            update(step)
            off[0] = False

        return quiet

    return without


def _zeros(backend: str, count: int) -> Callable[..., Any]:
    if backend == "pytorch":
        torch = importlib.import_module("torch")
        return lambda: torch.zeros(count)
    if backend == "tensorflow":
        tf = importlib.import_module("tensorflow")
        return lambda: tf.zeros(count)
    jnp = importlib.import_module("jax.numpy")
    return lambda: jnp.zeros(count, "float32")


if __name__ == "__main__":
    main()
