"""Transformer, pre-LN: one block over all steps.

    x' = x + attention(LN(x), LN(x))               ln1, attn    a step reads the steps of its own sequence
    x' = x + attention(LN(x), m)                   lnx, cross   in a decoder: m (B, M, D) is the encoder's output
    x' = x + FFN(LN(x))                            ln2, ffn

    LN(x)            g (x - mean x) / sqrt(var x + 1e-5) + s       over D, the mean first and then the (biased) variance
    attention(x, m)  concat_h(softmax(where(seen, q_h k_h^T / sqrt(D / heads), -1e30)) v_h) Wo + bo
                     q = x Wq, k = m Wk, v = m Wv, without biases; head h has the h-th D / heads columns
    FFN(x)           gelu(x W1 + b1) W2 + b2       gelu(a) = a (1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) / 2

Wq, Wk, Wv, Wo (D, D)  W1 (D, 4D)  W2 (4D, D)  g, s, bo, b2 (D)  b1 (4D); how blocks make networks:
`suite.spec.transformer`.

Source: Vaswani et al. 2017 (arXiv 1706.03762) with the norm before each part (Xiong et al. 2020, arXiv 2002.04745) and
the GELU (Hendrycks & Gimpel 2016, arXiv 1606.08415) in the form with tanh, as in GPT-2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from suite.spec.arch import Arch
from suite.spec.archs.layer_norm import norm, norm_vjp
from suite.spec.attention import softmax, softmax_vjp
from suite.spec.contract import Array, Params
from suite.spec.dropout import NONE, Masks, drop

GELU_SCALE, GELU_CUBE = (2.0 / np.pi) ** 0.5, 0.044715


class View(NamedTuple):
    """What a block sees beside x (B, T, D). Every step must see at least one other or itself.

    heads        into how many D is cut
    seen         (B, T, T) bool: whether step t (first) may read step j (second)
    memory       (B, M, D): a decoder's block reads it too
    memory_seen  (B, 1, M) bool
    masks        "attn", "cross", "ffn" -> (B, D): what each part is multiplied by before it is added
    """

    heads: int
    seen: Array
    memory: Array | None = None
    memory_seen: Array | None = None
    masks: Masks = NONE


def shapes(width: int, cross: bool = False) -> dict[str, tuple[int, ...]]:
    """Parameter name -> shape of one block of this width, an encoder's or (``cross``) a decoder's."""
    d = width
    norm: dict[str, tuple[int, ...]] = {"g": (d,), "s": (d,)}
    heads: dict[str, tuple[int, ...]] = {"Wq": (d, d), "Wk": (d, d), "Wv": (d, d), "Wo": (d, d), "bo": (d,)}
    ffn = {"W1": (d, 4 * d), "b1": (4 * d,), "W2": (4 * d, d), "b2": (d,)}
    parts = {"ln1": norm, "attn": heads, **({"lnx": norm, "cross": heads} if cross else {}), "ln2": norm, "ffn": ffn}
    return {f"{part}/{name}": shape for part, own in parts.items() for name, shape in own.items()}


def step(p: Params, x: Array, view: View) -> tuple[Array, Any]:
    """x (B, T, D) -> x' (B, T, D) and what `step_vjp` needs."""
    n, norm1 = layer_norm(p, "ln1", x)
    y, self_tape = attention(p, "attn", n, n, view.seen, view.heads)
    x = x + drop(view.masks, "attn", y)
    normx = cross_tape = None
    if view.memory is not None:
        n, normx = layer_norm(p, "lnx", x)
        y, cross_tape = attention(p, "cross", n, view.memory, view.memory_seen, view.heads)
        x = x + drop(view.masks, "cross", y)
    n, norm2 = layer_norm(p, "ln2", x)
    y, ffn_tape = feed_forward(p, "ffn", n)
    return x + drop(view.masks, "ffn", y), (norm1, self_tape, normx, cross_tape, norm2, ffn_tape, view.masks)


def step_vjp(p: Params, tape: Any, dx: Array) -> tuple[Array, Array | None, Params]:
    """dL/dx' -> dL/dx, dL/dmemory (None where there is no memory), dL/dp."""
    norm1, self_tape, normx, cross_tape, norm2, ffn_tape, masks = tape
    dn, dffn = feed_forward_vjp(p, "ffn", ffn_tape, drop(masks, "ffn", dx))
    dpart, dln2 = layer_norm_vjp(p, "ln2", norm2, dn)
    dx, dp, dmemory = dx + dpart, dffn | dln2, None
    if cross_tape is not None:
        dn, dmemory, dcross = attention_vjp(p, "cross", cross_tape, drop(masks, "cross", dx))
        dpart, dlnx = layer_norm_vjp(p, "lnx", normx, dn)
        dx, dp = dx + dpart, dp | dcross | dlnx
    dquery, dkey, dattn = attention_vjp(p, "attn", self_tape, drop(masks, "attn", dx))
    dpart, dln1 = layer_norm_vjp(p, "ln1", norm1, dquery + dkey)
    return dx + dpart, dmemory, dp | dattn | dln1


def layer_norm(p: Params, at: str, x: Array) -> tuple[Array, Any]:
    """x (..., D), normed, scaled by p[at/g], shifted by p[at/s]; and the tape."""
    n, tape = norm(x)
    return n * p[f"{at}/g"] + p[f"{at}/s"], (n, tape)


def layer_norm_vjp(p: Params, at: str, tape: Any, dy: Array) -> tuple[Array, Params]:
    """dL/dy -> dL/dx, dL/dp."""
    n, tape = tape
    return norm_vjp(tape, dy * p[f"{at}/g"]), {f"{at}/g": _over_rows(dy * n), f"{at}/s": _over_rows(dy)}


def attention(p: Params, at: str, x: Array, memory: Array, seen: Array | None, heads: int) -> tuple[Array, Any]:
    """Steps of x (B, T, D) read those of memory (B, M, D) that are seen (B, T or 1, M) -> (B, T, D) and the tape."""
    assert seen is not None, "what is read comes with what may be seen of it"
    q, k, v = (_split(y @ p[f"{at}/{name}"], heads) for y, name in ((x, "Wq"), (memory, "Wk"), (memory, "Wv")))
    a = softmax(q @ _t(k) * q.shape[-1] ** -0.5, seen[:, None])  # (B, heads, T, M)
    z = _merge(a @ v)
    return z @ p[f"{at}/Wo"] + p[f"{at}/bo"], (x, memory, q, k, v, a, z)


def attention_vjp(p: Params, at: str, tape: Any, dy: Array) -> tuple[Array, Array, Params]:
    """dL/dy -> dL/dx, dL/dmemory, dL/dp."""
    x, memory, q, k, v, a, z = tape
    dz = _split(dy @ p[f"{at}/Wo"].T, q.shape[1])
    dscores = softmax_vjp(a, dz @ _t(v)) * q.shape[-1] ** -0.5  # 0 where not seen, as a is
    dq, dk, dv = _merge(dscores @ k), _merge(_t(dscores) @ q), _merge(_t(a) @ dz)
    dp = {"Wq": _product(x, dq), "Wk": _product(memory, dk), "Wv": _product(memory, dv), "Wo": _product(z, dy)}
    dx, dmemory = dq @ p[f"{at}/Wq"].T, dk @ p[f"{at}/Wk"].T + dv @ p[f"{at}/Wv"].T
    return dx, dmemory, {f"{at}/{name}": g for name, g in (dp | {"bo": _over_rows(dy)}).items()}


def feed_forward(p: Params, at: str, x: Array) -> tuple[Array, Any]:
    """x (B, T, D) -> (B, T, D) and the tape."""
    a = x @ p[f"{at}/W1"] + p[f"{at}/b1"]
    t = np.tanh(GELU_SCALE * (a + GELU_CUBE * a**3))
    h = 0.5 * a * (1 + t)
    return h @ p[f"{at}/W2"] + p[f"{at}/b2"], (x, a, t, h)


def feed_forward_vjp(p: Params, at: str, tape: Any, dy: Array) -> tuple[Array, Params]:
    """dL/dy -> dL/dx, dL/dp."""
    x, a, t, h = tape
    slope = 0.5 * (1 + t) + 0.5 * a * (1 - t**2) * GELU_SCALE * (1 + 3 * GELU_CUBE * a**2)
    da = dy @ p[f"{at}/W2"].T * slope
    dp = {"W1": _product(x, da), "b1": _over_rows(da), "W2": _product(h, dy), "b2": _over_rows(dy)}
    return da @ p[f"{at}/W1"].T, {f"{at}/{name}": g for name, g in dp.items()}


def _split(x: Array, heads: int) -> Array:
    """(B, T, D) -> (B, heads, T, D / heads)."""
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _merge(x: Array) -> Array:
    """The inverse of `_split`."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


def _t(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def _product(x: Array, dy: Array) -> Array:
    """dL/dW of y = x W, over all rows and steps."""
    return np.einsum("bti,bto->io", x, dy)


def _over_rows(dy: Array) -> Array:
    """dL/db of y = ... + b."""
    return dy.sum((0, 1))


TRANSFORMER = Arch(
    name="transformer",
    source="Vaswani et al. 2017 (arXiv 1706.03762), the norm before each part, GELU",
    gates=(),
    state=(),
    shapes=lambda _, width: shapes(width),
    step=step,
    step_vjp=step_vjp,
    bias=(),
    family="transformer",
)
