"""Records for a repository: the result, the gradient flow, and curves thinned to what figures show.

Weights and logs stay behind, and so do plans' worker folders; the original folder is not touched.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite import record

POINTS = 24
STEPS = 128
DIGITS = 5


def publish(results: Path, out: Path, plan: str, curves: bool = True) -> int:
    """Copy a plan's records from ``results`` to ``out``/<plan>/<key>; how many. ValueError if there is none.

    Of each curve ``POINTS`` points are kept at the most, evenly spaced and with the last, without the norms of single
    parameters; validation scores stand in the record itself. Of the timed steps ``STEPS`` evenly spaced ones stay, with
    ``DIGITS`` digits of their seconds: the rest is noise. ``curves``: without, only results and gradient flow.
    """
    if results.resolve() == out.resolve():
        raise ValueError(f"publish: {out} is where the records are; name another folder with --results")
    found = [r for r in record.read_all(results / plan) if r.plan == plan]
    if not found:
        raise ValueError(f"publish: no record of plan {plan!r} below {results}; run it first")
    for r in found:
        source, target = results / plan / r.key, out / plan / r.key
        target.mkdir(parents=True, exist_ok=True)
        steps = r.step_s[:: -(-len(r.step_s) // STEPS) or 1]
        record.write(replace(r, step_s=tuple(float(f"{s:.{DIGITS}g}") for s in steps)), target)
        if curves:
            (target / "metrics.jsonl").write_text("".join(_thinned(source)), encoding="utf-8")
        if (source / "flow.npz").exists():
            shutil.copyfile(source / "flow.npz", target / "flow.npz")
    return len(found)


def _thinned(source: Path) -> list[str]:
    points = [p for p in record.points(source) if not any(name.startswith("eval/") for name in p["values"])]
    every = -(-len(points) // POINTS) or 1
    return [_line(point) for point in points[::-every][::-1]]


def _line(point: dict[str, Any]) -> str:
    shown = {name: x for name, x in point["values"].items() if record.watched(name)}
    return json.dumps(point | {"values": shown}) + "\n"
