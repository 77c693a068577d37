"""One self-contained page: tables, figures as inline SVG, what the words mean, the machine. No script, no link out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.record import Record
from suite.report import agreement, budget, figures, table
from suite.report.groups import Group, by_task

READING = {
    "score": "mean of the headline metric on the test split over seeds, and half of its 95 % interval: Student's t "
    "over seeds, or over the test's sequences where there is one seed. A floor is what knowing nothing buys; a ceiling "
    "cannot be beaten honestly.",
    "ms/step": "median time of one training step, the device waited for; beside it the middle 90 % of all timed steps. "
    "It says how steps scatter, not how sure the median is.",
    "tokens/s, GFLOP/s": "valid tokens, and analytic floating-point operations, of a step over its median time.",
    "gradient": "global gradient norm before clipping at the last update, mean over seeds.",
    "peak MiB": "largest resident memory of the process; told only for cells that had a fresh process.",
    "first s": "seconds of the first step, in which frameworks trace and compile; never part of ms/step.",
    "seeds": "how many of the planned seeds ended well. What did not run stands below its table with its reason.",
    "agreement": "backends agree where the paired difference over seeds has a 95 % interval that holds 0 or lies "
    f"within {agreement.POINTS} points. Equality is claimed from {agreement.ENOUGH} seeds on.",
}


def facts(records: Sequence[Record]) -> dict[str, str]:
    """Dotted name -> value of every fact; several values where machines or versions differ."""
    found: dict[str, dict[str, None]] = {}
    for r in records:
        for name, value in _leaves(r.facts):
            found.setdefault(name, {})[value] = None
    return {
        name: " | ".join(list(values)[:4]) + (" | ..." if len(values) > 4 else "") for name, values in found.items()
    }


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif value not in (None, ""):
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def inline(svg: Path) -> str:
    """The SVG element of a file: no wider than it was drawn, and its names its own among several figures."""
    text = svg.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="([^"]*)"', r'\1 style="max-width: \2"', text, count=1)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\1{svg.stem}-", text)


def page(groups: Sequence[Group], files: Mapping[str, list[Path]]) -> str:
    """The whole page."""
    from jinja2 import Environment, StrictUndefined

    tasks = []
    for (plan, task), members in by_task(groups).items():
        rows = table.rows(members)
        columns = [c for c in table.COLUMNS if any(r.texts[c] for r in rows)]
        tasks.append({"plan": plan, "name": task, "heading": table.heading(members), "rows": rows, "columns": columns})
    records = [r for g in groups for r in g.records]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.render(
        tasks=tasks,
        plans=list(dict.fromkeys(g.plan for g in groups)),
        cells=len(records),
        ended=sum(r.outcome == "ok" for r in records),
        crashes=[r for r in records if r.log],
        lines=agreement.lines(groups),
        budgets=budget.tables(groups),
        figures=[(name, figures.FIGURES[name].__doc__, inline(paths[0])) for name, paths in files.items()],
        reading=READING,
        facts=facts(records),
    )
