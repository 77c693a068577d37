"""Canonical and native parameters: the native ones of a scan are the canonical ones, another library's may be turned.

Each native parameter is one canonical parameter, so it keeps that name, and norms and weight decay need no translation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Layout = dict[str, bool]  # canonical name, in order -> whether the native array is its transpose


def identity(names: Iterable[str]) -> Layout:
    """Every parameter is its own native array."""
    return dict.fromkeys(names, False)


def transposed(names: Iterable[str]) -> Layout:
    """Every W and U is transposed."""
    return {name: name.rsplit("/", 1)[-1] in ("W", "U") for name in names}


def to_native(layout: Layout, params: Mapping[str, Any]) -> dict[str, Any]:
    """Canonical arrays -> native arrays."""
    return {name: params[name].T if turned else params[name] for name, turned in layout.items()}


def to_canonical(layout: Layout, native: Mapping[str, Any]) -> dict[str, Any]:
    """Native arrays -> canonical arrays, in the order that a jitted function does not keep."""
    return to_native(layout, native)  # a transpose is its own inverse
