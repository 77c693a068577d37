"""Records -> rows -> a table as text or Markdown. One row a group of seeds; grouped by task under floor and ceiling.

    score      mean over seeds +- half a 95 % interval (over seeds; with one seed over the test's sequences)
    ms/step    median, and the middle 90 % of all timed steps
    tokens/s   valid tokens over all timed steps by their seconds; GFLOP/s likewise
    gradient   global norm of the last update's gradient, before clipping
    first s    seconds of the first step, which compiles
    peak MiB   only where the cell had a fresh process

A score marked "!" beats a ceiling by more than three standard errors: look for a leak before anything else.
A score marked "†" comes from a plan that stops before convergence: it compares implementations, not architectures.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suite.record import Record
from suite.report.agreement import beaten, lines
from suite.report.groups import Group, by_task, group
from suite.stats import Interval

COLUMNS = {  # name -> what it costs to leave it out: the lowest go first where the terminal is narrow
    "cell": 99,
    "score": 98,
    "ms/step": 97,
    "5-95 %": 4,
    "tokens/s": 8,
    "GFLOP/s": 6,
    "MFLOP/step": 3,
    "gradient": 7,
    "parameters": 5,
    "peak MiB": 2,
    "first s": 1,
    "seeds": 9,
}
ANY = 10_000  # columns: no limit


@dataclass(frozen=True, slots=True)
class Row:
    """One line: the group, its cells of text by column, and a remark (why it or some of its seeds did not run)."""

    group: Group
    texts: dict[str, str]
    remark: str = ""


def number(x: float, digits: int = 3) -> str:
    """``digits`` significant digits, no exponent between 1e-4 and 1e15, thousands apart.

    >>> [number(v) for v in (0.01234, 12.345, 123456.0, 0.0, 2.5e-7)]
    ['0.0123', '12.3', '123 456', '0', '2.5e-07']
    """
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    power = math.floor(math.log10(abs(x)))
    if power < -4 or power > 14:
        return f"{x:.{digits - 1}g}"
    return f"{x:,.{max(0, digits - 1 - power)}f}".replace(",", " ")


def short(x: float) -> str:
    """Three digits and a letter for thousands: "766k", "1.92M".

    >>> [short(v) for v in (12.3, 765974, 1917411, 2.5e9)]
    ['12.3', '766k', '1.92M', '2.50G']
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= 0.9995 * size:
            return number(x / size) + letter
    return number(x)


def measured(i: Interval) -> str:
    """A mean with as many decimals as its interval allows, four at most.

    >>> measured(Interval(0.76213, 0.7581, 0.7661, 3)), measured(Interval(0.5, -math.inf, math.inf, 1))
    ('0.7621 ±0.0040', '0.5000')
    """
    if not math.isfinite(i.half) or i.half == 0:
        return f"{i.value:.4f}" if abs(i.value) < 10 else number(i.value, 4)
    decimals = min(4 if abs(i.value) >= 0.1 else 8, max(0, 1 - math.floor(math.log10(i.half))))
    return f"{i.value:.{decimals}f} ±{i.half:.{decimals}f}"


def _remark(g: Group) -> str:
    """What the records say of the seeds that have no score, each reason once."""
    reasons = Counter((r.outcome, r.reason) for r in g.records if r.outcome != "ok")
    parts = []
    for (outcome, reason), n in reasons.items():
        seeds = "" if n == len(g.records) else f" ({n} of {len(g.records)} seeds)"
        parts.append(f"{outcome}{seeds}: {reason}" if reason else f"{outcome}{seeds}")
    return "; ".join(parts)


def scored(g: Group) -> str:
    """The score with its marks; "" where there is none."""
    if not g.score:
        return ""
    return measured(g.score) + ("!" if beaten(g) else "") + ("" if g.converged else "†")


def _texts(g: Group) -> dict[str, str]:
    texts = dict.fromkeys(COLUMNS, "") | {"cell": g.name, "seeds": f"{len(g.ok)}/{len(g.records)}"}
    texts["score"] = scored(g)
    if g.step_ms:
        texts["ms/step"] = number(g.step_ms.value)
        texts["5-95 %"] = f"{number(g.step_ms.low)} - {number(g.step_ms.high)}"
    if g.mean_step_s:
        if tokens := g.mean("tokens_per_step"):
            texts["tokens/s"] = short(tokens / g.mean_step_s)
        if flops := g.mean("flops_per_step"):
            texts["GFLOP/s"] = number(flops / g.mean_step_s / 1e9)
    if flops := g.mean("flops_per_step"):
        texts["MFLOP/step"] = number(flops / 1e6)
    if norm := g.mean("last_grad_norm"):
        texts["gradient"] = number(norm)
    if count := g.mean("parameters"):
        texts["parameters"] = f"{round(count):,}".replace(",", " ")
    if first := g.mean("first_step_s"):
        texts["first s"] = number(first, 2)
    fresh = [r.peak_rss_bytes for r in g.ok if r.fresh_process and r.peak_rss_bytes]
    if fresh:
        texts["peak MiB"] = number(max(fresh) / 2**20)
    return texts


def rows(groups: Iterable[Group]) -> list[Row]:
    """One row a group."""
    return [Row(g, _texts(g), _remark(g)) for g in groups]


def heading(groups: Sequence[Group]) -> str:
    """The task's metric, which way is better, its floors and its ceilings."""
    told = next((g for g in groups if g.metric), None)
    if told is None:
        return "no cell ran"
    levels = [f"{b.kind} {number(b.value, 4)} ({b.what})" for b in told.bounds]
    return "; ".join([f"{told.metric}, {told.better} is better", *levels])


def _columns(table: Sequence[Row], width: int) -> list[str]:
    """The columns that have something to say, as many as fit into ``width``."""
    shown = [c for c in COLUMNS if any(r.texts[c] for r in table)]
    size = {c: max(len(c), *(len(r.texts[c]) for r in table)) for c in shown}
    while len(shown) > 3 and sum(size[c] + 2 for c in shown) > width + 2:
        shown.remove(min(shown, key=lambda c: COLUMNS[c]))
    return shown


def text(groups: Sequence[Group], width: int = ANY) -> str:
    """The table in ``width`` columns of text; the least important columns go first."""
    table = rows(groups)
    if not table:
        return "no records: nothing has ended yet"
    shown = _columns(table, width)
    size = {c: max(len(c), *(len(r.texts[c]) for r in table)) for c in shown}
    line = "  ".join(c.ljust(size[c]) if c == "cell" else c.rjust(size[c]) for c in shown)
    out = []
    for (plan, task), members in by_task(groups).items():
        out += [f"{plan} / {task}: {heading(members)}", line, "-" * len(line)]
        for r in rows(members):
            told = "  ".join(r.texts[c].ljust(size[c]) if c == "cell" else r.texts[c].rjust(size[c]) for c in shown)
            out += [told.rstrip() if r.group.ok else r.texts["cell"]] + ([f"    {r.remark}"] if r.remark else [])
        out.append("")
    return "\n".join(out)


def markdown(groups: Sequence[Group]) -> str:
    """The table in Markdown, one a task; remarks go below it."""
    out = []
    for (plan, task), members in by_task(groups).items():
        table = rows(members)
        shown = [c for c in COLUMNS if any(r.texts[c] for r in table)]
        out += [f"### {plan} / {task}", "", heading(members), ""]
        ran = [r for r in table if r.group.ok]
        if ran:
            bar = "|".join(["---", *["--:"] * (len(shown) - 1)])
            out += [f"| {' | '.join(shown)} |", f"|{bar}|"]
            out += [f"| {' | '.join(r.texts[c] for c in shown)} |" for r in ran] + [""]
        out += [f"- {r.group.name}: {r.remark}".replace("\n", " ") for r in table if r.remark] + [""]
    return "\n".join(out)


def table_text(records: Iterable[Record], width: int | None = None) -> str:
    """The table, and below it what there is to say about ceilings and agreement.

    ``width`` None: as wide as the terminal, or all of it where the output is none.
    """
    groups = group(records)
    width = width or shutil.get_terminal_size(fallback=(ANY, 24)).columns
    return "\n".join([text(groups, width), *lines(groups)]).rstrip()
