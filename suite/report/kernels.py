"""Plan `speed` for people: tables and pictures, drawn from its files alone.

`LEGEND` says what stands in the columns.
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
from suite.perf.paired import exp
from suite.perf.plausible import PRODUCTS
from suite.perf.shapes import shape, shapes
from suite.report import targets
from suite.report.table import number
from suite.spec import network, params
from suite.spec.cell import Cell, Options
from suite.spec.contract import Batch, Net, Signature

# whose layer a backend is compared with, the fastest of them; JAX itself ships none
STOCK = {"pytorch": ("pytorch",), "tensorflow": ("tensorflow", "keras_jit"), "jax": ("flax", "haiku")}
# column -> what stands in it
LEGEND = {
    "ms": "the fastest call of a block; of a set's rounds the median, of the sets the geometric mean",
    "95 %": "its interval: Student's, over sets of fresh processes, of logarithms. Whether one candidate is faster than"
    " another is said by a paired ratio, not by two intervals: a round that was slow for one was slow for all",
    "p50, ms": "of all timed calls of a set; the median over sets. Where some make several updates in one call, of the"
    " means of so many in a row",
    "p99, ms": "the same, where a set has more than 100 of them",
    "tokens/s": "steps of sequences that a call reads (of decoding: may write), pads left out",
    "GFLOP/s": "of a training step: the operations of its matrix products by formula, pads counted, over ms",
    "share of products": "the time of these products alone, done by NumPy's library in the same rounds, over the time"
    " of a training step: 1 would be a step that does nothing else, in products of that speed",
    "times stock": "stock / this, paired by round: above 1 it is faster than its framework's own layer; in TensorFlow,"
    " than the faster of Keras' with and without XLA. JAX has none: flax stands for it, or haiku; the faster where both"
    " have the cell",
    "others": "processors that other processes used meanwhile, in the worst set, as far as ticks of 10 ms tell",
    "first call, s": "with tracing and compiling, once, in a process that has the machine for itself",
    "import, s": "of the framework, and of setting it up, once",
}
ENOUGH = 100  # calls of a set, for its 99th percentile not to be its slowest call
ONE = ("latency", "stream")  # subjects of one sequence
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
    return exp(stats.t_interval([math.log(statistics.median(s["min"])) for s in candidate["sets"]]))


def ratio(slow: Data, fast: Data) -> stats.Interval:
    """slow / fast: how many times as fast the second is."""
    logs = [
        statistics.median(math.log(a / b) for a, b in zip(x["min"], y["min"], strict=True))
        for x, y in zip(slow["sets"], fast["sets"], strict=True)
    ]
    return exp(stats.t_interval(logs))


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
    yield "\n## What the columns say\n"
    yield from (f"- **{name}**: {what}" for name, what in LEGEND.items())
    for data in groups:
        first = next(iter(data["candidates"].values()))
        rounds = len(first["sets"][0]["min"])
        yield f"\n## {title(data)}\n"
        shaped = shape(data["shape"])
        yield ("" if shaped.sweep else f"{shaped.sizes['what']}: ") + _shape(first["cell"], data["subject"])
        yield f"{len(first['sets'])} sets of processes, {rounds} rounds each"
        yield f"{_work(first['cell'])}\n" if data["subject"] == "step" else ""
        yield f"| | {' | '.join(LEGEND)} |"
        yield "|---" + "|--:" * len(LEGEND) + "|"
        for name in _fastest_first(data):
            yield f"| {name} | {' | '.join(_row(data, name, data['candidates'][name]))} |"
        gaps = [f"- {name}: {reason}" for name, reason in data["unsupported"].items()]
        yield from ([""] if gaps else []) + gaps
    where: dict[tuple[str, str], list[str]] = {}
    for data in groups:
        where.setdefault((data["facts"]["machine_id"], _where(data["facts"])), []).append(title(data))
    yield ""
    for (machine, place), what in where.items():
        yield f"- {place}" + (f" (machine {machine}): {', '.join(what)}" if len(where) > 1 else "")
    yield from _environments(groups)


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
    cells = [f"{shape}: {_shape(next(iter(found[shape]['candidates'].values()))['cell'], 'step')}" for shape in columns]
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
    _, comma, called = name.partition(",")
    names = [f"{library} stock{comma}{called}" for library in STOCK.get(name.split()[0], ())]
    found = [data["candidates"][name] for name in names if name in data["candidates"]]
    return min(found, key=lambda candidate: seconds(candidate).value, default=None)


def _environments(groups: list[Data]) -> Iterator[str]:
    """The variables of the timed processes: what all have, and what a library has besides."""
    found: dict[str, dict[str, str]] = {}
    for data in groups:
        for name, candidate in data["candidates"].items():
            own = candidate["told"].get("environment", {})
            found.setdefault(name.split()[0], {}).update(data.get("environment", {}) | own)
    told = {name: set(each.items()) for name, each in found.items() if each}
    common = set.intersection(*told.values()) if told else set()
    for who, what in {"the processes": common, **{name: each - common for name, each in told.items()}}.items():
        if what:
            yield f"- environment of {who}: {', '.join(f'{k}={v}' for k, v in sorted(what))}"


def _row(data: Data, name: str, candidate: Data) -> Iterator[str]:
    """As `LEGEND` says."""
    ms, products, sets = seconds(candidate), data["candidates"].get(PRODUCTS), candidate["sets"]
    yield f"{1e3 * ms.value:.4g}"
    yield f"{1e3 * ms.low:.4g} - {1e3 * ms.high:.4g}"
    yield f"{1e3 * statistics.median(s['median'] for s in sets):.4g}"
    together = max(c["cell"].get("steps_per_call", 1) for c in data["candidates"].values())
    enough = all(s["calls"] // together * len(s["min"]) > ENOUGH for s in sets)
    yield f"{1e3 * statistics.median(s['p99'] for s in sets):.4g}" if enough else ""
    yield f"{_tokens(data['subject'], candidate['cell']) / ms.value:,.0f}"
    yield f"{_flops(candidate['cell']) / ms.value / 1e9:.3g}" if data["subject"] == "step" else ""
    yield f"{ratio(products, candidate).value:.2f}" if products else ""
    other = stock(data, name)
    if other and other["cell"] != candidate["cell"]:
        r = ratio(other, candidate)
        yield f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
    else:
        yield ""
    foreign = [s["foreign_per_s"] for s in sets]
    yield "" if None in foreign else f"{max(foreign):.2f}"
    yield f"{candidate['told']['first_s']:.3g}"
    yield f"{candidate['told']['import_s']:.3g}" if name != PRODUCTS else ""


def title(data: Data) -> str:
    """What a group is called."""
    return f"{data['shape']} / {data['arch']} / {data['subject']}"


def _shape(cell: Data, subject: str) -> str:
    o, s = cell["options"], cell["sizes"]
    lengths = f", rows of {o['shortest']} to {o['time']} steps" if "shortest" in o else ""
    deep = f", {s['layers']} layers" if s["layers"] > 1 else ""
    both = ", both ways" if s["bidirectional"] else ""
    read = f"T{o['time']} I{o['features']}" if "time" in o else f"{cell['task']} E{s['embed']}"
    calls = f", {k} updates a call" if (k := cell.get("steps_per_call", 1)) > 1 else ""
    rows = 1 if subject in ONE else cell["batch"]
    size = f"B{rows} {read} H{s['hidden']}{lengths}{deep}{both}{calls}"
    return f"{size}; {cell['precision']}, {cell['threads']} thread(s)"


@functools.cache
def _batch(task: str, options: Options, rows: int) -> tuple[Signature, Batch]:
    made = registry.task(task, **dict(options))
    return made.signature, made.batch("train", 0, 0, rows)


def _net(cell: Cell) -> tuple[Net, Batch]:
    signature, batch = _batch(cell.task, cell.options, cell.batch)
    return Net(registry.arch(cell.arch), signature, cell.sizes), batch


def _flops(told: Data) -> int:
    return network.flops(*_net(Cell.from_json(told)))


def _work(told: Data) -> str:
    """What a training step of a cell is, by formula."""
    cell = Cell.from_json(told)
    net, batch = _net(cell)
    flops, moved = network.flops(net, batch), network.traffic(net, batch, cell.optim, cell.precision)
    count = sum(math.prod(shape) for shape in params.shapes(net).values())
    return (
        f"{count:,} parameters; a training step takes {flops / 1e6:,.0f} MFLOP in products "
        f"and moves {moved / 1e6:.3g} MB at the least, {flops / moved:.0f} FLOP a byte"
    )


def _tokens(subject: str, told: Data) -> int:
    """How many steps of sequences one call reads, or writes."""
    cell = Cell.from_json(told)
    signature, batch = _batch(cell.task, cell.options, 1 if subject in ONE else cell.batch)
    if subject == "decode":
        return cell.batch * signature.longest_target
    return 1 if subject == "stream" else int(batch.lengths.sum())


def _where(facts: Data) -> str:
    """The machine and what was installed on it."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if name != "mlflow")
    return f"{facts['cpu']}, {facts['cores_usable']} cores; {versions}"
