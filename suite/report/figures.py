"""Figures from records: what is learned, at what cost, how fast, and how far back the gradient reaches.

    curves    validation score against updates, between floor and ceiling
    pareto    validation score against seconds of training
    speed     milliseconds a step by backend and implementation
    flow      ||dL/dh_t|| over time t, before and after training
    heat      the same at the end, one row an architecture
    norms     global gradient norm against updates

Each function returns a Figure, or None where the records hold nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suite import record as records
from suite.report.groups import Group, by_task, folder, order
from suite.report.heat import heat
from suite.report.reach import reach
from suite.report.style import SETTINGS, colours, finish, levels, line, marker, panels, plain_ticks, save, titles

GRAD_NORM = "grad/global_norm"
BINS = 50
Curve = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x, mean, lowest, highest over seeds


def _over_seeds(series: Iterable[dict[float, float]]) -> Curve | None:
    """Mean and range over seeds at the points they all have; None where fewer than two are left."""
    told = [s for s in series if s]
    common = sorted(set.intersection(*map(set, told))) if told else []
    if len(common) < 2:
        return None
    y = np.array([[s[x] for x in common] for s in told])
    return np.array(common), y.mean(0), y.min(0), y.max(0)


def _draw(ax: Any, g: Group, curve: Curve, paint: dict[str, str]) -> None:
    x, mean, low, high = curve
    ax.plot(x, mean, color=paint[g.cell.arch], **line(g))
    ax.fill_between(x, low, high, color=paint[g.cell.arch], alpha=0.13, linewidth=0)


def curves(groups: Sequence[Group], results: Path) -> Any:
    """Validation score against updates."""
    found = {g: _over_seeds({p["step"]: p[g.metric] for p in r.curve if g.metric in p} for r in g.ok) for g in groups}
    drawn = {g: curve for g, curve in found.items() if curve}
    if not drawn:
        return None
    tasks, paint = by_task(drawn), colours(groups)
    figure, axes = panels(titles(tasks))
    for ax, members in zip(axes, tasks.values(), strict=True):
        for g in members:
            _draw(ax, g, drawn[g], paint)
        levels(ax, members[0].bounds, members[0].better)
        ax.set(xlabel="updates", ylabel=f"validation {members[0].metric}")
    told = "mean over seeds; band: their range"
    return finish(figure, drawn, paint, "What is learned, between floor and ceiling", told, lines=True)


def pareto(groups: Sequence[Group], results: Path) -> Any:
    """Validation score against seconds of training: every group's way, its end, and the best of all at each second."""
    drawn = {}
    for g in groups:
        runs = [[(p["train_s"], p[g.metric]) for p in r.curve if g.metric in p and p.get("train_s")] for r in g.ok]
        length = min(map(len, runs), default=0)
        if length > 1:
            drawn[g] = np.array([run[:length] for run in runs]).mean(0)  # (points, 2): mean over seeds, point by point
    if not drawn:
        return None
    tasks, paint = by_task(drawn), colours(groups)
    figure, axes = panels(titles(tasks))
    for ax, members in zip(axes, tasks.values(), strict=True):
        best = np.nanmax if members[0].better == "higher" else np.nanmin
        starts, ends = [drawn[g][0, 0] for g in members], [drawn[g][-1, 0] for g in members]
        seconds = np.geomspace(min(starts), max(ends), 200)
        reached = [np.interp(seconds, drawn[g][:, 0], drawn[g][:, 1], left=np.nan) for g in members]
        ax.plot(seconds, best(reached, axis=0), color="#DDDDDD", linewidth=7, zorder=1, solid_capstyle="butt")
        for g in members:
            x, y = drawn[g].T
            ax.plot(x, y, color=paint[g.cell.arch], **line(g) | {"linewidth": 1, "alpha": 0.85})
            ax.plot(x[-1], y[-1], color=paint[g.cell.arch], marker=marker(g), markeredgecolor="white", zorder=5)
        levels(ax, members[0].bounds, members[0].better)
        ax.set(xscale="log", xlabel="seconds of training (compilation left out)")
        ax.set_ylabel(f"validation {members[0].metric}")
        plain_ticks(ax.xaxis)
    told = "mean over seeds, marker: end of training; grey band: the best score any cell had reached by then"
    return finish(figure, drawn, paint, "What a second of training buys", told, lines=True, marks=True)


def speed(groups: Sequence[Group], results: Path) -> Any:
    """Milliseconds a step: median, middle half and middle 90 % of the steps; one row a backend and implementation."""
    drawn = [g for g in groups if g.step_ms]
    if not drawn:
        return None
    tasks, paint = by_task(drawn), colours(groups)
    names = list(dict.fromkeys(g.backend for g in sorted(drawn, key=lambda g: order(g.cell)[1:])))
    figure, axes = panels(titles(tasks), height=0.8 + 0.36 * len(names))
    archs = list(paint)
    for ax, members in zip(axes, tasks.values(), strict=True):
        rows = [n for n in names if any(g.backend == n for g in members)]
        for g in members:
            samples = [1e3 * s for r in g.ok for s in r.step_s]
            low, q1, mid, q3, high = np.quantile(samples, [0.05, 0.25, 0.5, 0.75, 0.95])
            y = rows.index(g.backend) + (archs.index(g.cell.arch) - (len(archs) - 1) / 2) * 0.6 / len(archs)
            ax.plot([low, high], [y, y], color=paint[g.cell.arch], linewidth=1)
            ax.plot([q1, q3], [y, y], color=paint[g.cell.arch], linewidth=5, alpha=0.4, solid_capstyle="butt")
            ax.plot(mid, y, "o", color=paint[g.cell.arch], markersize=4.5)
        ax.set_yticks(range(len(rows)), rows)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set(xscale="log", xlabel="milliseconds a step (left is faster)")
        plain_ticks(ax.xaxis)
    told = "dot: median; thick: middle half, thin: middle 90 % of the timed steps"
    return finish(figure, drawn, paint, "How long a training step takes", told, lines=False)


def flow(groups: Sequence[Group], results: Path) -> Any:
    """The gradient's norm at every time step; one backend is enough, since their gradients are proven equal."""
    drawn: dict[Group, dict[int, np.ndarray]] = {}
    for g in groups:
        shown = {(d.plan, d.cell.task, d.cell.options, d.cell.arch, d.variant) for d in drawn}
        if (g.plan, g.cell.task, g.cell.options, g.cell.arch, g.variant) not in shown and (steps := reach(g, results)):
            drawn[g] = steps
    if not drawn:
        return None
    tasks, paint = by_task(drawn), colours(groups)
    figure, axes = panels(titles(tasks))
    for ax, members in zip(axes, tasks.values(), strict=True):
        for g in members:
            first, last = min(drawn[g]), max(drawn[g])
            for step in sorted({first, last}):
                norm = drawn[g][step]
                t = np.arange(1, len(norm) + 1)
                kind = {"linestyle": "-"} if step == last else {"linestyle": (0, (2, 2)), "linewidth": 1.1}
                ax.plot(t[norm > 0], norm[norm > 0], color=paint[g.cell.arch], **kind)
        ax.set(yscale="log", xlabel="time step t", ylabel=r"$\Vert\partial L/\partial h_t\Vert$")
        plain_ticks(ax.yaxis)
    told = "solid: at the last update recorded, dashed: at the first; mean over seeds, one backend a task"
    return finish(figure, drawn, paint, "How far back the gradient reaches", told, lines=False)


def _binned_norms(cell_folder: Path, steps: int) -> dict[float, float]:
    """Middle step of a bin -> geometric mean of the gradient norms in it: one update's norm is mostly noise."""
    bins: dict[int, list[tuple[int, float]]] = {}
    for p in records.points(cell_folder):
        norm = p["values"].get(GRAD_NORM, 0.0)
        if norm > 0:
            bins.setdefault((p["step"] - 1) * BINS // steps, []).append((p["step"], norm))
    means = (np.array(several).T for several in bins.values())
    return {float(step.mean()): float(np.exp(np.log(norm).mean())) for step, norm in means}


def norms(groups: Sequence[Group], results: Path) -> Any:
    """Global gradient norm before clipping, against updates."""
    drawn = {}
    for g in groups:
        curve = _over_seeds(_binned_norms(folder(results, r), g.cell.steps) for r in g.ok)
        if curve:
            drawn[g] = curve
    if not drawn:
        return None
    tasks, paint = by_task(drawn), colours(groups)
    figure, axes = panels(titles(tasks))
    for ax, members in zip(axes, tasks.values(), strict=True):
        for g in members:
            _draw(ax, g, drawn[g], paint)
        ax.set(yscale="log", xlabel="updates", ylabel="gradient norm before clipping")
        plain_ticks(ax.yaxis)
    told = f"geometric mean over neighbouring updates ({BINS} bins), then mean over seeds; band: their range"
    return finish(figure, drawn, paint, "How large the gradient is", told, lines=True)


FIGURES = {"curves": curves, "pareto": pareto, "speed": speed, "flow": flow, "heat": heat, "norms": norms}


def write(groups: Sequence[Group], results: Path, out: Path, names: Iterable[str] = FIGURES) -> dict[str, list[Path]]:
    """The figures that have something to show, as SVG and PNG: name -> its two files."""
    import matplotlib

    files = {}
    for name in names:
        with matplotlib.rc_context(SETTINGS):
            figure = FIGURES[name](groups, results)
        if figure is not None:
            files[name] = save(figure, out / name)
    return files
