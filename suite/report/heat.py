"""The gradient flow of every architecture side by side: one row each, time to the right, colour = log10 of the norm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suite.report.groups import Group, by_task
from suite.report.reach import reach
from suite.report.style import panels, titles

DECADES = 8.0  # below 1e-8 of a row's largest norm nothing is told apart


def heat(groups: Sequence[Group], results: Path) -> Any:
    """How far back the gradient reaches, each architecture in a row: at the last update recorded."""
    drawn: dict[Group, np.ndarray] = {}
    for g in groups:
        shown = {(d.plan, d.cell.task, d.cell.options, d.cell.arch, d.variant) for d in drawn}
        if (g.plan, g.cell.task, g.cell.options, g.cell.arch, g.variant) not in shown and (steps := reach(g, results)):
            drawn[g] = steps[max(steps)]
    tasks = {key: members for key, members in by_task(drawn).items() if len(members) > 1}
    if not tasks:
        return None
    figure, axes = panels(titles(tasks), height=0.9 + 0.24 * max(map(len, tasks.values())))
    for ax, members in zip(axes, tasks.values(), strict=True):
        longest = max(len(drawn[g]) for g in members)
        table = np.full((len(members), longest), np.nan)
        for row, g in zip(table, members, strict=True):
            norm = drawn[g]
            with np.errstate(divide="ignore"):
                row[: len(norm)] = np.maximum(np.log10(norm / (norm.max() or 1.0)), -DECADES)
        edges = np.arange(longest + 1) + 0.5, np.arange(len(members) + 1)
        image = ax.pcolormesh(*edges, table, cmap="cividis", vmin=-DECADES, vmax=0, edgecolors="face", linewidth=0.2)
        ax.invert_yaxis()
        ax.set_yticks(np.arange(len(members)) + 0.5, [f"{g.cell.arch} {g.variant}".strip() for g in members])
        ax.set(xlabel="time step t")
        ax.grid(False)
    bar = figure.colorbar(image, ax=axes, label=r"$\log_{10}$ of the share", shrink=0.8)
    bar.solids.set_rasterized(False)  # a picture within the page would be loaded, not drawn
    figure.suptitle(
        "How far back each architecture's gradient reaches\n", x=0.01, ha="left", fontsize=13, fontweight="bold"
    )
    told = "at the last update recorded, as a share of the row's largest norm; mean over seeds, one backend"
    figure.text(0.0105, 1 - 0.44 / figure.get_figheight(), told, fontsize=9, color="#555555")
    return figure
