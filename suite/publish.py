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

POINTS = 32
STEPS = 128
DIGITS = 5


def publish(results: Path, out: Path, plan: str) -> int:
    """Copy a plan's records from ``results`` to ``out``/<plan>/<key>; how many. ValueError if there is none.

    Of each curve the points of validation are kept and, of the others, ``POINTS`` at the most, evenly spaced and with
    the last, without the norms of single parameters. Of the timed steps as many evenly spaced ones stay as make a
    median, ``STEPS`` of them, with ``DIGITS`` digits of their seconds: the rest is noise.
    """
    if results.resolve() == out.resolve():
        raise ValueError(f"publish: {out} is where the records are; name another folder with --results")
    found = [r for r in record.read_all(results / plan) if r.plan == plan]
    if not found:
        raise ValueError(f"publish: no record of plan {plan!r} below {results}; run it first")
    for r in found:
        source, target = results / plan / r.key, out / plan / r.key
        target.mkdir(parents=True, exist_ok=True)
        every = -(-len(r.step_s) // STEPS) or 1
        record.write(replace(r, step_s=tuple(float(f"{s:.{DIGITS}g}") for s in r.step_s[::every])), target)
        points = list(record.points(source))
        lines = [_line(point) for k, point in enumerate(points) if _kept(k, len(points), point["values"])]
        (target / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
        if (source / "flow.npz").exists():
            shutil.copyfile(source / "flow.npz", target / "flow.npz")
    return len(found)


def _kept(k: int, count: int, values: dict[str, float]) -> bool:
    every = -(-count // POINTS)
    return (count - 1 - k) % every == 0 or any(name.startswith("eval/") for name in values)


def _line(point: dict[str, Any]) -> str:
    shown = {name: x for name, x in point["values"].items() if record.watched(name)}
    return json.dumps(point | {"values": shown}) + "\n"
