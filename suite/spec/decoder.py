"""The decoder of a translation, teacher forced: a plain stack, or one that attends to its encoder's outputs.

    plain      y = stack(x)                                       read-out  y
    additive   for each t: c_t = attend(h_{t-1}), y_t = stack([x_t; c_t])    [y_t; c_t]
    general    y = stack(x), then attend(y_t) for each t                     tanh([c_t; y_t] Wc)

h_{t-1} is the top layer's. What is read is 0 at pads of the target. See ``suite.spec.attention``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec import attention
from suite.spec.contract import Array, Net, Params, State
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import of, stack
from suite.spec.stack import run, run_vjp


def forward(
    net: Net,
    p: Params,
    x: Array,
    valid: Array,
    memory: Array,
    source: Array,
    state: State,
    masks: Masks = NONE,
) -> tuple[Array, State, Any]:
    """x (B, S, D), valid (B, S), memory (B, T, F), source (B, T) valid -> what is read (B, S, R), final state, tape."""
    layers, own = stack(net, "dec/"), of(p, "attn/")
    if net.arch.attention != "additive":
        y, state, tapes = run(net, p, layers, x, valid, state, masks)
        if not net.arch.attention:
            return y, state, (tapes, None)
        read, _, tape = attention.general(own, y, memory, source)
        return np.where(valid[..., None], read, 0), state, (tapes, tape)
    x, masks = drop(masks, "dec/layer0", x), without_x(masks)
    keys, query = memory @ own["Wk"], layers[-1][0].prefix + "h"
    reads, steps = [], []
    for t in range(x.shape[1]):
        c, _, asked = attention.additive(own, state[query], keys, memory, source)
        both = np.concatenate([x[:, t], c], axis=-1)[:, None]
        y, state, tapes = run(net, p, layers, both, valid[:, t, None], state, masks)
        reads.append(np.concatenate([y[:, 0], c], axis=-1))
        steps.append((tapes, asked))
    return np.where(valid[..., None], np.stack(reads, axis=1), 0), state, (steps, keys)


def vjp(
    net: Net, p: Params, tape: Any, valid: Array, memory: Array, dread: Array, dstate: State, masks: Masks = NONE
) -> tuple[Array, State, Array, Params, dict[str, Array]]:
    """dL/dread and dL/d(final state) -> dL/dx, dL/d(first state), dL/dmemory, dL/dp, and the gradient flow."""
    layers, own = stack(net, "dec/"), of(p, "attn/")
    dmemory = np.zeros(memory.shape)
    dread = np.where(valid[..., None], dread, 0)
    if net.arch.attention != "additive":
        dp: Params = {}
        if net.arch.attention:
            dread, dmemory, dp = attention.general_vjp(own, tape[1], memory, dread)
        dx, dstate, ddec, flow = run_vjp(net, p, layers, tape[0], valid, dread, dstate, masks)
        return dx, dstate, dmemory, ddec | _below("attn/", dp), flow
    steps, keys = tape
    hidden, width, inner = net.sizes.hidden, p["tgt_emb/E"].shape[1], without_x(masks)
    dkeys, query = np.zeros(keys.shape), layers[-1][0].prefix + "h"
    total: Params = {}
    flows: list[dict[str, Array]] = []
    dxs = []
    for t in reversed(range(len(steps))):
        tapes, asked = steps[t]
        dy, dc = dread[:, t, None, :hidden], dread[:, t, hidden:]
        dboth, dstate, ddec, flow = run_vjp(net, p, layers, tapes, valid[:, t, None], dy, dstate, inner)
        dq, dkeys_t, dmemory_t, dp = attention.additive_vjp(own, asked, memory, dc + dboth[:, 0, width:])
        dstate = dstate | {query: dstate[query] + dq}
        dkeys, dmemory = dkeys + dkeys_t, dmemory + dmemory_t
        for name, g in (ddec | _below("attn/", dp)).items():
            total[name] = total.get(name, 0.0) + g
        flows.append(flow)
        dxs.append(dboth[:, 0, :width])
    total["attn/Wk"] = np.einsum("btf,bta->fa", memory, dkeys)
    flow = {name: np.concatenate([f[name] for f in reversed(flows)]) for name in flows[0]}
    return drop(masks, "dec/layer0", np.stack(dxs[::-1], axis=1)), dstate, dmemory + dkeys @ own["Wk"].T, total, flow


def without_x(masks: Masks) -> Masks:
    """The masks of the layers above the first, whose own is for x and not for [x; c]."""
    return {name: m for name, m in masks.items() if name != "dec/layer0"}


def weights(tape: Any) -> Array:
    """The attention's weights (B, S, T), from the tape of `forward`."""
    steps, asked = tape
    if isinstance(steps, list):
        return np.stack([a for _, (_, _, a) in steps], axis=1)
    return asked[2]


def _below(prefix: str, p: Params) -> Params:
    return {prefix + name: value for name, value in p.items()}
