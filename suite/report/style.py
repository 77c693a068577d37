"""How figures look: Okabe and Ito's colours, light background, one legend below, the same bytes every time."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from suite.report.groups import Group
from suite.spec.contract import Bound

INK, GREY = "#222222", "#767676"
COLOURS = {"rnn": "#D55E00", "gru": "#0072B2", "lstm": "#009E73"}
SPARE = (  # other architectures, in order of their names; after Okabe and Ito's, Tol's muted scheme
    *("#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999933", "#332288"),
    *("#44AA99", "#AA4499", "#661100", "#DDCC77", "#6699CC", "#888888", "#117733"),
)
LINES: dict[str, dict[str, Any]] = {  # equal curves lie on each other: a wide pale one below, dashes and dots on it
    "pytorch": {"linestyle": "-", "linewidth": 3.4, "alpha": 0.45},
    "tensorflow": {"linestyle": (0, (5, 3)), "linewidth": 1.5},
    "jax": {"linestyle": (0, (1, 1.8)), "linewidth": 1.7},
    "reference": {"linestyle": (0, (6, 2, 1, 2)), "linewidth": 1.2},
}
MARKERS = {"stock": "s", "scan": "o", "scan-compiled": "^", "fused": "v", "native": "P"}
SETTINGS = {
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # it comes with matplotlib: the same glyphs everywhere
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#BBBBBB",
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ECECEC",
    "grid.linewidth": 0.8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",
}


def colours(groups: Iterable[Group]) -> dict[str, str]:
    """Architecture -> colour; the same architecture has the same colour in every figure of a report."""
    archs = dict.fromkeys(g.cell.arch for g in groups)
    spare = iter(sorted(a for a in archs if a not in COLOURS))
    extra = {a: SPARE[i % len(SPARE)] for i, a in enumerate(spare)}
    return {a: COLOURS.get(a) or extra[a] for a in archs}


def line(group: Group) -> dict[str, Any]:
    """The backend's line style."""
    return LINES.get(group.cell.backend, {"linestyle": (0, (3, 1, 1, 1, 1, 1)), "linewidth": 1.2})


def marker(group: Group) -> str:
    """The implementation's marker."""
    return MARKERS.get(group.cell.impl, "D")


def titles(tasks: dict[tuple[str, str], list[Group]]) -> list[str]:
    """The panels' titles: the plan is named where there are several."""
    several = len({plan for plan, _ in tasks}) > 1
    return [f"{plan}: {task}" if several else task for plan, task in tasks]


def panels(titles: Collection[str], height: float = 2.9, columns: int = 3) -> tuple[Any, list[Any]]:
    """A figure with one titled panel a task, and room above for the title."""
    from matplotlib.figure import Figure

    wide = min(columns, max(1, len(titles)))
    deep = math.ceil(len(titles) / wide)
    width = {1: 7.0, 2: 9.5}.get(wide, 12.5)
    figure = Figure(figsize=(width, deep * height + 1.0), dpi=144, layout="constrained")
    axes = list(figure.subplots(deep, wide, squeeze=False).flat)
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title)
    for ax in axes[len(titles) :]:
        ax.remove()
    return figure, axes[: len(titles)]


def levels(ax: Any, bounds: Iterable[Bound], better: str) -> None:
    """Floors and ceilings as thin grey lines with their names, away from the curves between them."""
    side = {"floor": 0, "ceiling": 0}
    for b in bounds:
        ax.axhline(b.value, color=GREY, linewidth=0.9, zorder=1)
        x, align = (0, "left") if side[b.kind] % 2 else (1, "right")  # the second of a kind has its name on the left
        side[b.kind] += 1
        up = (b.kind == "ceiling") == (better == "higher")
        place = {"xytext": (0, 2 if up else -3), "textcoords": "offset points", "va": "bottom" if up else "top"}
        at = {"xy": (x, b.value), "xycoords": ("axes fraction", "data"), "ha": align}
        ax.annotate(f"{b.kind}: {b.what}", fontsize=7, color=GREY, **at, **place)
    ax.margins(y=0.12)


def plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10 on a logarithmic axis instead of powers of ten, where it spans less than three of them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_view_interval()
    if high < 300 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 8 * low else MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_locator(NullLocator())


def finish(
    figure: Any,
    drawn: Iterable[Group],
    paint: dict[str, str],
    title: str,
    told: str,
    *,
    lines: bool,
    marks: bool = False,
) -> Any:
    """Title, what the marks mean, and a legend: colour = architecture, dashes = backend, marker = implementation."""
    from matplotlib.lines import Line2D

    archs = {g.cell.arch for g in drawn}
    handles = [Line2D([], [], color=c, linewidth=5, label=a) for a, c in paint.items() if a in archs]
    one_of = {g.cell.backend: g for g in drawn}
    if lines and len(one_of) > 1:
        handles += [Line2D([], [], color=GREY, label=b, **line(g)) for b, g in one_of.items()]
    one_of = {g.cell.impl: g for g in drawn}
    if marks and len(one_of) > 1:
        handles += [Line2D([], [], color=GREY, linestyle="", marker=marker(g), label=i) for i, g in one_of.items()]
    figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=13, fontweight="bold")
    figure.text(0.0105, 1 - 0.44 / figure.get_figheight(), told, fontsize=9, color="#555555")
    legend(figure, handles, int(figure.get_figwidth() / 1.05), handlelength=2.6)
    return figure


def legend(figure: Any, handles: Sequence[Any], columns: int, **looks: Any) -> None:
    """A legend below, of as many columns, at most ``columns``, as the figure is wide enough for."""
    for ncols in range(min(len(handles), columns), 0, -1):
        made = figure.legend(handles=handles, loc="outside lower left", ncols=ncols, frameon=False, **looks)
        if ncols == 1 or made.get_window_extent().width <= figure.bbox.width:
            return
        made.remove()


def save(figure: Any, stem: Path) -> list[Path]:
    """``stem``.svg and ``stem``.png: no date, no version, no random name, and nothing that nobody sees."""
    import matplotlib

    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    with matplotlib.rc_context(SETTINGS | {"svg.hashsalt": stem.name}):
        figure.savefig(paths[0], metadata={"Date": None, "Creator": None})
        paths[0].write_text(_seen(paths[0].read_text(encoding="utf-8")), encoding="utf-8")
        figure.savefig(paths[1], metadata={"Software": None})
    return paths


def _seen(svg: str) -> str:
    """Without digits below a tenth of a point, indents, and long names of glyphs, of which there are thousands."""
    svg = re.sub(r"-?\d+\.\d{2,}", lambda found: _digits(float(found[0])), svg)
    return re.sub(r"\n +", "\n", re.sub(r"DejaVuSans-(Bold-|Oblique-)?", lambda found: (found[1] or "g")[0], svg))


def _digits(x: float) -> str:
    return f"{x:.1f}" if abs(x) >= 10 else f"{x:.5g}"
