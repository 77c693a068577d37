"""What a trained network does, in examples: its record's weights, put into any backend, and a few rows.

    translate         source, target, what greedy decoding writes and what a beam finds
    next token        texts that the network writes by itself, and the share that is valid where the task can tell
    label and final   what is read, what is right, what the network says

Rows are the first ones of the test split. A task says how its tokens are written: ``source_text``, ``target_text``,
``text``; without them they are numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from suite import record, registry, weights
from suite.cell import setup
from suite.decode import beam
from suite.generate import sample
from suite.record import Record
from suite.report import attention
from suite.spec import params
from suite.spec.cell import Cell
from suite.spec.contract import Array, Batch, Model, Net, Params, Precision, Snapshot, Unsupported
from suite.spec.random import Stream

DRAWN = 200  # texts of which the share of valid ones is taken
LONGEST = 100  # tokens of a text, where the network's positions allow it
SHOWN = 40  # tokens of a row of numbers


def show(
    folder: Path,
    *,
    rows: int = 5,
    width: int = 4,
    length_penalty: float = 0.0,
    temperature: float = 1.0,
    seed: int = 0,
    backend: str | None = None,
    precision: Precision | None = None,
    device: str | None = None,
    figure: Path | None = None,
) -> Iterator[str]:
    """The examples, line by line, of the record and weights in ``folder``.

    ``backend`` another one than the record's: its scan implementation. ``figure``: attention maps of the rows.
    ValueError for a folder without record or weights, for weights of another run, and for what cannot run here.
    """
    ended, snapshot = _read(folder)
    chosen = ended.cell
    if backend and backend != chosen.backend:
        chosen = replace(chosen, backend=backend, impl="scan")
    chosen = replace(chosen, precision=precision or chosen.precision, device=device or chosen.device)
    task: Any = registry.task(chosen.task, **dict(chosen.options))
    net = Net(registry.arch(chosen.arch), task.signature, chosen.sizes)
    pictures = list(_attention(task, net, snapshot.params, rows, figure)) if figure else []
    model = _model(chosen, net, snapshot)
    yield f"{ended.cell.name} after {snapshot.step} updates{_score(ended)}; here: {model.ran()}"
    if hasattr(task, "start"):
        yield from _texts(task, net, model, rows, temperature, seed)
        return
    batch = task.batch("test", 0, 0, rows)
    if net.signature.kind == "translate":
        yield from _translations(task, net, model, batch, width, length_penalty)
    else:
        yield from _answers(net, model, batch)
    yield from pictures


def _read(folder: Path) -> tuple[Record, Snapshot]:
    """A folder's record and weights, which belong together."""
    if not (folder / "result.json").exists():
        raise ValueError(f"show: there is no record in {folder}; give a folder such as results/<plan>/<key>")
    ended, path = record.read(folder / "result.json"), folder / "weights.safetensors"
    if not path.exists():
        again = f"python -m suite cell {folder / 'result.json'} --out again"
        raise ValueError(f"show: there are no weights in {folder} (the cell is {ended.outcome}); run it: {again}")
    snapshot = weights.load(path)
    if params.digest(snapshot.params) != ended.digests.get("final"):
        raise ValueError(f"show: {path} holds other weights than its record names; run the cell again")
    return ended, snapshot


def _model(cell: Cell, net: Net, snapshot: Snapshot) -> Model:
    module = registry.backend(cell.backend)
    try:
        registry.implementation(module, cell.arch, cell.impl)
        setup(cell.backend, cell.precision, cell.device, cell.threads)
        return module.build(net, cell.impl, cell.optim, snapshot, cell.precision, cell.device)
    except Unsupported as reason:
        raise ValueError(f"show: {reason}; choose another --backend or --precision") from reason


def _score(ended: Record) -> str:
    found = ended.scores.get("test", {}).get(ended.metric)
    return f" ({ended.outcome})" if found is None else f", test {ended.metric} {found:.4g}"


def _translations(task: Any, net: Net, model: Model, batch: Batch, width: int, length_penalty: float) -> Iterator[str]:
    ways = {
        "greedy": model.decode(model.put(batch)),
        f"beam {width}": beam(model, net, batch, width, length_penalty)[0],
    }
    source, target = (getattr(task, f"{side}_text", _numbers) for side in ("source", "target"))
    asked = np.flatnonzero(batch.scored.any(1))
    for b in asked:
        yield f"\n{source(batch.x[b])}"
        yield f"  {'target':8}{target(batch.y[b])}"
        yield from (f"  {way:8}{target(tokens[b])}" for way, tokens in ways.items())
    wrong = {way: (tokens[:, : batch.y.shape[1]] != batch.y) & batch.scored for way, tokens in ways.items()}
    yield "\nright: " + ", ".join(f"{way} {(~w[asked].any(1)).sum()} of {len(asked)}" for way, w in wrong.items())


def _texts(task: Any, net: Net, model: Model, rows: int, temperature: float, seed: int) -> Iterator[str]:
    judged = hasattr(task, "valid")
    ends = {"ends": task.ends} if hasattr(task, "ends") else {}
    tokens, lengths = sample(
        model,
        net,
        Stream(f"show/{seed}"),
        max(rows, DRAWN) if judged else rows,
        net.sizes.positions or LONGEST,
        temperature,
        task.start,
        **ends,
    )
    for row, length in zip(tokens[:rows], lengths, strict=False):
        yield "\n" + task.text(row[:length])
    if judged:
        valid = [task.valid(row) for row in tokens]
        yield f"\nvalid: {sum(valid)} of {len(valid)} texts drawn at temperature {temperature:g}"


def _answers(net: Net, model: Model, batch: Batch) -> Iterator[str]:
    outputs, _ = model.outputs(model.put(batch))
    said = outputs if net.signature.loss == "mse" else outputs.argmax(-1)
    for b in np.flatnonzero(batch.scored.reshape(len(batch.x), -1).any(1)):
        x = batch.x[b, : batch.lengths[b]]
        where = batch.scored[b] if net.signature.kind == "label" else ...
        yield "\nreads   " + (_numbers(x) if net.signature.tokens else f"{x.shape[0]} steps of {x.shape[1]} values")
        yield f"target  {_numbers(batch.y[b][where])}"
        yield f"says    {_numbers(said[b][where])}"


def _numbers(values: Array) -> str:
    """Numbers in one line; of many the first."""
    values = np.atleast_1d(values)
    return " ".join(f"{v:.4g}" for v in values[:SHOWN].tolist()) + f" ... ({len(values)})" * (len(values) > SHOWN)


def _attention(task: Any, net: Net, p: Params, rows: int, figure: Path) -> Iterator[str]:
    batch = task.batch("test", 0, 0, rows)
    maps = attention.maps(net, p, batch)
    if hasattr(task, "fields"):
        inside, fields = attention.inside(task, batch, maps)
        chance, _ = attention.inside(task, batch, attention.everywhere(batch))
        yield f"attention: its centre is inside {inside} of {fields} fields ({chance} if it looked everywhere alike)"
        yield f"attention: it never moves back in {attention.onward(task, batch, maps)[0]} of them"
    yield from map(str, attention.draw(task, batch, maps, figure))
