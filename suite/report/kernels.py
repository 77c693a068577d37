"""What the files of plan `speed` say, in numbers, and a GRU's table for a README; the page is ``speed_page``."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

from suite import registry, stats
from suite.perf.paired import exp
from suite.perf.shapes import shapes
from suite.report.table import number

# whose layer a backend is compared with, the fastest of them; JAX itself ships none
STOCK = {"pytorch": ("pytorch",), "tensorflow": ("tensorflow", "keras_jit"), "jax": ("flax", "haiku")}
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
    names = dict.fromkeys(name for shape in columns for name in fastest_first(found[shape]))
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    lines += [f"| {called(name)} | {' | '.join(_short(found[shape], name) for shape in columns)} |" for name in names]
    cells = [f"{shape}: {size(next(iter(found[shape]['candidates'].values()))['cell'], 'step')}" for shape in columns]
    told = f"- measured on {place(found[columns[0]]['facts'])}"
    return "\n".join([*lines, "", *(f"- {cell}" for cell in cells), told])


def fastest_first(data: Data) -> list[str]:
    """The names of a group's candidates."""
    return sorted(data["candidates"], key=lambda name: seconds(data["candidates"][name]).value)


def _short(data: Data, name: str) -> str:
    """Milliseconds and half an interval's width in per cent."""
    if name not in data["candidates"]:
        return ""
    i = seconds(data["candidates"][name])
    return f"{number(1e3 * i.value)} ±{50 * (i.high - i.low) / i.value:.0f} %"


def called(name: str) -> str:
    """A candidate's name, and whether it is other people's layer."""
    return f"{name} (peer)" if name.split()[0] in registry.PEERS else name


def stock(data: Data, name: str) -> str | None:
    """The layer that a candidate is compared with: its framework's own, or what people take in its place."""
    _, comma, called = name.partition(",")
    names = [f"{library} stock{comma}{called}" for library in STOCK.get(name.split()[0], ())]
    found = [name for name in names if name in data["candidates"]]
    return min(found, key=lambda name: seconds(data["candidates"][name]).value, default=None)


def title(data: Data) -> str:
    """What a group is called."""
    return f"{data['shape']} / {data['arch']} / {data['subject']}"


def size(cell: Data, subject: str) -> str:
    """What is timed, in letters and numbers."""
    o, s = cell["options"], cell["sizes"]
    lengths = f", rows of {o['shortest']} to {o['time']} steps" if "shortest" in o else ""
    deep = f", {s['layers']} layers" if s["layers"] > 1 else ""
    both = ", both ways" if s["bidirectional"] else ""
    read = f"T{o['time']} I{o['features']}" if "time" in o else f"{cell['task']} E{s['embed']}"
    calls = f", {k} updates a call" if (k := cell.get("steps_per_call", 1)) > 1 else ""
    rows = 1 if subject in ONE else cell["batch"]
    sizes = f"B{rows} {read} H{s['hidden']}{lengths}{deep}{both}{calls}"
    return f"{sizes}; {cell['precision']}, {cell['threads']} thread(s)"


def place(facts: Data) -> str:
    """The machine and what was installed on it."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if name != "mlflow")
    return f"{facts['cpu']}, {facts['cores_usable']} cores; {versions}"
