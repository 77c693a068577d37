"""Plan `speed` for people: one table and one picture a group, drawn from its file alone.

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
from suite.report.style import INK, SETTINGS, panels, save

PRODUCTS = "products"
BARS = {"pytorch": "#D55E00", "tensorflow": "#E69F00", "jax": "#0072B2", "reference": "#767676"}
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
    """speed.md and speed.svg|png in ``out``, from the groups below ``results``."""
    groups = read(results)
    out.mkdir(parents=True, exist_ok=True)
    page = out / "speed.md"
    page.write_text("\n".join(markdown(groups)) + "\n", encoding="utf-8")
    return [page, *save(figure(groups), out / "speed")]


def markdown(groups: list[Data]) -> Iterator[str]:
    """The tables, and under them on what machine, and what could not run."""
    yield "# Speed"
    for data in groups:
        first = next(iter(data["candidates"].values()))
        rounds = len(first["sets"][0]["min"])
        yield f"\n## {_title(data)}\n"
        yield f"{_shape(first['cell'])}; {len(first['sets'])} sets of processes, {rounds} rounds each\n"
        yield "| | ms | 95 % | share of products | times stock | first call, s | import, s |"
        yield "|---|--:|--:|--:|--:|--:|--:|"
        for name, candidate in sorted(data["candidates"].items(), key=lambda item: seconds(item[1]).value):
            yield f"| {name} | {' | '.join(_row(data, name, candidate))} |"
        gaps = [f"- {name}: {reason}" for name, reason in data["unsupported"].items()]
        yield from ([""] if gaps else []) + gaps
    facts = groups[0]["facts"]
    yield f"\n{facts['cpu']}, {facts['cores_usable']} cores; {_versions(facts)}"


def _row(data: Data, name: str, candidate: Data) -> Iterator[str]:
    ms, products = seconds(candidate), data["candidates"].get(PRODUCTS)
    stock = data["candidates"].get(f"{name.split()[0]} stock")
    yield f"{1e3 * ms.value:.4g}"
    yield f"{1e3 * ms.low:.4g} - {1e3 * ms.high:.4g}"
    yield f"{ratio(products, candidate).value:.2f}" if products else ""
    if stock and stock is not candidate:
        r = ratio(stock, candidate)
        yield f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
    else:
        yield ""
    yield f"{statistics.median(s['first_s'] for s in candidate['sets']):.3g}"
    yield f"{statistics.median(s['import_s'] for s in candidate['sets']):.3g}" if name != PRODUCTS else ""


def figure(groups: list[Data]) -> Any:
    """Bars with intervals, a panel a group; the line is where the matrix products alone would end."""
    import matplotlib

    rows = max(len(data["candidates"]) for data in groups)
    with matplotlib.rc_context(SETTINGS):
        made, axes = panels([_title(data) for data in groups], height=0.9 + 0.26 * rows)
        for ax, data in zip(axes, groups, strict=True):
            _panel(ax, data)
        made.suptitle("How long a call takes\n", x=0.01, ha="left", fontsize=13, fontweight="bold")
        told = "median over sets of processes, with a 95 % interval; dashed: the step's matrix products alone"
        made.text(0.0105, 1 - 0.44 / made.get_figheight(), told, fontsize=9, color=INK)
    return made


def _panel(ax: Any, data: Data) -> None:
    drawn = {name: seconds(c) for name, c in data["candidates"].items() if name != PRODUCTS}
    ordered = sorted(drawn.items(), key=lambda item: item[1].value)
    for y, (name, ms) in enumerate(ordered):
        ax.barh(y, 1e3 * ms.value, color=BARS.get(name.split()[0], "#56B4E9"), alpha=0.85, height=0.7)
        ax.plot([1e3 * ms.low, 1e3 * ms.high], [y, y], color=INK, linewidth=1)
    if PRODUCTS in data["candidates"]:
        ax.axvline(1e3 * seconds(data["candidates"][PRODUCTS]).value, color=INK, linestyle=(0, (4, 3)), linewidth=1)
    ax.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds")
    ax.set_xlim(left=0)


def _title(data: Data) -> str:
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
