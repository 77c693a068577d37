"""Records -> tables, figures and one page. A pure function of the records; no framework, no MLflow."""

from __future__ import annotations

from pathlib import Path

from suite import record as records
from suite.report.groups import Group, group
from suite.report.table import table_text

__all__ = ["fill", "table_text", "write"]


def write(results: Path, out: Path, plan: str | None = None) -> list[Path]:
    """Write report.md, report.html and figures/*.svg|png into ``out``; returns what was written.

    ValueError, in one line, where ``results`` holds no record (of ``plan``).
    """
    from suite.report import agreement, budget, figures, html, table

    groups = _groups(results, plan)
    out.mkdir(parents=True, exist_ok=True)
    files = figures.write(groups, results, out / "figures")
    notes = [f"- {line}" for line in agreement.lines(groups)]
    pictures = [f"![{figures.FIGURES[name].__doc__}](figures/{name}.svg)" for name in files]
    parts = ["# Results", "\n".join(notes), table.markdown(groups).strip(), budget.markdown(groups), *pictures]
    (out / "report.md").write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    (out / "report.html").write_text(html.page(groups, files), encoding="utf-8")
    return [out / "report.md", out / "report.html", *(path for pair in files.values() for path in pair)]


def fill(page: Path, results: Path, plan: str | None = None) -> None:
    """Replace what stands between the marks of a Markdown page: the short table of the records, and, where the page
    has marks for it, the coverage matrix of the backends.
    """
    from suite import listing
    from suite.report import summary

    summary.fill(page, summary.summary(_groups(results, plan)))
    if summary.marks("coverage")[0] in page.read_text(encoding="utf-8"):
        summary.fill(page, "\n".join(listing.coverage()), "coverage")


def _groups(results: Path, plan: str | None) -> list[Group]:
    found = [r for r in records.read_all(results) if plan in (None, r.plan)]
    if not found:
        of_plan = f" of plan {plan!r}" if plan else ""
        raise ValueError(f"report: no record{of_plan} below {results}; run a plan first")
    return group(found)
