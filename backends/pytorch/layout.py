"""Canonical and native parameters: PyTorch's layers keep the canonical gate order and transpose the matrices.

    canonical  W (I, GH)          U (H, GH)          b (GH)         c (GH)
    native     weight_ih (GH, I)  weight_hh (GH, H)  bias_ih (GH)   bias_hh (GH)

Each native parameter is one canonical parameter, so it keeps that name, and norms and weight decay need no translation.
RNN and LSTM have no c: their bias_hh stays zero and is not trained. The loops compute on canonical arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from suite.spec.contract import Params
from suite.spec.params import Direction, Stack

NATIVE = {"W": "weight_ih", "U": "weight_hh", "b": "bias_ih", "c": "bias_hh"}


@dataclass(frozen=True, slots=True)
class Layout:
    """A pair of inverse functions over canonically named parameters, or gradients, or optimiser slots."""

    to_native: Callable[[Params], Params]
    to_canonical: Callable[[Params], Params]


def transposed(params: Params) -> Params:
    """Every W and U transposed: its own inverse."""
    return {name: p.T if name.rsplit("/", 1)[-1] in ("W", "U") else p for name, p in params.items()}


IDENTITY = Layout(dict, dict)
TRANSPOSED = Layout(transposed, transposed)


def suffixes(layers: Stack) -> list[tuple[Direction, str]]:
    """Each scan of a stack with the end of its native parameters' names: "_l0", "_l0_reverse", in the layer's order."""
    return [(d, f"_l{k}" + "_reverse" * d.reverse) for k, layer in enumerate(layers) for d in layer]
