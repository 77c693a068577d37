"""Canonical <-> native layout of the parameters. NumPy only.

keras.layers.SimpleRNN, LSTM   kernel = W, recurrent_kernel = U, bias = b
keras.layers.GRU               the gates stand as z, r, n: the first two blocks of columns change places, which is its
                               own inverse; bias = b, or with reset_after the rows (b, c)
scan                           native is canonical
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from suite.spec.contract import Arch, Array, Params

KERAS = {"W": "kernel", "U": "recurrent_kernel", "b": "bias", "c": "bias"}


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
    return {prefix + name: Place(prefix + KERAS[name], rows.get(name), swapped) for name in names}


def to_native(layout: Layout, params: Params) -> Params:
    """Canonical arrays -> native arrays."""
    rows: dict[str, list[Array]] = {}
    for name, place in layout.items():
        rows.setdefault(place.native, []).append(_swap(params[name]) if place.swapped else params[name])
    return {native: np.stack(parts) if len(parts) > 1 else parts[0] for native, parts in rows.items()}


def to_canonical(layout: Layout, native: Mapping[str, Array]) -> Params:
    """Native arrays -> canonical arrays."""
    out = {}
    for name, place in layout.items():
        value = part(place, native)
        out[name] = _swap(value) if place.swapped else value
    return out


def part(place: Place, native: Mapping[str, Any]) -> Any:
    """The numbers of one canonical parameter, in native order: enough for its norm. Arrays or tensors."""
    value = native[place.native]
    return value if place.row is None else value[place.row]


def _swap(value: Array) -> Array:
    r, z, n = np.split(value, 3, axis=-1)
    return np.concatenate([z, r, n], axis=-1)
