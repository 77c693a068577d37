"""The Transformer networks in float64 NumPy, forward and backward: the other family of ``suite.spec.network``.

    label      read -> blocks -> LN -> head at every step      causal, or with bidirectional = true seeing both ways
    final      the same, the head at the last valid step
    translate  src -> enc blocks, both ways -> LN -> memory
               tgt -> dec blocks, causal, each reading the memory too -> LN -> head at every step

What a tower reads, and its positions: ``suite.spec.towers``; a block: ``suite.spec.archs.transformer``. Pads are never
seen. A tower puts out 0 at them, as a recurrent network does.

    label, causal: Radford et al. 2019 (GPT-2)    both ways: Devlin et al. 2019 (BERT)    translate: Raffel et al. 2020
    (T5); of each the arrangement alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.archs.transformer import View, layer_norm, layer_norm_vjp
from suite.spec.contract import BOS, EOS, PAD, Array, Batch, Net, Params
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import of
from suite.spec.towers import Tower, check_length, sinusoid, towers


def forward(net: Net, p: Params, batch: Batch) -> tuple[Array, Any]:
    """Outputs (B, [T,] O) and the tape."""
    first = towers(net)[0]
    y, tape = _run(net, p, first, batch.x, batch.valid, batch.masks)
    tapes = [tape]
    if net.signature.kind == "translate":
        y, tape = _run(net, p, towers(net)[1], batch.y_in, batch.y_valid, batch.masks, y, batch.valid)
        tapes.append(tape)
    read = y[np.arange(len(y)), batch.lengths - 1] if net.signature.kind == "final" else y
    return read @ p["head/V"] + p["head/d"], (read, tapes)


def gradients(net: Net, p: Params, batch: Batch, tape: Any, doutputs: Array) -> Params:
    """dL/doutputs -> dL/dparameter, by name."""
    read, tapes = tape
    flat = doutputs.reshape(-1, doutputs.shape[-1])
    dp: Params = {"head/V": read.reshape(-1, read.shape[-1]).T @ flat, "head/d": flat.sum(0)}
    dy = doutputs @ p["head/V"].T
    if net.signature.kind == "final":
        dlast, dy = dy, np.zeros((*batch.x.shape[:2], dy.shape[-1]))
        dy[np.arange(len(dy)), batch.lengths - 1] = dlast
    for tower, own in reversed(list(zip(towers(net), tapes, strict=True))):
        tokens = batch.y_in if tower.cross else batch.x
        valid = batch.y_valid if tower.cross else batch.valid
        dy, dtower = _run_vjp(net, p, tower, tokens, valid, batch.masks, own, dy)  # dL/dmemory is dL/dy of the encoder
        dp |= dtower
    return {name: dp[name] for name in p}


def decode(net: Net, p: Params, batch: Batch) -> Array:
    """Greedy decoding: (B, longest_target) int32, the prefix computed anew for every token.

    The first of equal logits wins; after eos comes pad.
    """
    rows, steps = len(batch.x), net.signature.longest_target
    enc, dec = towers(net)
    memory, _ = _run(net, p, enc, batch.x, batch.valid, NONE)
    y_in, out = np.full((rows, steps), PAD, np.int32), np.full((rows, steps), PAD, np.int32)
    y_in[:, 0], done = BOS, np.zeros(rows, bool)
    for t in range(steps):
        y, _ = _run(net, p, dec, y_in, np.ones((rows, steps), bool), NONE, memory, batch.valid)
        out[:, t] = np.where(done, PAD, (y[:, t] @ p["head/V"] + p["head/d"]).argmax(-1))
        y_in[:, t + 1 : t + 2] = out[:, t : t + 1]
        done |= out[:, t] == EOS
    return out


def flops(net: Net, batch: Batch) -> int:
    """Of one training step: see ``suite.spec.network.flops``. Scores are counted for all pairs of padded steps."""
    width, sig = net.sizes.hidden, net.signature
    source = batch.x.shape[1]
    target = batch.y.shape[1] if sig.kind == "translate" else 0
    total = {"label": source, "final": 1, "translate": target}[sig.kind] * width * sig.outputs
    for tower in towers(net):
        steps = target if tower.cross else source
        block = steps * 12 * width**2 + 2 * steps**2 * width  # q, k, v, o and the two of the FFN; scores, their use
        if tower.cross:
            block += 2 * (target + source) * width**2 + 2 * target * source * width
        total += net.sizes.layers * block
    features_read = 0 if sig.tokens else source * sig.inputs * width  # by the first tower, which is all there is then
    return len(batch.x) * (6 * total + 4 * features_read)


def _run(
    net: Net,
    p: Params,
    tower: Tower,
    x: Array | None,
    valid: Array,
    masks: Masks,
    memory: Array | None = None,
    memory_valid: Array | None = None,
) -> tuple[Array, Any]:
    """Tokens (B, T) or features (B, T, F) -> the tower's output (B, T, D), 0 at pads; and the tape."""
    assert x is not None, "a translate batch has y_in"
    steps, width = x.shape[1], net.sizes.hidden
    check_length(net, steps)
    n = p[f"{tower.side}emb/E"][x] * width**0.5 if tower.tokens else x @ p["in/V"] + p["in/d"]
    n = n + (p[f"{tower.side}pos/E"][:steps] * width**0.5 if net.sizes.positions else sinusoid(steps, width))
    n = drop(masks, f"{tower.prefix}emb", n)
    seen = valid[:, None] & (np.tri(steps, dtype=bool) if tower.causal else np.ones((steps, steps), bool))
    view = View(net.sizes.heads, seen, memory, None if memory_valid is None else memory_valid[:, None])
    tapes = []
    for layer in tower.layers(net):
        n, tape = net.arch.step(of(p, layer), n, view._replace(masks=of(masks, layer)))
        tapes.append(tape)
    y, norm = layer_norm(p, f"{tower.prefix}ln", n)
    return np.where(valid[..., None], y, 0), (tapes, norm)


def _run_vjp(
    net: Net, p: Params, tower: Tower, x: Array | None, valid: Array, masks: Masks, tape: Any, dy: Array
) -> tuple[Array, Params]:
    """dL/dy of a tower -> dL/dmemory (0 where it reads none), dL/dparameter."""
    assert x is not None, "a translate batch has y_in"
    steps, width = x.shape[1], net.sizes.hidden
    tapes, norm = tape
    dn, dp = layer_norm_vjp(p, f"{tower.prefix}ln", norm, np.where(valid[..., None], dy, 0))
    dmemory: Array = np.zeros(())
    for layer, own in zip(reversed(tower.layers(net)), reversed(tapes), strict=True):
        dn, dread, dblock = net.arch.step_vjp(of(p, layer), own, dn)
        dp |= {layer + name: g for name, g in dblock.items()}
        dmemory = dmemory if dread is None else dmemory + dread
    dn = drop(masks, f"{tower.prefix}emb", dn)
    if tower.tokens:
        dp[f"{tower.side}emb/E"] = table = np.zeros_like(p[f"{tower.side}emb/E"])
        np.add.at(table, x, dn * width**0.5)
    else:
        dp |= {"in/V": np.einsum("btf,btd->fd", x, dn), "in/d": dn.sum((0, 1))}
    if net.sizes.positions:
        dp[f"{tower.side}pos/E"] = table = np.zeros_like(p[f"{tower.side}pos/E"])
        table[:steps] = dn.sum(0) * width**0.5
    return dmemory, dp
