"""speed.md: what was aimed at, where a framework's own layer is the faster, and a table of every group.

`LEGEND` says what stands in the columns, `NAMES` who is who.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterator
from pathlib import Path

from suite import registry
from suite.perf.plausible import PRODUCTS
from suite.perf.shapes import shape
from suite.report import perf_checks, targets
from suite.report.kernels import ONE, Data, called, fastest_first, place, ratio, read, seconds, size, stock, title
from suite.spec import network, params
from suite.spec.cell import Cell, Options
from suite.spec.contract import Batch, Net, Signature

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
    "share of products": "the time of a call's matrix products alone, done by NumPy's library in the same rounds, over"
    " the time of the call: 1 would be a call that does nothing else, in products of that speed. A call of one sequence"
    " has none, for NumPy's calls take longer than such products, nor has decoding",
    "times stock": "stock / this, paired by round: above 1 it is faster than its framework's own layer; JAX has none,"
    " and flax or haiku stands for it. Of TensorFlow's with and without XLA, and of flax and haiku, the faster that"
    " was timed: each table names them",
    "others": "processors that other processes used meanwhile, in the worst set, as far as ticks of 10 ms tell;"
    " a group whose middle set saw more than 0.1 is not written",
    "first call, s": "with tracing and compiling, once, in a process that has the machine for itself",
    "import, s": "of the framework, and of setting it up, once",
}
ENOUGH = 100  # calls of a set, for its 99th percentile not to be its slowest call
NAMES = {
    "B, T, I, H, E": "rows of a batch, time steps, features, hidden units, and how wide an embedding is",
    PRODUCTS: "the matrix products of a call alone, by NumPy's library: a mark to compare with",
    "stock": "the framework's own layer",
    "scan, scan-compiled": "this suite's loop over time, differentiated by the framework; and the same compiled",
    "fused": "the loop with a derivative by hand; in JAX and TensorFlow compiled by XLA",
    "native": "one C++ kernel each way behind PyTorch, built once on first use, in half a minute, and kept: that"
    " is in no column. For one step without a way back, as in a stream, it is scan, and so is PyTorch's fused",
    "(peer)": "other people's layers, with the same weights: torch_cells loops over torch.nn's cells, keras_jit is"
    " Keras' layers in an update that XLA compiles",
}
OURS = ("fused", "native")


def write(results: Path, out: Path) -> list[Path]:
    """speed.md and the pictures in ``out``, from the groups below ``results``."""
    from suite.report import kernel_figures

    groups = read(results)
    out.mkdir(parents=True, exist_ok=True)
    page = out / "speed.md"
    page.write_text("\n".join(markdown(groups, perf_checks.read(results))) + "\n", encoding="utf-8")
    return [page, *kernel_figures.write(groups, out)]


def markdown(groups: list[Data], checks: perf_checks.Checks = perf_checks.NONE) -> Iterator[str]:
    """What was aimed at, the tables, and under them on what machine, and what could not run."""
    yield "# Speed"
    yield from _pictures(groups)
    yield from targets.markdown(groups, ratio)
    yield from perf_checks.markdown(checks)
    yield from _slower(groups)
    yield "\n## What the names say\n"
    yield from (f"- **{name}**: {what}" for name, what in NAMES.items())
    yield "\n## What the columns say\n"
    yield from (f"- **{name}**: {what}" for name, what in LEGEND.items())
    for data in groups:
        yield from _group(data)
    where: dict[tuple[str, str], list[str]] = {}
    for data in groups:
        where.setdefault((data["facts"]["machine_id"], place(data["facts"])), []).append(title(data))
    yield ""
    for (machine, at), what in where.items():
        yield f"- {at}" + (f" (machine {machine}): {', '.join(what)}" if len(where) > 1 else "")
    yield from _environments(groups)


def _pictures(groups: list[Data]) -> Iterator[str]:
    """The bars of the first architecture, and how cost grows."""
    bars = [data for data in groups if not shape(data["shape"]).sweep]
    if bars:
        yield f"\n![milliseconds a call, as bars](speed-{bars[0]['arch']}.svg)"
    if len(bars) < len(groups):
        yield "\n![milliseconds a step over the width and the length, on logarithmic axes](scaling.svg)"
    yield "\n`python -m suite speed --draw --results FOLDER` makes these, and the bars of every architecture, from the"
    yield "records in FOLDER/speed and FOLDER/checks."


def _slower(groups: list[Data]) -> Iterator[str]:
    """Each group in which a stock layer is faster than a kernel of this suite, by the whole interval."""
    rows = []
    for data in groups:
        for name, candidate in data["candidates"].items():
            other = stock(data, name)
            if name.partition(",")[0].split()[-1] in OURS and other:
                r = ratio(candidate, data["candidates"][other])
                if r.low > 1:
                    times = f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
                    rows.append(f"| {title(data)} | {called(other)} | {name} | {times} |")
    if rows:
        yield "\n## Where a stock layer is the faster\n"
        yield "| | faster | slower | times, by a 95 % interval above 1 |"
        yield "|---|---|---|--:|"
        yield from rows


def _group(data: Data) -> Iterator[str]:
    """One table, and what could not run."""
    first = next(iter(data["candidates"].values()))
    rounds, shaped = len(first["sets"][0]["min"]), shape(data["shape"])
    yield f"\n## {title(data)}\n"
    yield "- " + ("" if shaped.sweep else f"{shaped.sizes['what']}: ") + size(first["cell"], data["subject"])
    yield f"- {len(first['sets'])} sets of processes, {rounds} rounds each"
    yield f"- measured on {data['started'][:10]}, of revision {data['facts']['git'][:12]}"
    beside = dict.fromkeys(filter(None, (stock(data, name) for name in data["candidates"])))
    yield f"- times stock is beside {', '.join(map(called, beside))}" if beside else "- no stock layer beside these"
    yield f"- {_work(first['cell'])}\n" if data["subject"] == "step" else ""
    yield f"| | {' | '.join(LEGEND)} |"
    yield "|---" + "|--:" * len(LEGEND) + "|"
    for name in fastest_first(data):
        yield f"| {called(name)} | {' | '.join(_row(data, name, data['candidates'][name]))} |"
    gaps = [f"- {name}: {reason}" for name, reason in data["unsupported"].items()]
    yield from ([""] if gaps else []) + gaps


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
    if other not in (None, name):
        r = ratio(data["candidates"][other], candidate)
        yield f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
    else:
        yield ""
    foreign = [s["foreign_per_s"] for s in sets]
    yield "" if None in foreign else f"{max(foreign):.2f}"
    yield f"{candidate['told']['first_s']:.3g}"
    yield f"{candidate['told']['import_s']:.3g}" if name != PRODUCTS else ""


@functools.cache
def _batch(task: str, options: Options, rows: int) -> tuple[Signature, Batch]:
    made = registry.task(task, **dict(options))
    return made.signature, made.batch("train", 0, 0, rows)


def _net(cell: Cell) -> tuple[Net, Batch]:
    signature, batch = _batch(cell.task, cell.options, cell.batch)
    return Net(registry.arch(cell.arch), signature, cell.sizes), batch


def _flops(told: Data) -> int:
    return network.flops(*_net(Cell.from_json(told)))


def _tokens(subject: str, told: Data) -> int:
    """How many steps of sequences one call reads, or writes."""
    cell = Cell.from_json(told)
    signature, batch = _batch(cell.task, cell.options, 1 if subject in ONE else cell.batch)
    if subject == "decode":
        return cell.batch * signature.longest_target
    return 1 if subject == "stream" else int(batch.lengths.sum())


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
