"""Scores at equal seconds: what each architecture had reached when the fastest of its task and backend had finished.

The validation score at or before that time, mean over seeds; seconds of training steps alone, without compilation. A
task whose groups are not of the same plan, backend and implementation is not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suite.report.groups import Group, by_task
from suite.report.table import number


def reached(g: Group, seconds: float) -> float | None:
    """The mean over seeds of the last validation score within ``seconds``; None where a seed had none yet."""
    found = [[p[g.metric] for p in r.curve if g.metric in p and p.get("train_s", 0.0) <= seconds] for r in g.ok]
    return sum(curve[-1] for curve in found) / len(found) if found and all(found) else None


def train_s(g: Group) -> float:
    """Seconds of training to the end, mean over seeds."""
    return sum(r.curve[-1]["train_s"] for r in g.ok) / len(g.ok)


def columns(groups: Iterable[Group]) -> dict[str, list[Group]]:
    """Backend and implementation -> the groups of several architectures that were timed there."""
    out: dict[str, list[Group]] = {}
    for g in groups:
        if g.mean_step_s and any(r.curve for r in g.ok):  # packed cells have no seconds
            out.setdefault(f"{g.cell.backend} {g.cell.impl}", []).append(g)
    return {name: members for name, members in out.items() if len({g.cell.arch for g in members}) > 1}


@dataclass(frozen=True, slots=True)
class Budget:
    """One task: for each column its budget of seconds, for each architecture what it had reached by then."""

    title: str
    columns: list[str]
    rows: list[list[str]]  # the architecture, then a score a column


def tables(groups: Sequence[Group]) -> list[Budget]:
    """A table a task that has something to compare."""
    out = []
    for (plan, task), members in by_task(groups).items():
        compared = columns(members)
        if not compared:
            continue
        seconds = {name: min(map(train_s, found)) for name, found in compared.items()}
        scores: dict[str, dict[str, str]] = {}
        for name, found in compared.items():
            for g in found:
                score = reached(g, seconds[name])
                own = scores.setdefault(f"{g.cell.arch} {g.variant}".strip(), {})
                own[name] = "" if score is None else f"{score:.4f}"
        title = f"{plan} / {task}: validation {members[0].metric} at equal seconds"
        heads = [f"{name}, {number(seconds[name])} s" for name in compared]
        out.append(Budget(title, heads, [[arch, *(own.get(n, "") for n in compared)] for arch, own in scores.items()]))
    return out


def markdown(groups: Sequence[Group]) -> str:
    """The tables in Markdown."""
    out = []
    for t in tables(groups):
        out += [f"### {t.title}", "", f"| | {' | '.join(t.columns)} |", "|---|" + "--:|" * len(t.columns)]
        out += [f"| {' | '.join(row)} |" for row in t.rows] + [""]
    return "\n".join(out).strip()
