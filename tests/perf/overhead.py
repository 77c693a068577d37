"""What the runner costs on top of the bare step loop of a backend, what gradient norms cost on top of none, and what
the gradient flow costs on top of a step without.

    python -m tests.perf.overhead --backend jax                  eight processes in turn; prints one JSON line
    python -m tests.perf.overhead --backend jax --feed           the same with MLflow fed meanwhile
    ... --append results/published/checks/overhead.jsonl         and adds it where the page of `speed` takes it from

    bare      put, step, wait over the task's batches, as a user would write it
    runner    `suite.training.advance`: the same, with the clock, the record and the curve file
    no norms  bare, with a step that computes no norm (clipping is off throughout, for it needs the global norm)
    profile   bare, with a step that also computes ||dL/ds_t|| of every state at every time step

A process has the environment of a run's workers: threads, and how memory is kept. Blocks alternate within it (ABBA),
so that drift hits both sides, and its ratio is the geometric mean over pairs of blocks. But two programs also differ by
where their code and buffers happen to lie, by 3 % and for as long as the process lives: many pairs of one process give
a narrow interval around that. So there are several, the ratio is the geometric mean over them with its 95 % t-interval,
and the claim is made with the interval's upper end. Two forms of block:

    short     6 updates; its value is the fastest, for a stall of the machine is no cost of the runner
    --feed    `tracker.FEED_S` seconds of updates; its value is the mean. During each runner block a second process,
              as the tracker in a run, reads the curve file and sends to MLflow (a local sqlite store) what one
              block wrote: every update, as for a cell of up to 300 updates; a longer cell sends fewer
"""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from suite import cell as cells
from suite import checkpoint, clock, facts, registry, stats, training
from suite.executors.process import environment
from suite.sinks import tracker
from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.cell import Cell
from suite.spec.contract import Model, Net, Optim, Sizes, Snapshot
from tests.perf import profiled

BLOCK = 6
SENT_WHOLE = 300  # a cell of so many updates sends each of them
Update = Callable[[int], None]
Feed = Callable[[], None]


@click.command()
@click.option("--backend", type=click.Choice(registry.BACKENDS[1:]), default="jax", show_default=True)
@click.option("--arch", type=click.Choice(sorted(ARCHS)), default="gru", show_default=True, metavar="NAME")
@click.option("--impl", default="scan", show_default=True)
@click.option("--hidden", default=128, show_default=True, help="128 gives steps of 10 ms and more.")
@click.option("--processes", type=click.IntRange(2), default=8, show_default=True, help="Fresh ones, in turn.")
@click.option("--pairs", type=click.IntRange(2), default=30, show_default=True, help="Of blocks in each process.")
@click.option("--feed", is_flag=True, help="Feed MLflow meanwhile, and compare means of blocks of two seconds.")
@click.option("--append", type=click.Path(dir_okay=False, path_type=Path), help="Add the line to this file.")
@click.option("--alone", is_flag=True, hidden=True, help="One of those processes.")
def main(processes: int, append: Path | None, alone: bool, **what: Any) -> None:
    """Print the overheads of one backend."""
    if alone:
        click.echo(json.dumps(measured(**what), allow_nan=False))
        return
    if append and what["feed"]:
        raise click.UsageError("--append is for what the page of `speed` shows, which is measured without --feed")
    if append:
        append.parent.mkdir(parents=True, exist_ok=True)  # before the minutes that measuring takes
    command = [sys.executable, "-m", "tests.perf.overhead", *sys.argv[1:], "--alone"]
    found = []
    for k in range(1, processes + 1):
        click.echo(f"process {k} of {processes}", err=True)
        done = subprocess.run(command, env=environment(_cell(**what)), stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(done.returncode)  # it has said why
        found.append(json.loads(done.stdout.splitlines()[-1]))
    over = {name: combined([one[name] for one in found]) for name in found[0]}
    about = {"at": clock.stamp(), "revision": facts.revision()["git"], "cpu": facts.machine()["cpu"]}
    line = json.dumps({name: what[name] for name in ("backend", "arch", "impl", "hidden")} | over | about)
    click.echo(line)
    if append:
        with append.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def combined(each: list[dict[str, float]]) -> dict[str, Any]:
    """What processes found: their mean ratio with its interval, the median step, and the most of anything else."""
    i = stats.t_interval([math.log(one["ratio"]) for one in each])
    ratio = {name: round(math.exp(v), 4) for name, v in (("ratio", i.value), ("low", i.low), ("high", i.high))}
    step = {"bare_step_ms": round(float(np.median([one["bare_step_ms"] for one in each])), 2)}
    rest = {name: max(one[name] for one in each) for name in each[0] if name not in ("ratio", "bare_step_ms")}
    return ratio | {"each": [one["ratio"] for one in each]} | step | rest


def _cell(backend: str, arch: str, impl: str, hidden: int, **_: Any) -> Cell:
    return Cell("hmm_tag", arch, backend, impl, (("time", 60),), Sizes(hidden, embed=64), Optim(clip=0.0), steps=10**6)


def measured(pairs: int, feed: bool, **what: Any) -> dict[str, dict[str, float]]:
    """What this process finds."""
    cell, backend = _cell(**what), what["backend"]
    task = registry.task(cell.task, **dict(cell.options))
    net = Net(registry.arch(cell.arch), task.signature, cell.sizes)
    cells.setup(backend, cell.precision, cell.device, cell.threads)
    without = _switch(cell, net)
    bare_model, runner_model, plain_model, profiled_model = (_build(cell, net) for _ in range(4))
    done = checkpoint.Done()

    def bare(model: Model) -> Update:
        def update(step: int) -> None:
            model.wait(model.step(model.put(task.batch("train", 0, step, cell.batch)), cell.optim.lr))

        return update

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with (folder / "metrics.jsonl").open("w") as curves:

            def runner(step: int) -> None:
                training.advance(cell, task, net, runner_model, done, curves)

            if feed:
                with feeding(cell, folder) as (send, sent_ms):
                    told = compare(bare(bare_model), runner, pairs, send)
                told |= {"feed_ms": float(np.median(sent_ms)), "longest_feed_ms": max(sent_ms)}  # the last is in now
                return {"runner_and_feed": told}
            return {
                "runner": compare(bare(bare_model), runner, pairs),
                "norms": compare(without(bare(plain_model)), bare(bare_model), pairs),
                "profile": compare(bare(bare_model), profiled.switch(backend)(bare(profiled_model)), pairs),
            }


def compare(base: Update, other: Update, pairs: int, send: Feed | None = None) -> dict[str, float]:
    """other / base as a ratio, base's median milliseconds an update, and the form of the blocks.

    ``send`` starts a feed beside each block of ``other``; the block is then as long as the runner waits between feeds.
    """
    for step in range(BLOCK):
        base(step)
        other(step)
    count = math.ceil(tracker.FEED_S / _block(base, 0, BLOCK, np.mean)) if send else BLOCK
    value = np.mean if send else np.min
    logs, base_ms = [], []
    for pair in range(pairs):
        seconds = {}
        for update in (base, other) if pair % 2 else (other, base):
            seconds[update] = _block(update, pair * count, count, value, send if update is other else None)
        logs.append(math.log(seconds[other] / seconds[base]))
        base_ms.append(1e3 * seconds[base])
    ratio = round(math.exp(float(np.mean(logs))), 4)
    return {"ratio": ratio, "bare_step_ms": float(np.median(base_ms)), "pairs": pairs, "block": count}


def _block(update: Update, first: int, count: int, value: Callable[..., float], send: Feed | None = None) -> float:
    """Seconds of an update, from a block of ``count``, after ``send`` has started a feed."""
    if send:
        send()
    return float(value([clock.seconds(lambda s=s: update(s))[1] for s in range(first, first + count)]))


@contextmanager
def feeding(cell: Cell, folder: Path) -> Iterator[tuple[Feed, list[float]]]:
    """A call that starts one feed in another process, and the milliseconds each took."""
    spec = json.dumps(replace(cell, steps=SENT_WHOLE).as_json())
    command = [sys.executable, "-m", "tests.perf.feeder", str(folder), spec]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as feeder:
        assert feeder.stdin is not None and feeder.stdout is not None, "they were opened as pipes"
        assert feeder.stdout.readline() == "ready\n", "the feeder did not start"
        sent_ms: list[float] = []
        told = iter(feeder.stdout)

        def send() -> None:
            if sent_ms:
                sent_ms[-1] = float(next(told))  # of the last feed, which must have ended within its block
            sent_ms.append(math.nan)
            feeder.stdin.write("\n")
            feeder.stdin.flush()

        yield send, sent_ms
        sent_ms[-1] = float(next(told))
        feeder.stdin.close()


def _build(cell: Cell, net: Net) -> Model:
    start = Snapshot(0, params.init(net, cell.seed, cell.init))
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
