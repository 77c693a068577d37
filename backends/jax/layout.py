"""Canonical and native parameters. JAX has nothing but scans here, and a scan's native layout is the canonical one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Layout = tuple[str, ...]  # the canonical names, in order


def identity(names: Iterable[str]) -> Layout:
    """Every parameter is its own native array."""
    return tuple(names)


def to_native(layout: Layout, params: Mapping[str, Any]) -> dict[str, Any]:
    """Canonical arrays -> native arrays."""
    return {name: params[name] for name in layout}


def to_canonical(layout: Layout, native: Mapping[str, Any]) -> dict[str, Any]:
    """Native arrays -> canonical arrays, in the order that a jitted function does not keep."""
    return {name: native[name] for name in layout}
