"""Canonical and native parameters: PyTorch's layers keep the canonical gate order and transpose the matrices.

    canonical  W (I, GH)          U (H, GH)          b (GH)         c (GH)
    native     weight_ih (GH, I)  weight_hh (GH, H)  bias_ih (GH)   bias_hh (GH)

Each native parameter is one canonical parameter, so it keeps that name, and norms and weight decay need no translation.
RNN and LSTM have no c: their bias_hh stays zero and is not trained. The loops compute on canonical arrays.
"""

from __future__ import annotations

from collections.abc import Iterable

from suite.spec.contract import Params
from suite.spec.params import Direction, Stack

NATIVE = {"W": "weight_ih", "U": "weight_hh", "b": "bias_ih", "c": "bias_hh"}

Layout = dict[str, bool]  # canonical name -> whether the native array is its transpose


def identity(names: Iterable[str]) -> Layout:
    """Every parameter is its own native array."""
    return dict.fromkeys(names, False)


def transposed(names: Iterable[str]) -> Layout:
    """The layout of PyTorch's own layers: every W and U is transposed."""
    return {name: name.rsplit("/", 1)[-1] in ("W", "U") for name in names}


def to_native(layout: Layout, params: Params) -> Params:
    """Canonical arrays -> native arrays."""
    return {name: params[name].T if turned else params[name] for name, turned in layout.items()}


def to_canonical(layout: Layout, native: Params) -> Params:
    """Native arrays -> canonical arrays."""
    return to_native(layout, native)  # a transpose is its own inverse


def suffixes(layers: Stack) -> list[tuple[Direction, str]]:
    """Each scan of a stack with the end of its native parameters' names: "_l0", "_l0_reverse", in the layer's order."""
    return [(d, f"_l{k}" + "_reverse" * d.reverse) for k, layer in enumerate(layers) for d in layer]
