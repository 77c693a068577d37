"""The networks in float64 NumPy, forward and backward: the oracle that everything faster is compared with.

    label      embed -> stack -> head at every step
    final      embed -> stack -> head on the top layer's outputs at its directions' last steps (side by side)
    translate  src_emb -> enc ; tgt_emb -> dec, started layer by layer from enc's final state -> head at every step;
               with attention the decoder reads all of enc's outputs, see ``suite.spec.decoder``

An encoder's final state is the one after the last *valid* step, which the masked scan carries to the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from suite.spec import decoder, towers, transformer
from suite.spec.contract import BOS, EOS, PAD, Array, Batch, Net, Optim, Params, Precision, State
from suite.spec.dropout import drop
from suite.spec.loss import loss_rows
from suite.spec.optim import SLOTS
from suite.spec.params import bridge, features, shapes, stacks, state_shapes
from suite.spec.stack import run, run_vjp


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
    if net.arch.family == "transformer":
        towers.check_state(net, state)
        outputs, tape = transformer.forward(net, p, batch)
        return outputs, {}, tape
    state = zero_state(net, len(batch.x), next(iter(p.values())).dtype) if state is None else state
    layers = stacks(net)
    if net.signature.kind != "translate":
        x = p["emb/E"][batch.x] if net.signature.tokens else batch.x
        y, final, tape = run(net, p, layers[""], x, batch.valid, state, batch.masks)
        read = drop(batch.masks, "head", y if net.signature.kind == "label" else _at_ends(net, y, batch))
        return read @ p["head/V"] + p["head/d"], final, (read, tape)
    memory, enc_final, enc_tape = run(net, p, layers["enc/"], p["src_emb/E"][batch.x], batch.valid, state, batch.masks)
    first = {to: enc_final[source] for to, source in bridge(net).items()}
    read, dec_final, dec_tape = decoder.forward(
        net, p, p["tgt_emb/E"][batch.y_in], batch.y_valid, memory, batch.valid, first, batch.masks
    )
    read = drop(batch.masks, "head", read)
    return read @ p["head/V"] + p["head/d"], enc_final | dec_final, (read, enc_tape, dec_tape, memory)


def gradients(net: Net, p: Params, batch: Batch) -> Gradients:
    """Loss and every gradient of one batch, by the hand-derived VJPs."""
    outputs, _, tape = forward(net, p, batch)
    rows, doutputs = loss_rows(net.signature, outputs, batch)
    if net.arch.family == "transformer":
        return Gradients(float(rows.sum()), rows, transformer.gradients(net, p, batch, tape, doutputs), {})
    layers, read = stacks(net), tape[0]
    flat = doutputs.reshape(-1, doutputs.shape[-1])
    dp: Params = {"head/V": read.reshape(-1, read.shape[-1]).T @ flat, "head/d": flat.sum(0)}
    dread = drop(batch.masks, "head", doutputs @ p["head/V"].T)
    zero = zero_state(net, len(batch.x))
    if net.signature.kind != "translate":
        dy = dread if net.signature.kind == "label" else _at_ends_vjp(net, dread, batch)
        dx, _, dlayers, flow = run_vjp(net, p, layers[""], tape[1], batch.valid, dy, zero, batch.masks)
        dp |= dlayers
        if net.signature.tokens:
            dp["emb/E"] = _embedding_vjp(p["emb/E"], batch.x, dx)
        return Gradients(float(rows.sum()), rows, {name: dp[name] for name in p}, flow)
    _, enc_tape, dec_tape, memory = tape
    dtgt, dfirst, dmemory, ddec, dec_flow = decoder.vjp(
        net, p, dec_tape, batch.y_valid, memory, dread, zero, batch.masks
    )
    dfinal = zero | {source: dfirst[to] for to, source in bridge(net).items()}
    dsrc, _, denc, enc_flow = run_vjp(net, p, layers["enc/"], enc_tape, batch.valid, dmemory, dfinal, batch.masks)
    dp |= ddec | denc
    dp["src_emb/E"] = _embedding_vjp(p["src_emb/E"], batch.x, dsrc)
    dp["tgt_emb/E"] = _embedding_vjp(p["tgt_emb/E"], batch.y_in, dtgt)
    return Gradients(float(rows.sum()), rows, {name: dp[name] for name in p}, enc_flow | dec_flow)


def decode(net: Net, p: Params, batch: Batch) -> Array:
    """Greedy decoding: (B, longest_target) int32. The first of equal logits wins; after eos comes pad."""
    if net.arch.family == "transformer":
        return transformer.decode(net, p, batch)
    rows, steps = len(batch.x), net.signature.longest_target
    memory, final, _ = run(net, p, stacks(net)["enc/"], p["src_emb/E"][batch.x], batch.valid, zero_state(net, rows))
    state = {to: final[source] for to, source in bridge(net).items()}
    token, done, one = np.full(rows, BOS, np.int32), np.zeros(rows, bool), np.ones((rows, 1), bool)
    out = np.full((rows, steps), PAD, np.int32)
    for t in range(steps):
        read, state, _ = decoder.forward(net, p, p["tgt_emb/E"][token[:, None]], one, memory, batch.valid, state)
        token = np.where(done, PAD, (read[:, 0] @ p["head/V"] + p["head/d"]).argmax(-1)).astype(np.int32)
        out[:, t] = token
        done |= token == EOS
    return out


def alignments(net: Net, p: Params, batch: Batch) -> Array:
    """The attention's weights, teacher forced: (B, S, T); 0 at pads of the source. ValueError where there is none."""
    if not net.arch.attention:
        raise ValueError(
            f"alignments: the decoder of {net.arch.name} has no attention; use an architecture such as gru_attention"
        )
    _, _, tape = forward(net, p, batch)
    return decoder.weights(tape[2])


def flops(net: Net, batch: Batch) -> int:
    """Floating-point operations of one training step, by formula: the matrix products, 2 per multiply-add.

    Forward once and backward twice, towards weights and towards inputs, but once where those are features; over padded
    steps. Element-wise work, embeddings and the optimiser are left out.
    """
    if net.arch.family == "transformer":
        return transformer.flops(net, batch)
    rows, source, sig, hidden = len(batch.x), batch.x.shape[1], net.signature, net.sizes.hidden
    target = batch.y.shape[1] if sig.kind == "translate" else 0
    steps = {"": source, "enc/": source, "dec/": target}
    total = 0
    for prefix, layers in stacks(net).items():
        for layer in layers:
            gates = len(net.arch.gates) * hidden * len(layer)
            total += steps[prefix] * gates * (layer[0].inputs + hidden)
    own = shapes(net)
    total += sum(steps[n[: n.index("skip")]] * s[0] * s[1] for n, s in own.items() if n.endswith("/R"))
    of_features = 0  # whose gradients nobody needs
    if not sig.tokens:
        widths = [s[1] for n, s in own.items() if n == "skip0/R" or (n.startswith("layer0/") and n.endswith("/W"))]
        of_features = source * sig.inputs * sum(widths)
    if net.arch.attention == "additive":  # q Wq, m Wk, tanh() v, weights times memory
        total += target * hidden**2 + source * features(net) * hidden + target * source * (hidden + features(net))
    if net.arch.attention == "general":  # y Wa, its products with the memory, weights times memory, [c; y] Wc
        total += target * (2 * hidden * features(net) + hidden**2 + 2 * source * features(net))
    reads = {"label": source, "final": 1, "translate": target}[sig.kind]
    return rows * (6 * (total + reads * own["head/V"][0] * sig.outputs) - 2 * of_features)


def traffic(net: Net, batch: Batch, optim: Optim, precision: Precision) -> int:
    """Bytes that one training step must move at the least, by formula, were all its activations to stay in a cache.

    Every value of the batch is read; every parameter is read forward and backward, its gradient written and read, and
    the optimiser reads and writes it and its slots.
    """
    moves = 2 + 2 + 2 * (1 + len(SLOTS[optim.name]))
    numbers = moves * sum(math.prod(shape) for shape in shapes(net).values()) + batch.x.size + batch.y.size
    return numbers * np.dtype(precision).itemsize


def _at_ends(net: Net, y: Array, batch: Batch) -> Array:
    """The outputs of each direction at the step where it ends: forward at the last valid one, backward at the first."""
    forward_end = y[np.arange(len(y)), batch.lengths - 1]
    if not net.sizes.bidirectional:
        return forward_end
    hidden = net.sizes.hidden
    return np.concatenate([forward_end[:, :hidden], y[:, 0, hidden:]], axis=-1)


def _at_ends_vjp(net: Net, dread: Array, batch: Batch) -> Array:
    dy = np.zeros((*batch.x.shape[:2], dread.shape[1]))
    hidden = net.sizes.hidden
    dy[np.arange(len(dy)), batch.lengths - 1, :hidden] = dread[:, :hidden]
    dy[:, 0, hidden:] = dread[:, hidden:]
    return dy


def _embedding_vjp(table: Array, tokens: Array | None, dx: Array) -> Array:
    assert tokens is not None, "a translate batch has y_in"
    out = np.zeros(table.shape)
    np.add.at(out, tokens, dx)
    return out
