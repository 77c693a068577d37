"""Plan `speed` for people: tables and pictures, drawn from its files alone.

ms       median over sets of the fastest call of a block's rounds, with Student's interval over sets (of its logarithm)
share    the time of the step's matrix products alone, over this: 1 would be a step that does nothing else
ratio    stock / this, paired by round within a set: above 1 it is faster than the framework's own layer
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suite import stats
from suite.perf.plausible import PRODUCTS
from suite.report import targets

STOCK = {"pytorch": ("pytorch",), "tensorflow": ("tensorflow",), "jax": ("flax", "haiku")}  # JAX itself ships none
SHORT = ("small", "braun", "long")  # the columns of the README
Data = dict[str, Any]


def read(results: Path) -> list[Data]:
    """Every group below ``results``/speed. ValueError if there is none."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((results / "speed").glob("*.json"))]
    if not found:
        raise ValueError(f"speed: nothing was measured below {results / 'speed'}; run: python -m suite speed")
    return found


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
        yield f"{_shape(first['cell'])}; {len(first['sets'])} sets of processes, {rounds} rounds each\n"
        yield "| | ms | 95 % | p99, ms | GFLOP/s | share of products | times stock | first call, s | import, s |"
        yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
        for name in _fastest_first(data):
            yield f"| {name} | {' | '.join(_row(data, name, data['candidates'][name]))} |"
        gaps = [f"- {name}: {reason}" for name, reason in data["unsupported"].items()]
        yield from ([""] if gaps else []) + gaps
    facts = groups[0]["facts"]
    yield f"\n{facts['cpu']}, {facts['cores_usable']} cores; {_versions(facts)}"


def short(groups: list[Data]) -> str:
    """A GRU's training step for a README: a row a candidate, a column a shape; the fastest of the first shape first."""
    found = {d["shape"]: d for d in groups if (d["arch"], d["subject"]) == ("gru", "step") and d["shape"] in SHORT}
    shapes = [name for name in SHORT if name in found]
    if not shapes:
        raise ValueError(f"speed: no step of a gru at {', '.join(SHORT)} was measured")
    names = dict.fromkeys(name for shape in shapes for name in _fastest_first(found[shape]))
    lines = [f"| | {' | '.join(shapes)} |", "|---|" + "--:|" * len(shapes)]
    lines += [f"| {name} | {' | '.join(_short(found[shape], name) for shape in shapes)} |" for name in names]
    cells = [f"{shape}: {_shape(next(iter(found[shape]['candidates'].values()))['cell'])}" for shape in shapes]
    facts = found[shapes[0]]["facts"]
    told = f"{facts['cpu']}, {facts['cores_usable']} cores; {_versions(facts)}"
    return "\n".join([*lines, "", *(f"- {cell}" for cell in cells), f"- measured on {told}"])


def _fastest_first(data: Data) -> list[str]:
    return sorted(data["candidates"], key=lambda name: seconds(data["candidates"][name]).value)


def _short(data: Data, name: str) -> str:
    """Milliseconds and half an interval's width in per cent."""
    if name not in data["candidates"]:
        return ""
    i = seconds(data["candidates"][name])
    return f"{1e3 * i.value:.3g} ±{50 * (i.high - i.low) / i.value:.0f} %"


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
    yield f"{1e3 * statistics.median(s['p99'] for s in candidate['sets']):.4g}"
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
    return (
        f"B{cell['batch']} T{o['time']} I{o['features']} H{s['hidden']}{lengths}{deep}{both}; "
        f"{cell['precision']}, {cell['threads']} thread(s)"
    )


def _versions(facts: Data) -> str:
    return ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if name != "mlflow")
