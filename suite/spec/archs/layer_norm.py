"""Layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450), without its gain and bias, and its VJP.

LN(v) = (v - mean) / sqrt(var + 1e-5)       over the last axis; var is the mean of (v - mean)^2, in two passes
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.contract import Array

EPS = 1e-5


def norm(v: Array) -> tuple[Array, Any]:
    """v (B, N) -> LN(v) and what `norm_vjp` needs."""
    d = v - v.mean(-1, keepdims=True)
    size = np.sqrt((d * d).mean(-1, keepdims=True) + EPS)
    return d / size, (d / size, size)


def norm_vjp(tape: Any, dy: Array) -> Array:
    """dL/dLN(v) -> dL/dv."""
    y, size = tape
    return (dy - dy.mean(-1, keepdims=True) - y * (dy * y).mean(-1, keepdims=True)) / size


def product(x: Array, w: Array) -> tuple[Array, Any]:
    """x (B, I), w (I, N) -> LN(x w) and what `product_vjp` needs."""
    y, tape = norm(x @ w)
    return y, (x, w, tape)


def product_vjp(tape: Any, dy: Array) -> tuple[Array, Array]:
    """dL/dLN(x w) -> dL/dx, dL/dw."""
    x, w, tape = tape
    dv = norm_vjp(tape, dy)
    return dv @ w.T, x.T @ dv
