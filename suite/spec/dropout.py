"""Dropout with masks as inputs: every backend multiplies by the same numbers, so it is as comparable as the rest.

    y = x * M        M (B, F) in {0, 1 / (1 - rate)}, one for all steps of a sequence

Sites and what M multiplies there:

    layer{k}, enc/layer{k}, dec/layer{k}   recurrent: what the layer reads (of [x; c], with additive attention, x)
    head                                   recurrent: what the read-out reads
    emb, enc/emb, dec/emb                  Transformer: embeddings with positions
    layer{k}/attn, /cross, /ffn            Transformer: what the part puts out, before it is added

States are never dropped. The masks themselves: ``suite.spec.masks``.

Sources: Srivastava et al. 2014 (JMLR 15), inverted; Zaremba et al. 2014 (arXiv 1409.2329) for the places in recurrent
networks; Gal & Ghahramani 2016 (arXiv 1512.05287) for one mask for all steps; Vaswani et al. 2017, sec. 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from suite.spec.contract import Array

if TYPE_CHECKING:
    from suite.spec.params import Direction

Masks = Mapping[str, Array]
NONE: Masks = MappingProxyType({})


def site(layer: list[Direction]) -> str:
    """The site of what a recurrent layer reads."""
    return layer[0].prefix.removesuffix("fwd/").removesuffix("/")


def drop(masks: Masks, name: str, x: Array) -> Array:
    """x (B, T, F) or (B, F) times the mask of a site, where there is one."""
    if name not in masks:
        return x
    return x * (masks[name] if x.ndim == 2 else masks[name][:, None])
