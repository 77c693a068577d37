"""Canonical <-> native layout of the parameters. NumPy only.

keras.layers.SimpleRNN, LSTM   kernel = W, recurrent_kernel = U, bias = b
keras.layers.GRU               the gates stand as z, r, n: the first two blocks of columns change places, which is its
                               own inverse; bias = b, or with reset_after the rows (b, c)
scan                           native is canonical

A native array has the canonical name of what it holds, "layer0/W" for a kernel, and a bias is "layer0/b" with c or not,
so that weight decay needs no translation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.contract import Array, Params

KERAS = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a canonical parameter lives: the native array, a row of it (None: all of it), r and z exchanged or not."""

    native: str
    row: int | None = None
    swapped: bool = False


Layout = dict[str, Place]  # canonical name -> place


def identity(names: Iterable[str]) -> Layout:
    """Every parameter is its own native array."""
    return {name: Place(name) for name in names}


def keras(arch: Arch, prefix: str) -> Layout:
    """The layout of one direction's Keras layer, below ``prefix``."""
    names, swapped = arch.shapes(1, 1), arch.gates[:2] == ("r", "z")
    rows = {"b": 0, "c": 1} if "c" in names else {}
    return {prefix + name: Place(prefix + ("b" if name == "c" else name), rows.get(name), swapped) for name in names}


def to_native(layout: Layout, params: Params) -> Params:
    """Canonical arrays -> native arrays."""
    rows: dict[str, list[Array]] = {}
    for name, place in layout.items():
        rows.setdefault(place.native, []).append(_swap(params[name]) if place.swapped else params[name])
    return {native: np.stack(parts) if len(parts) > 1 else parts[0] for native, parts in rows.items()}


def to_canonical(layout: Layout, native: Params) -> Params:
    """Native arrays -> canonical arrays."""
    found = parts(layout, native)
    return {name: _swap(found[name]) if place.swapped else found[name] for name, place in layout.items()}


def parts(layout: Layout, native: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of each canonical parameter, in native order: enough for its norm. Arrays or tensors."""
    return {
        name: native[place.native] if place.row is None else native[place.native][place.row]
        for name, place in layout.items()
    }


def _swap(value: Array) -> Array:
    r, z, n = np.split(value, 3, axis=-1)
    return np.concatenate([z, r, n], axis=-1)
