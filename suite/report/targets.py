"""What plan `speed` aims at beside what was measured: suite/perf/targets.toml and the ratios of its groups."""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import suite.perf
from suite.stats import Interval

FILE = Path(suite.perf.__file__).with_name("targets.toml")
Data = dict[str, Any]
Ratio = Callable[[Data, Data], Interval]


def markdown(groups: list[Data], ratio: Ratio) -> Iterator[str]:
    """A table of every target, with what was measured; nothing where nothing was."""
    steps = {(data["shape"], data["arch"]): data["candidates"] for data in groups if data["subject"] == "step"}
    rows, any_measured = [], False
    for target in tomllib.loads(FILE.read_text(encoding="utf-8"))["target"]:
        candidates = steps.get((target["shape"], target["arch"]), {})
        for aimed in target["ratios"]:
            slow, fast = _fastest(candidates, aimed["slow"]), _fastest(candidates, aimed["fast"])
            measured = " | not measured"
            if slow in candidates and fast in candidates:
                any_measured, r = True, ratio(candidates[slow], candidates[fast])
                measured = f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}] | {verdict(r, aimed['must'])}"
            what = f"{target['shape']} | {target['arch']} | {slow.replace(' | ', ' or ')} / {fast}"
            rows.append(f"| {what} | {aimed['must']:.3g} | {aimed['aim']:.3g} | {measured} |")
    if any_measured:
        yield "\n## Targets\n"
        yield "A ratio of times, paired by round; met or missed where the whole 95 % interval lies on one side.\n"
        yield "| shape | architecture | ratio | at least | aim | measured | |"
        yield "|---|---|---|--:|--:|--:|---|"
        yield from rows


def verdict(r: Interval, least: float) -> str:
    """Whether an interval lies above a bound, below it, or on both sides."""
    if r.low >= least:
        return "met"
    return "missed" if r.high < least else f"open, the estimate {'above' if r.value >= least else 'below'}"


def _fastest(candidates: Data, name: str) -> str:
    """ "best jax" -> the fastest candidate of jax but for native; "a | b" -> the faster; any other name is its own."""
    of = [n for n in name.split(" | ") if n in candidates]
    if name.startswith("best "):
        of = [n for n in candidates if n.startswith(f"{name[5:]} ") and "," not in n and "native" not in n]
    return min(of, key=lambda n: statistics.median(m for s in candidates[n]["sets"] for m in s["min"]), default=name)
