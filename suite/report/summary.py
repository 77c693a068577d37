"""The short table that a README shows: a row a task and architecture, a column a backend; and how a page is filled.

<!-- table:begin -->
... made from the records, replaced as a whole by `fill` ...
<!-- table:end -->
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suite.report.agreement import lines
from suite.report.groups import Group, by_task
from suite.report.table import heading, number, scored


def summary(groups: Sequence[Group]) -> str:
    """Scores and milliseconds a step of every backend side by side, under each task's floor and ceiling."""
    out: list[str] = []
    for (plan, task), members in by_task(groups).items():
        columns = list(dict.fromkeys(f"{g.cell.backend} {g.cell.impl}" for g in members))
        rows: dict[str, dict[str, Group]] = {}
        for g in members:
            rows.setdefault(f"{g.cell.arch} {g.variant}".strip(), {})[f"{g.cell.backend} {g.cell.impl}"] = g
        seeds = max(len(g.records) for g in members)
        out += [f"**{plan} / {task}**, {seeds} seeds: {heading(members)}", ""]
        out += [f"| | {' | '.join(columns)} | {' | '.join(f'{c}, ms/step' for c in columns)} |"]
        out += ["|---|" + "--:|" * (2 * len(columns))]
        for name, by_backend in rows.items():
            found = [by_backend.get(c) for c in columns]
            out.append(f"| {name} | {' | '.join(map(_score, found))} | {' | '.join(map(_speed, found))} |")
        out.append("")
    notes = [*lines(groups), *_machines(groups)]
    return "\n".join([*out, *(f"- {line}" for line in notes)]).strip()


def marks(name: str) -> tuple[str, str]:
    """What stands before and after the block of this name."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def fill(page: Path, block: str, name: str = "table") -> None:
    """Put ``block`` between its marks on a page. ValueError if the page does not have both, once each, in order."""
    begin, end = marks(name)
    text = page.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{page}: needs one line {begin} and after it one line {end}")
    before, rest = text.split(begin)
    page.write_text(f"{before}{begin}\n{block}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def _machines(groups: Sequence[Group]) -> list[str]:
    """What the numbers were measured on: one line a machine and set of versions."""
    told = []
    for r in (r for g in groups for r in g.records):
        names = ("python", "torch", "tensorflow", "jax")
        versions = ", ".join(f"{n} {v}" for n in names if (v := r.facts.get("versions", {}).get(n)))
        where = f"{r.facts.get('cpu', 'unknown processor')}, {r.facts.get('cores', '?')} cores"
        told.append(f"measured on {where}, {r.cell.threads} thread(s) a cell, {r.cell.precision}; {versions}")
    return list(dict.fromkeys(told))


def _score(g: Group | None) -> str:
    if g is None:
        return ""
    return scored(g) if g.score else g.records[0].outcome


def _speed(g: Group | None) -> str:
    return number(g.step_ms.value) if g and g.step_ms else ""
