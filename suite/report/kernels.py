"""Plan `speed` for people: tables and pictures, drawn from its files alone.

ms       median over sets of the fastest call of a block's rounds, with Student's interval over sets (of its logarithm)
p50, p99 of all timed calls of a set, of which the median over sets
tokens/s steps of sequences that a call reads (one that decodes: writes), a second
share    the time of the step's matrix products alone, over this: 1 would be a step that does nothing else
ratio    stock / this, paired by round within a set: above 1 it is faster than the framework's own layer
"""

from __future__ import annotations

import functools
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suite import registry, stats
from suite.perf.plausible import PRODUCTS
from suite.perf.shapes import shapes
from suite.report import targets
from suite.report.table import number
from suite.spec import network, params
from suite.spec.cell import Cell, Options
from suite.spec.contract import Batch, Net, Signature

STOCK = {"pytorch": ("pytorch",), "tensorflow": ("tensorflow",), "jax": ("flax", "haiku")}  # JAX itself ships none
COLUMNS = (
    "ms | 95 % | p50, ms | p99, ms | tokens/s | GFLOP/s | share of products | times stock | first call, s | import, s"
)
SHORT = ("small", "braun", "long")  # the columns of the README
Data = dict[str, Any]


def read(results: Path) -> list[Data]:
    """Every group below ``results``/speed, in the order of the shapes. ValueError if there is none."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((results / "speed").glob("*.json"))]
    if not found:
        raise ValueError(f"speed: nothing was measured below {results / 'speed'}; run: python -m suite speed")
    order = list(shapes())
    return sorted(found, key=lambda data: order.index(data["shape"]))


def seconds(candidate: Data) -> stats.Interval:
    """Seconds a call, with the interval over sets of fresh processes."""
    return _exp(stats.t_interval([math.log(statistics.median(s["min"])) for s in candidate["sets"]]))


def ratio(slow: Data, fast: Data) -> stats.Interval:
    """slow / fast: how many times as fast the second is."""
    logs = [
        statistics.median(math.log(a / b) for a, b in zip(x["min"], y["min"], strict=True))
        for x, y in zip(slow["sets"], fast["sets"], strict=True)
    ]
    return _exp(stats.t_interval(logs))


def _exp(i: stats.Interval) -> stats.Interval:
    low, high = (math.exp(x) if math.isfinite(x) else (0.0 if x < 0 else math.inf) for x in (i.low, i.high))
    return stats.Interval(math.exp(i.value), low, high, i.n)


def write(results: Path, out: Path) -> list[Path]:
    """speed.md and the pictures in ``out``, from the groups below ``results``."""
    from suite.report import kernel_figures

    groups = read(results)
    out.mkdir(parents=True, exist_ok=True)
    page = out / "speed.md"
    page.write_text("\n".join(markdown(groups)) + "\n", encoding="utf-8")
    return [page, *kernel_figures.write(groups, out)]


def markdown(groups: list[Data]) -> Iterator[str]:
    """What was aimed at, the tables, and under them on what machine, and what could not run."""
    yield "# Speed"
    yield from targets.markdown(groups, ratio)
    for data in groups:
        first = next(iter(data["candidates"].values()))
        rounds = len(first["sets"][0]["min"])
        yield f"\n## {title(data)}\n"
        yield f"{_shape(first['cell'])}; {len(first['sets'])} sets of processes, {rounds} rounds each"
        yield f"{_work(first['cell'])}\n"
        yield f"| | {COLUMNS} |"
        yield "|---" + "|--:" * (COLUMNS.count("|") + 1) + "|"
        for name in _fastest_first(data):
            yield f"| {name} | {' | '.join(_row(data, name, data['candidates'][name]))} |"
        gaps = [f"- {name}: {reason}" for name, reason in data["unsupported"].items()]
        yield from ([""] if gaps else []) + gaps
    where: dict[str, list[str]] = {}
    for data in groups:
        where.setdefault(_where(data["facts"]), []).append(title(data))
    yield ""
    yield from (f"- {place}" + (f": {', '.join(what)}" if len(where) > 1 else "") for place, what in where.items())


def short(groups: list[Data]) -> str:
    """A GRU's training step for a README: a row a candidate, a column a shape; the fastest of the first shape first.

    ValueError where nothing was measured, or where a reader would compare the times of two machines.
    """
    found = {d["shape"]: d for d in groups if (d["arch"], d["subject"]) == ("gru", "step") and d["shape"] in SHORT}
    columns = [name for name in SHORT if name in found]
    if not columns:
        raise ValueError(f"speed: no step of a gru at {', '.join(SHORT)} was measured")
    if len({found[shape]["facts"]["machine_id"] for shape in columns}) > 1:
        raise ValueError(f"speed: {', '.join(columns)} were measured on several machines; measure all on one (--again)")
    names = dict.fromkeys(name for shape in columns for name in _fastest_first(found[shape]))
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    lines += [f"| {name} | {' | '.join(_short(found[shape], name) for shape in columns)} |" for name in names]
    cells = [f"{shape}: {_shape(next(iter(found[shape]['candidates'].values()))['cell'])}" for shape in columns]
    told = f"- measured on {_where(found[columns[0]]['facts'])}"
    return "\n".join([*lines, "", *(f"- {cell}" for cell in cells), told])


def _fastest_first(data: Data) -> list[str]:
    return sorted(data["candidates"], key=lambda name: seconds(data["candidates"][name]).value)


def _short(data: Data, name: str) -> str:
    """Milliseconds and half an interval's width in per cent."""
    if name not in data["candidates"]:
        return ""
    i = seconds(data["candidates"][name])
    return f"{number(1e3 * i.value)} ±{50 * (i.high - i.low) / i.value:.0f} %"


def stock(data: Data, name: str) -> Data | None:
    """The layer that a candidate is compared with: its framework's own, or what people take in its place."""
    for library in STOCK.get(name.split()[0], ()):
        if found := data["candidates"].get(f"{library} stock{name.partition(',')[1]}{name.partition(',')[2]}"):
            return dict(found)
    return None


def _row(data: Data, name: str, candidate: Data) -> Iterator[str]:
    ms, products = seconds(candidate), data["candidates"].get(PRODUCTS)
    yield f"{1e3 * ms.value:.4g}"
    yield f"{1e3 * ms.low:.4g} - {1e3 * ms.high:.4g}"
    yield from (f"{1e3 * statistics.median(s[q] for s in candidate['sets']):.4g}" for q in ("median", "p99"))
    yield f"{_tokens(data['subject'], candidate['cell']) / ms.value:,.0f}"
    yield f"{candidate['told']['flops'] / ms.value / 1e9:.3g}" if data["subject"] == "step" else ""
    yield f"{ratio(products, candidate).value:.2f}" if products else ""
    other = stock(data, name)
    if other and other["cell"] != candidate["cell"]:
        r = ratio(other, candidate)
        yield f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
    else:
        yield ""
    yield f"{candidate['told']['first_s']:.3g}"
    yield f"{candidate['told']['import_s']:.3g}" if name != PRODUCTS else ""


def title(data: Data) -> str:
    """What a group is called."""
    return f"{data['shape']} / {data['arch']} / {data['subject']}"


def _shape(cell: Data) -> str:
    o, s = cell["options"], cell["sizes"]
    lengths = f", rows of {o['shortest']} to {o['time']} steps" if "shortest" in o else ""
    deep = f", {s['layers']} layers" if s["layers"] > 1 else ""
    both = ", both ways" if s["bidirectional"] else ""
    read = f"T{o['time']} I{o['features']}" if "time" in o else f"{cell['task']} E{s['embed']}"
    size = f"B{cell['batch']} {read} H{s['hidden']}{lengths}{deep}{both}"
    return f"{size}; {cell['precision']}, {cell['threads']} thread(s)"


@functools.cache
def _batch(task: str, options: Options, rows: int) -> tuple[Signature, Batch]:
    made = registry.task(task, **dict(options))
    return made.signature, made.batch("train", 0, 0, rows)


def _work(told: Data) -> str:
    """What a training step of a cell is, by formula."""
    cell = Cell.from_json(told)
    signature, batch = _batch(cell.task, cell.options, cell.batch)
    net = Net(registry.arch(cell.arch), signature, cell.sizes)
    flops, moved = network.flops(net, batch), network.traffic(net, batch, cell.optim, cell.precision)
    count = sum(math.prod(shape) for shape in params.shapes(net).values())
    return (
        f"{count:,} parameters; a training step takes {flops / 1e6:,.0f} MFLOP in products "
        f"and moves {moved / 1e6:.3g} MB at the least, {flops / moved:.0f} FLOP a byte"
    )


def _tokens(subject: str, told: Data) -> int:
    """How many steps of sequences one call reads, or writes."""
    cell = Cell.from_json(told)
    signature, batch = _batch(cell.task, cell.options, 1 if subject in ("latency", "stream") else cell.batch)
    if subject == "decode":
        return cell.batch * signature.longest_target
    return 1 if subject == "stream" else int(batch.lengths.sum())


def _where(facts: Data) -> str:
    """The machine and what was installed on it."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if name != "mlflow")
    return f"{facts['cpu']}, {facts['cores_usable']} cores; {versions}"
