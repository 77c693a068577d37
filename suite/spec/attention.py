"""Attention of a decoder over its encoder's outputs, forward and backward, in float64 NumPy.

    additive   e_j = tanh(q Wq + k_j) v     k = m Wk (B, T, A)      q: the decoder's state before the step
    general    e_j = (q Wa) . m_j                                   q: the decoder's output at the step

    a = softmax(where(valid, e, -1e30))     c = sum_j a_j m_j       m (B, T, F): the encoder's outputs

Wq (H, A)  Wk (F, A)  v (A), A = H, no biases;   Wa (H, F)  Wc (F + H, H). Additive attention feeds c to the decoder's
first layer beside the embedding, and to the read-out beside its output: [y; c]. General attention is asked after the
step and goes to the read-out alone, as tanh([c; y] Wc).

Sources: Bahdanau, Cho & Bengio 2015 (arXiv 1409.0473, A.1.2; the read-out is linear here, without maxout or the last
embedding); Luong, Pham & Manning 2015 (arXiv 1508.04025, eq. 5-8, without input feeding).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.contract import Array, Params

MASKED = -1e30  # finite in both precisions


def softmax(e: Array, valid: Array) -> Array:
    """Weights (..., T) over the valid steps; those of the others are exactly 0."""
    e = np.where(valid, e, MASKED)
    w = np.exp(e - e.real.max(-1, keepdims=True))
    return w / w.sum(-1, keepdims=True)


def softmax_vjp(a: Array, da: Array) -> Array:
    """dL/da -> dL/de."""
    return a * (da - (a * da).sum(-1, keepdims=True))


def additive(p: Params, q: Array, keys: Array, memory: Array, valid: Array) -> tuple[Array, Array, Any]:
    """q (B, H), keys (B, T, A), memory (B, T, F), valid (B, T) -> context (B, F), weights (B, T), tape."""
    t = np.tanh((q @ p["Wq"])[:, None] + keys)
    a = softmax(t @ p["v"], valid)
    return np.einsum("bt,btf->bf", a, memory), a, (q, t, a)


def additive_vjp(p: Params, tape: Any, memory: Array, dc: Array) -> tuple[Array, Array, Array, Params]:
    """dL/dc (B, F) -> dL/dq, dL/dkeys, dL/dmemory, and the shares of dL/dWq and dL/dv."""
    q, t, a = tape
    de = softmax_vjp(a, np.einsum("bf,btf->bt", dc, memory))
    dkeys = de[..., None] * p["v"] * (1 - t**2)
    dq = dkeys.sum(1)
    dp = {"Wq": q.T @ dq, "v": np.einsum("bt,bta->a", de, t)}
    return dq @ p["Wq"].T, dkeys, a[..., None] * dc[:, None], dp


def general(p: Params, y: Array, memory: Array, valid: Array) -> tuple[Array, Array, Any]:
    """y (B, S, H), memory (B, T, F), valid (B, T) -> tanh([c; y] Wc) (B, S, H), weights (B, S, T), tape."""
    q = y @ p["Wa"]
    a = softmax(np.einsum("bsf,btf->bst", q, memory), valid[:, None])
    both = np.concatenate([np.einsum("bst,btf->bsf", a, memory), y], axis=-1)
    out = np.tanh(both @ p["Wc"])
    return out, a, (y, q, a, both, out)


def general_vjp(p: Params, tape: Any, memory: Array, dout: Array) -> tuple[Array, Array, Params]:
    """dL/dout (B, S, H) -> dL/dy, dL/dmemory, dL/dp."""
    y, q, a, both, out = tape
    dpre = dout * (1 - out**2)
    dc, dy = np.split(dpre @ p["Wc"].T, [memory.shape[-1]], axis=-1)
    de = softmax_vjp(a, np.einsum("bsf,btf->bst", dc, memory))
    dq = np.einsum("bst,btf->bsf", de, memory)
    dmemory = np.einsum("bst,bsf->btf", a, dc) + np.einsum("bst,bsf->btf", de, q)
    dp = {"Wa": np.einsum("bsh,bsf->hf", y, dq), "Wc": np.einsum("bsi,bsh->ih", both, dpre)}
    return dy + dq @ p["Wa"].T, dmemory, dp
