"""The mistakes that real Transformers make, for ``suite.exam.diagnose``: the oracle bent in one way at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from suite.spec import params
from suite.spec.arch import Step
from suite.spec.archs.transformer import View, attention, feed_forward, layer_norm, step
from suite.spec.contract import Array, Batch, Net, Params
from suite.spec.dropout import drop

Bend = tuple[str, Net, Params, Batch]
PROJECTIONS = ("Wq", "Wk", "Wv")


def bends(net: Net, p: Params, batch: Batch) -> Iterator[Bend]:
    """Every known mistake: its name, and the network, parameters and batch that make the oracle commit it."""
    width, heads = net.sizes.hidden, net.sizes.heads
    across = np.arange(width).reshape(-1, heads).T.ravel()  # column c belongs to head c mod heads
    weights: dict[str, Callable[[str, Array], Array]] = {
        "the scale of the scores is missing": lambda name, v: v * (width / heads) ** 0.5 if name == "Wq" else v,
        "heads take every n-th column and not neighbours": lambda name, v: _take(name, v, across),
        "q, k and v are transposed": lambda name, v: v.T if name in PROJECTIONS else v,
        "the bias of attention is missing": lambda name, v: 0 * v if name == "bo" else v,
        "embeddings are not multiplied by sqrt(D)": lambda name, v: v * width**-0.5 if name == "E" else v,
    }
    for text, bend in weights.items():
        yield text, net, {name: bend(name.rsplit("/", 1)[-1], v) for name, v in p.items()}, batch
    yield "q and k are swapped", net, {name: p[_swapped(name)] for name in p}, batch
    yield "positions are missing", *_without_positions(net, p), batch
    masks: dict[str, Callable[[Array], Array]] = {
        "the mask is upside down": lambda seen: ~seen,
        "pads are seen": lambda seen: seen | ~seen[:, -1:],
        "a step sees all that follow": lambda seen: seen[:, -1:],
        "a step sees the one after it": lambda seen: seen | np.roll(seen, -1, axis=1),
        "a step does not see itself": lambda seen: seen & ~np.eye(seen.shape[-1], dtype=bool),
    }
    for text, mask in masks.items():
        yield text, _with(net, _masked(mask)), p, batch
    yield "the norm comes after each part and not before it", _with(net, _composed(post=True)), p, batch
    yield "GELU is the form with erf", _with(net, _composed(ffn=_feed_forward_erf)), p, batch
    yield "LN has an epsilon of 1e-3", _with(net, _composed(norm=_layer_norm_keras)), p, batch


def _take(name: str, v: Array, order: Array) -> Array:
    return v[:, order] if name in PROJECTIONS else v[order] if name == "Wo" else v


def _swapped(name: str) -> str:
    return name[:-2] + {"Wq": "Wk", "Wk": "Wq"}.get(name[-2:], name[-2:])


def _without_positions(net: Net, p: Params) -> tuple[Net, Params]:
    """Trained positions, all of them zero."""
    bent = replace(net, sizes=replace(net.sizes, positions=net.sizes.positions or 10**4))
    zero = {name: np.zeros(shape) for name, shape in params.shapes(bent).items() if name.endswith("pos/E")}
    return bent, p | zero


def _with(net: Net, other: Step) -> Net:
    return replace(net, arch=replace(net.arch, step=other))


def _masked(mask: Callable[[Array], Array]) -> Step:
    return lambda p, x, view: step(p, x, view._replace(seen=mask(view.seen)))


def _composed(norm: Step = layer_norm, ffn: Step = feed_forward, post: bool = False) -> Step:
    """A block out of other parts, or with its parts in another order; no tape."""

    def other(p: Params, x: Array, view: View) -> tuple[Array, Any]:
        def add(x: Array, at: str, name: str, part: Callable[[Array], Array]) -> Array:
            if post:
                return norm(p, at, x + drop(view.masks, name, part(x)))[0]
            return x + drop(view.masks, name, part(norm(p, at, x)[0]))

        x = add(x, "ln1", "attn", lambda n: attention(p, "attn", n, n, view.seen, view.heads)[0])
        if (memory := view.memory) is not None:
            x = add(x, "lnx", "cross", lambda n: attention(p, "cross", n, memory, view.memory_seen, view.heads)[0])
        return add(x, "ln2", "ffn", lambda n: ffn(p, "ffn", n)[0]), None

    return other


def _feed_forward_erf(p: Params, at: str, x: Array) -> tuple[Array, Any]:
    a = x @ p[f"{at}/W1"] + p[f"{at}/b1"]
    erf = np.vectorize(math.erf, otypes=[float])(a * 0.5**0.5)
    return 0.5 * a * (1 + erf) @ p[f"{at}/W2"] + p[f"{at}/b2"], None


def _layer_norm_keras(p: Params, at: str, x: Array) -> tuple[Array, Any]:
    d = x - x.mean(-1, keepdims=True)
    return d / np.sqrt((d**2).mean(-1, keepdims=True) + 1e-3) * p[f"{at}/g"] + p[f"{at}/s"], None
