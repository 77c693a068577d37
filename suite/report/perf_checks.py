"""What `tests.perf.overhead` and `tests.perf.canary` found, as lines of JSON below <results>/checks, for speed.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Found = dict[str, Any]
LIMITS = {"norms": 1.03, "profile": 1.05}  # of the time of a step without: what the upper end may be
ABOUT = ("at", "revision", "cpu")
NEEDED = {  # what a line of either file has
    "overhead.jsonl": ("backend", "impl", "arch", "hidden", *LIMITS, *ABOUT),
    "canary.jsonl": ("slow", "min_effect", "minutes", "cells", *ABOUT),
}
CELL = ("backend", "impl", "arch", "hidden")
WHAT = {
    "norms": "every parameter's gradient norm, and the global one",
    "profile": "the gradient's norm at every time step",
}


@dataclass(frozen=True, slots=True)
class Checks:
    """The lines of overhead.jsonl, the last of each cell, and those of canary.jsonl."""

    overhead: tuple[Found, ...]
    canary: tuple[Found, ...]


NONE = Checks((), ())


def read(results: Path) -> Checks:
    """What there is below ``results``/checks. ValueError, with the file and the line, for one that is neither's."""
    overhead, canary = (list(_lines(results / "checks" / name, needed)) for name, needed in NEEDED.items())
    last = {tuple(one[name] for name in CELL): one for one in overhead}
    return Checks(tuple(last.values()), tuple(canary))


def markdown(checks: Checks) -> Iterator[str]:
    """What it costs to watch the gradients, and how often `compare` erred; nothing of what was not measured."""
    if checks.overhead:
        yield "\n## What watching costs\n"
        yield "A step with / a step without, blocks in turn in one process, and several such processes"
        yield "(`python -m tests.perf.overhead`); met where the upper end of the 95 % interval is within the limit.\n"
        yield "| | | what | at most | measured | | |"
        yield "|---|---|---|--:|--:|---|---|"
    for one in checks.overhead:
        for name, limit in LIMITS.items():
            r = one[name]
            said = "met" if r["high"] <= limit else "missed" if r["low"] > limit else "open"
            measured = f"{r['ratio']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
            cell = f"{one['backend']} {one['impl']} | {one['arch']} H{one['hidden']}"
            yield f"| {cell} | {WHAT[name]} | {limit:.2f} | {measured} | {said} | {_when(one)} |"
    if checks.canary:
        yield "\n## How often `compare` errs\n"
        yield "Whole comparisons of a checkout with itself, or with one whose kernel is slower"
        yield "(`python -m tests.perf.canary`).\n"
        yield "| HEAD | cell | least effect | comparisons | verdicts | minutes each | |"
        yield "|---|---|--:|--:|---|--:|---|"
    for one in checks.canary:
        head = f"PyTorch's loop waits {one['slow']} % of each step forward" if one["slow"] else "the same"
        minutes = f"{min(one['minutes']):.1f} to {max(one['minutes']):.1f}"
        for cell, verdicts in one["cells"].items():
            counted = ", ".join(f"{verdict} {n}" for verdict, n in verdicts.items())
            times = one.get("ratios", {}).get(cell)  # an older line has none, a cell that was not timed neither
            counted += f" ({min(times):.3f} to {max(times):.3f} times)" if times else ""
            measured = f"{one['min_effect']:.0%} | {sum(verdicts.values())} | {counted} | {minutes} | {_when(one)}"
            yield f"| {head} | {cell} | {measured} |"


def _when(one: Found) -> str:
    """Day, revision and machine."""
    return f"{one['at'][:10]}, {one['revision'][:12]}, {one['cpu']}"


def _lines(path: Path, needed: tuple[str, ...]) -> Iterator[Found]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else ()):
        try:
            one = json.loads(line)
            [one[name] for name in needed]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: line {number + 1} is none that was appended here ({error!r})") from error
        yield one
