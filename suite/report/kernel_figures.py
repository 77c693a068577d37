"""Pictures of plan `speed`: bars with intervals, a panel a group; what the first update costs; how cost grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suite.perf.plausible import PRODUCTS
from suite.perf.shapes import shape
from suite.report.kernels import Data, called, ratio, seconds, title
from suite.report.style import INK, SETTINGS, legend, panels, plain_ticks, save

BARS = {"pytorch": "#D55E00", "torch_cells": "#D55E00", "tensorflow": "#E69F00", "jax": "#0072B2"}
OTHER = "#56B4E9"  # other people's layers
PARTS = {"import_s": ("import", "#BBBBBB"), "build_s": ("build", "#009E73"), "first_s": ("first call", "#0072B2")}
STYLES = {"stock": (0, (4, 2)), "fused": "-"}


def write(groups: list[Data], out: Path) -> Iterator[Path]:
    """speed-<arch>.svg|png and start.svg|png of the shapes, and scaling.svg|png of the sweeps where there are some."""
    sweeps = [data for data in groups if shape(data["shape"]).sweep]
    shapes = [data for data in groups if not shape(data["shape"]).sweep]
    for arch in dict.fromkeys(data["arch"] for data in shapes):
        yield from save(bars([data for data in shapes if data["arch"] == arch]), out / f"speed-{arch}")
    if shapes:
        yield from save(starts([data for data in shapes if data["subject"] == "step"] or shapes), out / "start")
    if sweeps:
        yield from save(scaling(sweeps), out / "scaling")


def bars(groups: list[Data]) -> Any:
    """Bars with intervals, a panel a group; the line is where the matrix products alone would end."""
    import matplotlib

    rows = max(len(data["candidates"]) for data in groups)
    with matplotlib.rc_context(SETTINGS):
        made, axes = panels([title(data) for data in groups], height=0.9 + 0.24 * rows)
        for ax, data in zip(axes, groups, strict=True):
            _panel(ax, data)
        told = "geometric mean over sets of processes, with a 95 % interval; dashed: the matrix products alone,"
        _head(made, "How long a call takes", f"{told} of which each bar ends with its share")
    return made


def _head(made: Any, title: str, told: str) -> None:
    made.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=13, fontweight="bold")
    made.text(0.0105, 1 - 0.44 / made.get_figheight(), told, fontsize=9, color=INK)


def _panel(ax: Any, data: Data) -> None:
    drawn = {name: seconds(c) for name, c in data["candidates"].items() if name != PRODUCTS}
    ordered = sorted(drawn.items(), key=lambda item: item[1].value)
    least, longest = data["candidates"].get(PRODUCTS), max(ms.value for ms in drawn.values())
    right = 1.15 * min(1.8 * longest, max(ms.high for ms in drawn.values()))  # the widest interval may be endless
    for y, (name, ms) in enumerate(ordered):
        ax.barh(y, 1e3 * ms.value, color=BARS.get(name.split()[0], OTHER), alpha=0.85, height=0.7)
        ax.plot([1e3 * ms.low, 1e3 * ms.high], [y, y], color=INK, linewidth=1)
        if least:
            share = f"  {ratio(least, data['candidates'][name]).value:.2f}"
            ax.text(1e3 * min(ms.high, 0.92 * right), y, share, va="center", fontsize=7, color=INK)
    if least:
        ax.axvline(1e3 * seconds(least).value, color=INK, linestyle=(0, (4, 3)), linewidth=1)
    ax.set_yticks(range(len(ordered)), [called(name) for name, _ in ordered])
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds")
    ax.set_xlim(left=0, right=1e3 * right)


def starts(groups: list[Data]) -> Any:
    """Seconds until the first update is done: import, building, and the first call, which compiles; a panel a group."""
    import matplotlib

    rows = max(len(data["candidates"]) for data in groups)
    with matplotlib.rc_context(SETTINGS):
        made, axes = panels([title(data) for data in groups], height=0.9 + 0.24 * rows)
        for ax, data in zip(axes, groups, strict=True):
            told = {name: c["told"] for name, c in data["candidates"].items() if name != PRODUCTS}
            names = sorted(told, key=lambda name: sum(told[name][part] for part in PARTS))
            left = [0.0] * len(names)
            for part, (what, colour) in PARTS.items():
                width = [told[name][part] for name in names]
                ax.barh(names, width, left=left, height=0.7, color=colour, label=what)
                left = [a + b for a, b in zip(left, width, strict=True)]
            ax.invert_yaxis()
            ax.set(xlabel="seconds")
        legend(made, axes[0].get_legend_handles_labels()[0], 3, fontsize=8)
        _head(made, "What the first update costs", "in a fresh process that has the machine for itself, once")
    return made


def scaling(groups: list[Data]) -> Any:
    """Milliseconds over the size that grows, both on logarithmic axes; a panel a size."""
    import matplotlib

    sizes = sorted({_sweep(data)[0] for data in groups})
    with matplotlib.rc_context(SETTINGS):
        made, axes = panels([f"step / {size}" for size in sizes], height=3.4)
        for ax, size in zip(axes, sizes, strict=True):
            _curves(ax, [data for data in groups if _sweep(data)[0] == size], size)
        legend(made, axes[0].get_legend_handles_labels()[0], 6, fontsize=8, handlelength=3.2)
        _head(made, "How cost grows", "milliseconds a step, with 95 % intervals; black: the matrix products alone")
    return made


def _sweep(data: Data) -> tuple[str, int]:
    sweep = shape(data["shape"]).sweep
    assert sweep is not None, "only sweeps are drawn over a size"
    return sweep


def _curves(ax: Any, groups: list[Data], size: str) -> None:
    groups = sorted(groups, key=lambda data: _sweep(data)[1])
    for name in dict.fromkeys(name for data in groups for name in data["candidates"]):
        found = [(_sweep(data)[1], seconds(data["candidates"][name])) for data in groups if name in data["candidates"]]
        x, ms = [value for value, _ in found], [1e3 * i.value for _, i in found]
        library, _, impl = name.partition(" ")
        colour = INK if name == PRODUCTS else BARS.get(library, OTHER)
        ax.plot(x, ms, marker="o", markersize=3, color=colour, linestyle=STYLES.get(impl, (0, (1, 1.5))), label=name)
        ax.fill_between(x, [1e3 * i.low for _, i in found], [1e3 * i.high for _, i in found], color=colour, alpha=0.15)
    ax.set(xscale="log", yscale="log", xlabel=size, ylabel="milliseconds")
    ax.set_ylim(bottom=0.5 * min(1e3 * seconds(c).value for data in groups for c in data["candidates"].values()))
    plain_ticks(ax.xaxis)
    plain_ticks(ax.yaxis)
