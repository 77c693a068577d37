"""The three networks in float64 NumPy, forward and backward: the oracle that everything faster is compared with.

    label      embed -> stack -> head at every step
    final      embed -> stack -> head on the top layer's final state (both directions side by side)
    translate  src_emb -> enc ; tgt_emb -> dec, started layer by layer from enc's final state -> head at every step

An encoder's final state is the one after the last *valid* step, which the masked scan carries to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from suite.spec.contract import BOS, EOS, PAD, Array, Batch, Net, Params, State
from suite.spec.loss import loss_rows
from suite.spec.params import Direction, Stack, of, stacks, state_shapes
from suite.spec.scan import scan, scan_vjp


@dataclass(frozen=True, slots=True)
class Gradients:
    """What the oracle knows of one batch: loss, its share per row, dL/dparameter, and the gradient flow."""

    loss: float
    rows: Array
    params: Params
    flow: dict[str, Array]


def zero_state(net: Net, rows: int, dtype: Any = np.float64) -> State:
    """The state every sequence starts from."""
    return {name: np.zeros(shape, dtype) for name, shape in state_shapes(net, rows).items()}


def forward(net: Net, p: Params, batch: Batch, state: State | None = None) -> tuple[Array, State, Any]:
    """Outputs (B, [T,] O), the final state, and the tape. ``state`` continues an earlier call ("label", one way)."""
    state = zero_state(net, len(batch.x), next(iter(p.values())).dtype) if state is None else state
    layers = stacks(net)
    if net.signature.kind != "translate":
        x = p["emb/E"][batch.x] if net.signature.tokens else batch.x
        y, final, tape = _run(net, p, layers[""], x, batch.valid, state)
        features = y if net.signature.kind == "label" else _last(layers[""][-1], final)
        return features @ p["head/V"] + p["head/d"], final, (features, final, tape)
    _, enc_final, enc_tape = _run(net, p, layers["enc/"], p["src_emb/E"][batch.x], batch.valid, state)
    dec_state = {name.replace("enc/", "dec/", 1): s for name, s in enc_final.items()}
    features, dec_final, dec_tape = _run(net, p, layers["dec/"], p["tgt_emb/E"][batch.y_in], batch.y_valid, dec_state)
    return features @ p["head/V"] + p["head/d"], enc_final | dec_final, (features, enc_tape, dec_tape)


def gradients(net: Net, p: Params, batch: Batch) -> Gradients:
    """Loss and every gradient of one batch, by the hand-derived VJPs."""
    outputs, _, tape = forward(net, p, batch)
    rows, doutputs = loss_rows(net.signature, outputs, batch)
    layers, features = stacks(net), tape[0]
    flat = (-1, features.shape[-1]), (-1, doutputs.shape[-1])
    dp: Params = {
        "head/V": features.reshape(flat[0]).T @ doutputs.reshape(flat[1]),
        "head/d": doutputs.reshape(flat[1]).sum(0),
    }
    dfeatures = doutputs @ p["head/V"].T
    zero = zero_state(net, len(batch.x))
    if net.signature.kind != "translate":
        dfinal, dy = zero, dfeatures
        if net.signature.kind == "final":
            dy = np.zeros((*batch.x.shape[:2], dfeatures.shape[1]))
            dfinal = zero | _split(layers[""][-1], dfeatures)
        dx, _, dlayers, flow = _run_vjp(net, p, layers[""], tape[2], batch.valid, dy, dfinal)
        dp |= dlayers
        if net.signature.tokens:
            dp["emb/E"] = _embedding_vjp(p["emb/E"], batch.x, dx)
        return Gradients(float(rows.sum()), rows, {name: dp[name] for name in p}, flow)
    _, enc_tape, dec_tape = tape
    dtgt, dstate, ddec, dec_flow = _run_vjp(net, p, layers["dec/"], dec_tape, batch.y_valid, dfeatures, zero)
    dfinal = {name.replace("dec/", "enc/", 1): ds for name, ds in dstate.items()}
    dy = np.zeros((*batch.x.shape, net.sizes.hidden))
    dsrc, _, denc, enc_flow = _run_vjp(net, p, layers["enc/"], enc_tape, batch.valid, dy, dfinal)
    dp |= ddec | denc
    dp["src_emb/E"] = _embedding_vjp(p["src_emb/E"], batch.x, dsrc)
    dp["tgt_emb/E"] = _embedding_vjp(p["tgt_emb/E"], batch.y_in, dtgt)
    return Gradients(float(rows.sum()), rows, {name: dp[name] for name in p}, enc_flow | dec_flow)


def decode(net: Net, p: Params, batch: Batch) -> Array:
    """Greedy decoding: (B, longest_target) int32. The first of equal logits wins; after eos comes pad."""
    rows, steps = len(batch.x), net.signature.longest_target
    layers = stacks(net)
    _, final, _ = _run(net, p, layers["enc/"], p["src_emb/E"][batch.x], batch.valid, zero_state(net, rows))
    state = {name.replace("enc/", "dec/", 1): s for name, s in final.items()}
    token, done = np.full(rows, BOS, np.int32), np.zeros(rows, bool)
    out = np.full((rows, steps), PAD, np.int32)
    for t in range(steps):
        y, state, _ = _run(net, p, layers["dec/"], p["tgt_emb/E"][token[:, None]], np.ones((rows, 1), bool), state)
        token = np.where(done, PAD, (y[:, 0] @ p["head/V"] + p["head/d"]).argmax(-1)).astype(np.int32)
        out[:, t] = token
        done |= token == EOS
    return out


def flops(net: Net, batch: Batch) -> int:
    """Floating-point operations of one training step, by formula: the matrix products, 2 per multiply-add.

    Forward once and backward twice (towards inputs and towards weights), over padded steps; element-wise work,
    embeddings and the optimiser are left out.
    """
    rows, sizes, sig = len(batch.x), net.sizes, net.signature
    total = 0
    for prefix, layers in stacks(net).items():
        assert batch.y_in is not None or prefix != "dec/", "a translate batch has y_in"
        steps = batch.y_in.shape[1] if prefix == "dec/" and batch.y_in is not None else batch.x.shape[1]
        for layer in layers:
            for d in layer:
                gates = len(net.arch.gates) * sizes.hidden
                total += 2 * rows * steps * gates * (d.inputs + sizes.hidden)
    reads = {"label": batch.x.shape[1], "final": 1, "translate": batch.y.shape[-1]}[sig.kind]
    features = sizes.hidden * (2 if sizes.bidirectional else 1)
    return 3 * (total + 2 * rows * reads * features * sig.outputs)


def _run(net: Net, p: Params, layers: Stack, x: Array, valid: Array, state: State) -> tuple[Array, State, Any]:
    """A stack of layers: x (B, T, I) -> top outputs (B, T, F), the final states, the tapes of each direction."""
    final: State = {}
    tapes: dict[str, Any] = {}
    for layer in layers:
        ys = []
        for d in layer:
            first = tuple(state[d.prefix + s] for s in net.arch.state)
            y, last, tapes[d.prefix] = scan(net.arch, of(p, d.prefix), x, valid, first, d.reverse)
            final |= {d.prefix + s: value for s, value in zip(net.arch.state, last, strict=True)}
            ys.append(y)
        x = np.concatenate(ys, axis=-1)
    return x, final, tapes


def _run_vjp(
    net: Net, p: Params, layers: Stack, tapes: Any, valid: Array, dy: Array, dfinal: State
) -> tuple[Array, State, Params, dict[str, Array]]:
    dp: Params = {}
    dstate: State = {}
    flow: dict[str, Array] = {}
    for layer in reversed(layers):
        dx = None
        for d, part in zip(layer, np.split(dy, len(layer), axis=-1), strict=True):
            last = tuple(dfinal[d.prefix + s] for s in net.arch.state)
            one, first, dp_d, flow_d = scan_vjp(
                net.arch, of(p, d.prefix), tapes[d.prefix], valid, part, last, d.reverse
            )
            dx = one if dx is None else dx + one
            dp |= {d.prefix + name: g for name, g in dp_d.items()}
            flow |= {d.prefix + name: f for name, f in flow_d.items()}
            dstate |= {d.prefix + s: g for s, g in zip(net.arch.state, first, strict=True)}
        assert dx is not None, "a layer has a direction"
        dy = dx
    return dy, dstate, dp, flow


def _last(layer: list[Direction], final: State) -> Array:
    return np.concatenate([final[d.prefix + "h"] for d in layer], axis=-1)


def _split(layer: list[Direction], dfeatures: Array) -> State:
    parts = np.split(dfeatures, len(layer), axis=-1)
    return {d.prefix + "h": part for d, part in zip(layer, parts, strict=True)}


def _embedding_vjp(table: Array, tokens: Array | None, dx: Array) -> Array:
    assert tokens is not None, "a translate batch has y_in"
    out = np.zeros(table.shape)
    np.add.at(out, tokens, dx)
    return out
