"""Where a decoder looks in its source: the attention's weights of some rows as a picture, and as a number.

    maps (B, S, T)   the oracle's weights, teacher forced: row s is what was read when target token s was written
    centre           sum_j j a_j; of the mean of a field's maps it is inside where the field's own characters are
    onward           within a field no centre lies more than half a character before the one of the token before

Fields are a task's: the parts of its target that are written from one place in the source, as in ``tasks.dates``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from suite.report.style import INK, SETTINGS, panels, save
from suite.spec import network
from suite.spec.contract import EOS, Array, Batch, Net, Params, Task

LARGEST = 6  # panels that are still legible


def maps(net: Net, params: Params, batch: Batch) -> Array:
    """The weights (B, S, T). ValueError for a network whose decoder has no attention, or many heads of it."""
    if not net.arch.attention:
        raise ValueError(f"attention: {net.arch.name} has no single map to show; use one such as gru_attention")
    return network.alignments(net, params, batch)


def everywhere(batch: Batch) -> Array:
    """The weights (B, S, T) of who looks everywhere alike: what knowing nothing buys."""
    alike = batch.valid / batch.valid.sum(1, keepdims=True)
    return np.repeat(alike[:, None], batch.y.shape[1], axis=1)


def inside(task: Task, batch: Batch, weights: Array) -> tuple[int, int]:
    """In how many fields of the scored rows the centre of the weights (B, S, T) lies inside, and how many there are.

    ValueError for a task that does not know which source characters a target character is written from.
    """
    if not hasattr(task, "fields"):
        raise ValueError(f"attention: {task.name} does not know where its fields are; use a task such as dates")
    found = []
    for x, a in zip(batch.x[batch.scored.any(1)], weights[batch.scored.any(1)], strict=True):
        for (first, end), own in _fields(task, x):
            centre = float(a[own].mean(0) @ np.arange(a.shape[1]))
            found.append(first - 0.5 <= centre < end - 0.5)  # character j covers j - 0.5 .. j + 0.5
    return sum(found), len(found)


def onward(task: Task, batch: Batch, weights: Array) -> tuple[int, int]:
    """In how many fields of the scored rows the weights (B, S, T) never move back, and how many there are.

    Who looks everywhere alike never moves: this tells something of maps that are `inside`, and of no others.
    ValueError as for `inside`.
    """
    _, fields = inside(task, batch, weights)
    found = 0
    for x, a in zip(batch.x[batch.scored.any(1)], weights[batch.scored.any(1)], strict=True):
        for _, own in _fields(task, x):
            found += bool((np.diff(a[own] @ np.arange(a.shape[1])) >= -0.5).all())
    return found, fields


def draw(task: Any, batch: Batch, weights: Array, stem: Path) -> list[Path]:
    """The maps of the first rows as ``stem``.svg and ``stem``.png; a frame shows where a field stands in the source."""
    import matplotlib
    from matplotlib.patches import Rectangle

    if not (hasattr(task, "source_text") and hasattr(task, "target_text")):
        raise ValueError(f"attention: {task.name} does not say how its tokens are written; give it both texts")
    rows = np.flatnonzero(batch.scored.any(1))[:LARGEST]
    with matplotlib.rc_context(SETTINGS):
        figure, axes = panels([task.target_text(batch.y[b]) for b in rows], height=3.1, columns=2)
        for ax, b in zip(axes, rows, strict=True):
            source, target = batch.lengths[b], int(batch.scored[b].sum())
            ax.imshow(weights[b, :target, :source], cmap="Greys", vmin=0, vmax=1, aspect="auto")
            labels = _labels(batch.x[b, :source], task.source_text)
            ax.set_xticks(range(source), labels, fontsize=7, rotation=90 * (max(map(len, labels)) > 3))
            ax.set_yticks(range(target), _labels(batch.y[b, :target], task.target_text), fontsize=7)
            ax.grid(False)
            for (first, end), own in _fields(task, batch.x[b]) if hasattr(task, "fields") else ():
                place = ((first - 0.5, own[0] - 0.5), end - first, own[-1] - own[0] + 1)
                ax.add_patch(Rectangle(*place, fill=False, edgecolor="#0072B2", linewidth=1.2))
        figure.suptitle("Where the decoder looks\n", x=0.01, ha="left", fontsize=13, fontweight="bold")
        told = "across: the source, down: the target, teacher forced; white 0, black 1"
        told += "; frame: the field's own characters" * hasattr(task, "fields")
        figure.text(0.0105, 1 - 0.44 / figure.get_figheight(), told, fontsize=9, color=INK)
    return save(figure, stem)


def _fields(task: Any, x: Array) -> list[tuple[tuple[int, int], list[int]]]:
    """Each field of one row: (first, end) in its source, and the target steps that are written from there."""
    spans = task.fields(x)
    return [(field, [s for s, span in enumerate(spans) if span == field]) for field in dict.fromkeys(spans) if field]


def _labels(tokens: Array, text: Any) -> list[str]:
    """What each token is written as."""
    return ["eos" if token == EOS else text(tokens[j : j + 1]) for j, token in enumerate(tokens)]
