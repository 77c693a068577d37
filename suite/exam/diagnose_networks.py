"""The mistakes of decoders and of residual stacks, for ``suite.exam.diagnose``.

Some are the oracle's own with other parameters or another cell (`bends`); the others need another decoder (`decoded`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from suite.spec.attention import softmax
from suite.spec.contract import Array, Batch, Net, Params, State
from suite.spec.decoder import without_x
from suite.spec.dropout import drop
from suite.spec.network import zero_state
from suite.spec.params import bridge, directions, features, link, of, stacks
from suite.spec.stack import run

Bend = tuple[str, Net, Params, Batch]
Weigh = Callable[[Array, Array], Array]  # scores (B, T), valid (B, T) -> weights (B, T)


def bends(net: Net, p: Params, batch: Batch) -> Iterator[Bend]:
    """Every known mistake: its name, and the network, parameters and batch that make the oracle commit it."""
    if net.arch.residual:
        plain = replace(net, arch=replace(net.arch, residual=False))
        yield "the residual link is missing", plain, p, batch
        yield "the residual link has no projection, it cuts or pads with zeros", net, _unprojected(p), batch
        if not net.sizes.bidirectional:
            yield "the residual link is added to the state, not to the output alone", *_on_state(plain, p), batch
    for text, name, bend in _misread(net):
        yield text, net, p | {name: bend(p[name])}, batch
    if net.arch.attention == "additive" and p["attn/Wk"].shape == p["attn/Wq"].shape:
        yield "the keys are made by Wq", net, p | {"attn/Wk": p["attn/Wq"]}, batch


def _misread(net: Net) -> Iterator[tuple[str, str, Callable[[Array], Array]]]:
    """One parameter of the attention that is read in another way."""
    hidden, wide, embed = net.sizes.hidden, features(net), net.sizes.embed
    no_context, scaled = "the context is missing from the read-out", "the scores are divided by sqrt(H)"
    if net.arch.attention == "additive":
        yield no_context, "head/V", lambda v: v * (np.arange(len(v)) < hidden)[:, None]
        yield "the read-out takes [c; y], not [y; c]", "head/V", lambda v: np.roll(v, -wide, axis=0)
        first = "dec/layer0/W"
        yield "the context is missing from the input", first, lambda w: w * (np.arange(len(w)) < embed)[:, None]
        yield "the decoder reads [c; x], not [x; c]", first, lambda w: np.roll(w, -wide, axis=0)
        yield scaled, "attn/v", lambda v: v * hidden**-0.5
        yield "Wq is transposed", "attn/Wq", lambda w: w.T
    if net.arch.attention == "general":
        yield no_context, "attn/Wc", lambda w: w * (np.arange(len(w)) >= wide)[:, None]
        yield "the read-out takes [y; c], not [c; y]", "attn/Wc", lambda w: np.roll(w, -hidden, axis=0)
        yield scaled, "attn/Wa", lambda w: w * hidden**-0.5
        if wide == hidden:
            yield "Wa is transposed", "attn/Wa", lambda w: w.T


def _unprojected(p: Params) -> Params:
    return {name: np.eye(*v.shape) if name.endswith("/R") else v for name, v in p.items()}


def _on_state(plain: Net, p: Params) -> tuple[Net, Params]:
    """A cell that adds x R to its new state."""
    honest, eye = plain.arch.step, np.eye(plain.sizes.hidden)

    def step(own: Params, x: Array, state: tuple[Array, ...]) -> Any:
        (h, *rest), tape = honest(own, x, state)
        return (h + x @ own["R"], *rest), tape

    links = {f"{d.prefix}R": p.get(link([d]), eye) for d in directions(plain)}
    return replace(plain, arch=replace(plain.arch, step=step)), p | links


def decoded(net: Net, p: Params, batch: Batch) -> Iterator[tuple[str, Array]]:
    """Every known mistake of a decoder: its name, and the outputs (B, S, O) of a network that makes it."""
    layers, first = stacks(net), bridge(net)
    x, zero = p["src_emb/E"][batch.x], zero_state(net, len(batch.x))
    memory, final, _ = run(net, p, layers["enc/"], x, batch.valid, zero, batch.masks)
    start = {to: final[source] for to, source in first.items()}
    yield "the decoder starts from zero", _decode(net, p, batch, memory, zero)
    if net.sizes.bidirectional:
        other = {to: final[source.replace("/bwd/", "/fwd/")] for to, source in first.items()}
        yield "the decoder starts from the encoder's forward direction", _decode(net, p, batch, memory, other)
    if not net.arch.attention:
        return
    weighings: dict[str, Weigh] = {
        "the attention does not mask the source's pads": lambda e, valid: softmax(e, np.ones_like(valid)),
        "the attention's mask is upside down": lambda e, valid: softmax(e, ~valid),
        "the attention's softmax runs over the rows": lambda e, valid: softmax(e.T, valid.T).T,
        "the attention's weights are sigmoids and do not sum to one": lambda e, valid: valid / (1 + np.exp(-e)),
    }
    for text, weigh in weighings.items():
        yield text, _decode(net, p, batch, memory, start, weigh)
    side = "after" if net.arch.attention == "additive" else "before"
    yield f"the attention is asked with the state {side} the step", _decode(net, p, batch, memory, start, moved=True)
    if net.arch.attention == "general":
        yield "the read-out's tanh is missing", _decode(net, p, batch, memory, start, squash=lambda z: z)


def _decode(
    net: Net,
    p: Params,
    batch: Batch,
    memory: Array,
    state: State,
    weigh: Weigh = softmax,
    squash: Callable[[Array], Array] = np.tanh,
    moved: bool = False,
) -> Array:
    """A teacher-forced decoder, a step at a time; ``moved``: what is read is asked on the other side of the step."""
    layers, own, kind = stacks(net)["dec/"], of(p, "attn/"), net.arch.attention
    x, masks, reads = p["tgt_emb/E"][batch.y_in], batch.masks, []
    if kind == "additive":
        x, masks = drop(masks, "dec/layer0", x), without_x(masks)

    def ask(q: Array) -> Array:
        if kind == "additive":
            e = np.tanh((q @ own["Wq"])[:, None] + memory @ own["Wk"]) @ own["v"]
        else:
            e = np.einsum("bf,btf->bt", q @ own["Wa"], memory)
        return np.einsum("bt,btf->bf", weigh(e, batch.valid), memory)

    for t in range(x.shape[1]):
        before = state[layers[-1][0].prefix + "h"]
        c = ask(before) if kind == "additive" else np.zeros((len(x), 0))
        into = np.concatenate([x[:, t], c], axis=-1)[:, None]
        out, state, _ = run(net, p, layers, into, batch.y_valid[:, t, None], state, masks)
        y = out[:, 0]
        if kind == "additive":
            y = np.concatenate([y, ask(state[layers[-1][0].prefix + "h"]) if moved else c], axis=-1)
        if kind == "general":
            y = squash(np.concatenate([ask(before if moved else y), y], axis=-1) @ own["Wc"])
        reads.append(y)
    read = np.where(batch.y_valid[..., None], np.stack(reads, axis=1), 0)
    return drop(masks, "head", read) @ p["head/V"] + p["head/d"]
