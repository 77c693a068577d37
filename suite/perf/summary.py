"""A comparison for people and programs: lines for a terminal, Markdown for a pull request, JSON for a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from suite import stats
from suite.perf.outcome import Comparison, Row
from suite.perf.tree import Tree
from suite.perf.verdict import ALPHA

HEAD = (
    "cell",
    "verdict",
    "HEAD / BASE",
    "interval",
    "bootstrap",
    "pairs",
    "detects",
    "BASE ms",
    "HEAD ms",
    "medians, ms",
)
LOUD = {
    "REGRESSED": "slower, seen twice",
    "CHANGED": "not the same work; no clock is needed to see it",
    "MISSING": "BASE runs these, HEAD does not",
    "CRASHED": "ended with an error",
    "UNRELIABLE": "this machine, now, cannot tell BASE from itself: no speed is told",
    "INCONCLUSIVE": "neither slower nor as fast: measure with more pairs, or on a quieter machine",
    "NEW": "HEAD alone runs these: nothing to compare with",
    "SKIPPED": "neither side runs these here",
}


def terminal(found: Comparison, strict: bool = False) -> str:
    """The table, the machine, and what there is to say about every cell that is not well."""
    rows = [HEAD, *(_columns(row) for row in found.rows)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    table = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([_title(found), "", *table, "", *_notes(found), *_about(found), _end(found, strict)])


def markdown(found: Comparison, strict: bool = False) -> str:
    """The same, as Markdown."""
    rows = [HEAD, *(_columns(row) for row in found.rows)]
    table = [f"| {' | '.join(text.replace('|', '/') for text in row)} |" for row in rows]
    table.insert(1, "|---" * 2 + "|--:" * (len(HEAD) - 2) + "|")
    notes = [f"- {line}" for line in (*_notes(found), *_about(found))]
    return "\n".join([f"### {_title(found)}", "", *table, "", *notes, "", f"**{_end(found, strict)}**", ""])


def as_json(found: Comparison, strict: bool = False) -> str:
    """All of it; seconds and ratios as they are."""
    data = {
        "base": _side(found.base),
        "head": _side(found.head),
        "settings": asdict(found.settings),
        "exit_code": found.exit_code(strict),
        "canary": _row(found.canary) if found.canary else None,
        "cells": [_row(row) for row in found.rows],
        "machine": found.machine,
        "started": found.started,
        "took_s": found.took_s,
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def metrics(found: Comparison) -> dict[str, float]:
    """What MLflow plots: "ratio/<cell>" and so on, one slash a name."""
    out: dict[str, float] = {}
    for row in found.rows:
        name = row.cell.name.replace("/", ".")
        if row.looks:
            last = row.looks[-1]
            out |= {f"ratio/{name}": last.ratio.value, f"ratio_low/{name}": last.ratio.low}
            out |= {f"ratio_high/{name}": last.ratio.high, f"detects/{name}": last.detects}
            out |= {f"base_ms/{name}": 1e3 * row.base_s, f"head_ms/{name}": 1e3 * row.head_s}
            out |= {f"base_median_ms/{name}": 1e3 * row.base_median_s}
            out |= {f"head_median_ms/{name}": 1e3 * row.head_median_s}
    return out


def _title(found: Comparison) -> str:
    return f"compare: HEAD {found.head} against BASE {found.base}"


def _columns(row: Row) -> tuple[str, ...]:
    if not row.looks:
        return (row.cell.name, row.outcome, *["-"] * (len(HEAD) - 2))
    last = row.looks[-1]
    return (
        row.cell.name,
        row.outcome,
        f"{last.ratio.value:.3f}",
        _ends(last.ratio),
        _ends(last.bootstrap),
        str(last.ratio.n),
        f"{last.detects:+.1%}",
        f"{1e3 * row.base_s:.3g}",
        f"{1e3 * row.head_s:.3g}",
        f"{1e3 * row.base_median_s:.3g}, {1e3 * row.head_median_s:.3g}",
    )


def _ends(interval: stats.Interval) -> str:
    return f"[{interval.low:.3f}, {interval.high:.3f}]"


def _notes(found: Comparison) -> Iterator[str]:
    """One line a kind of trouble, then the reasons of each cell."""
    for outcome, meaning in LOUD.items():
        rows = [row for row in found.rows if row.outcome == outcome]
        if rows:
            yield f"{outcome} ({len(rows)} of {len(found.rows)}): {meaning}"
            one = outcome == "UNRELIABLE"  # for the same reason, all of them
            reasons = (reason if one else f"{row.cell.name}: {reason}" for row in rows for reason in row.reasons)
            yield from (f"  {line}" for line in dict.fromkeys(reasons))
    for row in found.rows:
        yield from (f"{row.cell.name}: {text}" for text in row.intended)
        if row.base and row.head and row.base.ran != row.head.ran:
            yield f"{row.cell.name} runs {row.head.ran}, ran {row.base.ran}"


def _about(found: Comparison) -> Iterator[str]:
    about, settings = found.machine, found.settings
    if found.canary and found.canary.looks:
        ratio = found.canary.looks[-1].ratio
        yield f"BASE against itself: {ratio.value:.3f} {_ends(ratio)} on {found.canary.cell.name}"
    if not settings.exact:
        yield (
            f"least effect {settings.delta:.1%}; intervals of {1 - 2 * ALPHA:.1%}, up to {settings.looks[-1]} pairs of "
            f"processes; {found.took_s / 60:.1f} min"
        )
    busy = ""
    if about["product_ms"] is not None:
        least, most = about["product_ms"]
        product = f"a fixed matrix product took {least:.3g} to {most:.3g} ms around the pairs"
        busy = f", {about['cpu_per_s']:.2f} cpu s a timed s, {about['switches']} switches; {product}"
    yield (
        f"{about['cpu']}, {about['cores_usable']} cores, governor {about['governor']}, load {about['load_before']} "
        f"before and {about['load_after']} after, {about['steal']:.1%} stolen{busy}"
    )


def _end(found: Comparison, strict: bool) -> str:
    code = found.exit_code(strict)
    said = {
        0: "no cell is slower",
        1: "slower, or not the same work",
        3: "inconclusive, and --strict",
        4: "the machine is too noisy to tell",
        5: "a cell is missing in HEAD, or crashed",
    }
    open_ = sum(row.outcome == "INCONCLUSIVE" for row in found.rows)
    tail = f", BUT {open_} OF {len(found.rows)} CELLS ARE INCONCLUSIVE" if code == 0 and open_ else ""
    exact = ", by the gates that need no clock" if found.settings.exact and code == 0 else ""
    before = "as before" + " but for what is intended" * any(row.intended for row in found.rows)
    return f"{before if exact else said[code]}{tail}{exact} (exit code {code})"


def _side(tree: Tree) -> dict[str, str]:
    return {"name": tree.name, "revision": tree.revision, "path": str(tree.path), "python": str(tree.python)}


def _row(row: Row) -> dict[str, Any]:
    return asdict(row) | {"cell": row.cell.as_json(), "name": row.cell.name, "key": row.cell.key}
