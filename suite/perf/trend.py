"""The speed of a few cells night after night, each beside a fixed matrix product: a line to look at, not a gate.

    record    one JSON line: {"at", "revision", "machine", "cells": {name: {"step_ms", "gemm_ms", "gemm_ratio"}}}
    alert     the median of the last `RECENT` nights is more than `ALERT` above that of the `BEFORE` nights before them

The product is done in turn with the step, so that a slower night makes both slow; measured, it explains about half of
what days differ by. Nights count together only where processor and cores are the same: a hired machine is another one
every night, with the same name or without.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from suite import clock, facts
from suite.perf import paired
from suite.perf.driver import Probe, ProbeFailed
from suite.perf.paired import Pair
from suite.spec.cell import Cell
from suite.spec.contract import Sizes

RECENT, BEFORE, FEWEST = 3, 20, 5  # nights; before fewer than FEWEST nothing is said
ALERT = 0.05
PAIRS = 3
GEMM = Cell(
    task="hmm_tag",
    arch="gru",
    backend="reference",
    options=(("test_size", 2), ("time", 30), ("val_size", 2)),
    sizes=Sizes(hidden=128, embed=64),
    batch=32,
)  # whose matrix products are what every cell is measured beside; nothing of it is trained

Night = dict[str, Any]
Measure = Callable[[Cell, int], Pair]  # the fixed product and the cell in turn, the number of the pair


def measure(cell: Cell, number: int) -> Pair:
    """One pair of fresh processes: the fixed product, and the cell's step, once held against the oracle."""
    return paired.measure(lambda: Probe(GEMM, "gemm"), lambda: Probe(cell, "step", check=number == 0), number=number)


def night(cells: Iterable[Cell], say: Callable[[str], None], measure: Measure = measure) -> Night:
    """Measure them: medians over `PAIRS` pairs. A cell that fails is said and left out; ValueError where all do."""
    about = facts.facts()
    found = {}
    for cell in cells:
        try:
            pairs = [measure(cell, number) for number in range(PAIRS)]
        except ProbeFailed as reason:
            say(f"LEFT OUT {cell.name}: {reason}")
            continue
        ratio = math.exp(statistics.median(pair.log_ratio for pair in pairs))
        found[cell.name] = {
            "gemm_ratio": ratio,
            "step_ms": 1e3 * statistics.median(statistics.median(pair.head_min) for pair in pairs),
            "gemm_ms": 1e3 * statistics.median(statistics.median(pair.base_min) for pair in pairs),
        }
        say(f"{cell.name}: {found[cell.name]['step_ms']:.3g} ms, {ratio:.3g} times the matrix products")
    if not found:
        raise ValueError("trend: no cell could be measured, so that there is no night to add")
    machine = {name: about[name] for name in ("machine_id", "cpu", "cores_usable")}
    return {"at": clock.stamp(), "revision": about["git"], "machine": machine, "cells": found}


def read(path: Path) -> list[Night]:
    """The nights in a file, the oldest first. ValueError, with the line's number, for one that is none."""
    nights = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else ()):
        try:
            one = json.loads(line)
            [cell["gemm_ratio"] for cell in one["cells"].values()], one["machine"]["cpu"], one["at"]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path}: line {number + 1} is no night of a trend ({error!r})") from error
        nights.append(one)
    return nights


def append(path: Path, one: Night) -> None:
    """Add a night to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(one, allow_nan=False) + "\n")


def alerts(nights: Sequence[Night]) -> Iterator[str]:
    """Each cell of the last night that has become slower, by its ratio to the matrix products."""
    if not nights:
        return
    kind = _kind(nights[-1])
    like = [one for one in nights if _kind(one) == kind]
    for name in nights[-1]["cells"]:
        line = [one["cells"][name]["gemm_ratio"] for one in like if name in one["cells"]]
        recent, before = line[-RECENT:], line[-RECENT - BEFORE : -RECENT]
        if len(before) >= FEWEST:
            now, was = statistics.median(recent), statistics.median(before)
            if not now <= was * (1 + ALERT):
                yield f"{name}: {now:.3g} times the matrix products in the last {RECENT} nights, {was:.3g} before"


def _kind(one: Night) -> tuple[Any, Any]:
    return one["machine"]["cpu"], one["machine"].get("cores_usable")
