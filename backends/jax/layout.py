"""Canonical <-> native layout. A scan's native layout is the canonical one, and this backend has nothing but scans."""

from __future__ import annotations

from suite.spec.contract import Params


def to_native(params: Params) -> Params:
    """Canonical names and shapes -> what the cells read."""
    return dict(params)


def to_canonical(native: Params) -> Params:
    """The inverse of `to_native`."""
    return dict(native)
