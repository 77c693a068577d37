"""The masks of ``suite.spec.dropout``: which sites a network has, and what is drawn for each, for one batch.

A mask's random stream is called "dropout/{site}/{seed}/{step}".
"""

from __future__ import annotations

import numpy as np

from suite.spec.contract import Array, Net
from suite.spec.dropout import site
from suite.spec.params import shapes, stacks
from suite.spec.random import Stream
from suite.spec.towers import towers


def sites(net: Net) -> dict[str, int]:
    """Site -> width of its mask."""
    if net.arch.family == "transformer":
        parts = {False: ("attn", "ffn"), True: ("attn", "cross", "ffn")}
        inside = [layer + part for t in towers(net) for layer in t.layers(net) for part in parts[t.cross]]
        return dict.fromkeys([*(f"{t.prefix}emb" for t in towers(net)), *inside], net.sizes.hidden)
    out = {site(layer): layer[0].inputs for layers in stacks(net).values() for layer in layers}
    if net.arch.attention == "additive":
        out["dec/layer0"] = net.sizes.embed
    return out | {"head": shapes(net)["head/V"][0]}


def masks(net: Net, rate: float, rows: int, seed: int, step: int) -> dict[str, Array]:
    """The masks of one batch, (rows, F) float64 each; none where ``rate`` is 0."""
    if not rate:
        return {}
    drawn = {name: Stream(f"dropout/{name}/{seed}/{step}").uniform((rows, f)) for name, f in sites(net).items()}
    return {name: np.where(u < rate, 0.0, 1.0 / (1.0 - rate)) for name, u in drawn.items()}
