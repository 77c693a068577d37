"""How two results are compared, and how far apart they may be.

The error of a tensor is norm-wise: max|got - want| / max(max|want|, floor). NaN anywhere makes the error NaN, and a
NaN is never within a limit. The limits are the worst errors measured over RNN, GRU and LSTM at T <= 50, H <= 128,
rounded up by 3 to 7 times; float64 is the semantic test (a wrong convention shows as 1e-8 or more), float32
guards the precision settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from suite.spec.contract import Array

LIMITS: dict[str, dict[str, float]] = {
    "float64": {
        "outputs": 1e-14,
        "gradients": 3e-14,
        "loss": 1e-14,
        "step": 1e-14,
        "steps": 1e-14,
        "trajectory": 1e-12,
        "resume": 1e-14,
    },
    "float32": {
        "outputs": 2e-6,
        "gradients": 1e-5,
        "loss": 1e-6,
        "step": 1e-6,
        "steps": 1e-6,
        "trajectory": 1e-5,
        "resume": 5e-6,
    },
}
SMALL_GRADIENT = 1e-3  # tensors far below the largest gradient are compared on this share of it


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: what was compared, where it was worst, how large the error was, and what it may be."""

    check: str
    error: float
    limit: float
    where: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the error is within the limit; false for NaN."""
        return self.error <= self.limit

    def __str__(self) -> str:
        where = f" at {self.where}" if self.where else ""
        verdict = "<=" if self.ok else ">"
        because = f" ({self.reason})" if self.reason else ""
        return f"{self.check}{where}: error {self.error:.2e} {verdict} limit {self.limit:.0e}{because}"

    def as_json(self) -> dict[str, Any]:
        """A row; an error that is not finite is null, and the reason says so."""
        finite = math.isfinite(self.error)
        reason = self.reason or ("" if finite else f"the error is {self.error}")
        return {
            "check": self.check,
            "where": self.where,
            "error": self.error if finite else None,
            "limit": self.limit,
            "ok": self.ok,
            "reason": reason,
        }


def rel_error(got: Array | float, want: Array | float, floor: float = 0.0) -> float:
    """max|got - want| / max(max|want|, floor); inf where the shapes differ; 0 where both are empty or zero."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    if got.shape != want.shape:
        return math.inf
    if want.size == 0:
        return 0.0
    difference = float(np.max(np.abs(got - want)))
    scale = max(float(np.max(np.abs(want))), floor)
    return difference if difference == 0 or math.isnan(difference) else difference / scale if scale else math.inf


def worst(check: str, got: Mapping[str, Array], want: Mapping[str, Array], limit: float, floor: float = 0.0) -> Check:
    """The largest error over tensors of the same names, 0 if there are none; a missing or extra name fails."""
    if set(got) != set(want):
        different = ", ".join(sorted(set(got) ^ set(want)))
        return Check(check, math.inf, limit, different, "these names are in one of the two only")
    errors = {name: rel_error(got[name], want[name], floor) for name in want}
    where = max(errors, key=lambda name: math.inf if math.isnan(errors[name]) else errors[name], default="")
    return Check(check, errors.get(where, 0.0), limit, where)


def gradient_floor(grads: Mapping[str, Array]) -> float:
    """The absolute size below which a gradient tensor is compared on the scale of the whole."""
    return SMALL_GRADIENT * max((float(np.max(np.abs(g))) for g in grads.values()), default=0.0)


def l2_error(got: Mapping[str, Array], want: Mapping[str, Array]) -> float:
    """||got - want|| / ||want|| over all tensors together."""
    names = sorted(want)
    if set(got) != set(names) or any(got[n].shape != want[n].shape for n in names):
        return math.inf
    difference = sum(float(np.sum((got[n] - want[n]) ** 2)) for n in names)
    return math.sqrt(difference / sum(float(np.sum(want[n] ** 2)) for n in names))
