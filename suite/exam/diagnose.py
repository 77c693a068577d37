"""What is wrong with outputs that are off: the oracle is bent in one known way at a time until it agrees.

Each bend is a mistake that real implementations make. Where one of them reproduces the outputs seen, its name is
the diagnosis; where none does, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from suite.exam import diagnose_blocks, diagnose_cells, diagnose_dropout, diagnose_networks
from suite.exam.compare import rel_error
from suite.spec import network, params
from suite.spec.arch import Arch
from suite.spec.archs import ARCHS
from suite.spec.contract import Array, Batch, Net, Params

AGREES = 1e-4  # a bend explains the outputs when it agrees to this, far below any wrong convention's error
Bend = tuple[str, Net, Params, Batch]


def diagnose(net: Net, p: Params, batch: Batch, outputs: Array) -> str:
    """The mistake that explains ``outputs``, in words, or "" where none of the known ones does."""
    if not np.isfinite(outputs).all():
        return "outputs are not finite"
    honest, _, _ = network.forward(net, p, batch)
    if outputs.shape != honest.shape:
        return f"outputs have shape {outputs.shape}, expected {honest.shape}"
    seen = batch.valid if net.signature.kind == "label" else np.ones(len(outputs), bool)
    if rel_error(outputs[seen], honest[seen]) <= AGREES:
        return "only outputs at pads differ: they must read a hidden output of zero"
    for text, bent in _wrong(net, p, batch):
        if rel_error(bent[seen], honest[seen]) > AGREES and rel_error(outputs[seen], bent[seen]) <= AGREES:
            return text
    return ""


def _wrong(net: Net, p: Params, batch: Batch) -> Iterator[tuple[str, Array]]:
    """Every known mistake and the outputs that it makes."""
    for text, bent_net, bent_params, bent_batch in bends(net, p, batch):
        yield text, network.forward(bent_net, bent_params, bent_batch)[0]
    if net.signature.kind == "translate" and net.arch.family == "recurrent":
        yield from diagnose_networks.decoded(net, p, batch)


def bends(net: Net, p: Params, batch: Batch) -> Iterator[Bend]:
    """Every known mistake: its name, and the network, parameters and batch that make the oracle commit it."""
    arch, hidden = net.arch, net.sizes.hidden
    yield from diagnose_dropout.bends(net, p, batch)
    if arch.family == "transformer":
        yield from diagnose_blocks.bends(net, p, batch)
        return
    for order in permutations(range(len(arch.gates))):
        if order != tuple(range(len(order))):
            yield _gates_text(arch, order), net, _each(net, p, _permute(order, hidden)), batch
    for bias in ("b", "c"):
        if bias in arch.shapes(1, 1):
            text = f"one bias is missing ({bias})" if "c" in arch.shapes(1, 1) else "the bias is missing"
            yield text, net, _each(net, p, _zero(bias)), batch
    yield "U is transposed", net, _each(net, p, _transpose(len(arch.gates), hidden)), batch
    start = ", and the backward direction starts in the pads" if net.sizes.bidirectional else ""
    yield f"pads are read as input: lengths are ignored{start}", net, p, _unmasked(batch)
    yield from diagnose_networks.bends(net, p, batch)
    yield from diagnose_cells.bends(net, p, batch)
    if arch.equations in ("gru", "gru_before"):
        yield "z and 1 - z are exchanged", net, _each(net, p, _negate(1, hidden)), batch
        yield from _reset_placed_elsewhere(net, p, batch)
        yield "h_{t-1} is not carried and r multiplies the candidate's output", _no_carry(net), p, batch
    if "c" in arch.state:
        for by, text in ((1.0, "1 is added to the forget bias"), (-1.0, "1 is missing from the forget bias")):
            yield text, net, _each(net, p, _shift_forget(by, hidden)), batch


def _gates_text(arch: Arch, order: tuple[int, ...]) -> str:
    moved = [arch.gates[k] for k, source in enumerate(order) if k != source]
    if len(moved) == 2:
        return f"gates {moved[0]} and {moved[1]} are swapped"
    return f"gates are in the order {', '.join(arch.gates[k] for k in order)}, not {', '.join(arch.gates)}"


def _each(net: Net, p: Params, bend: Callable[[str, Array], Array]) -> Params:
    """``bend`` applied to every parameter of every scan, by the last part of its name."""
    prefixes = [d.prefix for d in params.directions(net)]
    return {
        name: bend(name.rsplit("/", 1)[-1], v) if any(name.startswith(q) for q in prefixes) else v
        for name, v in p.items()
    }


def _permute(order: tuple[int, ...], hidden: int) -> Callable[[str, Array], Array]:
    def bend(_: str, v: Array) -> Array:
        return np.concatenate([v[..., k * hidden : (k + 1) * hidden] for k in order], axis=-1)

    return bend


def _zero(bias: str) -> Callable[[str, Array], Array]:
    return lambda name, v: np.zeros_like(v) if name == bias else v


def _transpose(gates: int, hidden: int) -> Callable[[str, Array], Array]:
    def bend(name: str, v: Array) -> Array:
        return np.concatenate([u.T for u in np.split(v, gates, axis=1)], axis=1) if name == "U" else v

    return bend


def _negate(gate: int, hidden: int) -> Callable[[str, Array], Array]:
    def bend(_: str, v: Array) -> Array:
        v = v.copy()
        v[..., gate * hidden : (gate + 1) * hidden] *= -1
        return v

    return bend


def _shift_forget(by: float, hidden: int) -> Callable[[str, Array], Array]:
    def bend(name: str, v: Array) -> Array:
        return v + np.repeat([0.0, by, 0.0, 0.0], hidden) if name == "b" else v

    return bend


def _unmasked(batch: Batch) -> Batch:
    return replace(batch, lengths=np.full_like(batch.lengths, batch.x.shape[1]))


def _reset_placed_elsewhere(net: Net, p: Params, batch: Batch) -> Iterator[Bend]:
    prefixes = [d.prefix for d in params.directions(net)]
    if net.arch.equations == "gru":
        merged = {n: v for n, v in p.items() if n.rsplit("/", 1)[-1] != "c"}
        for prefix in prefixes:
            merged[f"{prefix}b"] = p[f"{prefix}b"] + p[f"{prefix}c"]
        yield "reset is applied before the product", _around(net, "gru_before"), merged, batch
        return
    extended = p | {f"{prefix}c": np.zeros_like(p[f"{prefix}b"]) for prefix in prefixes}
    yield "reset is applied after the product", _around(net, "gru"), extended, batch


def _around(net: Net, cell: str) -> Net:
    """The same network around another cell."""
    return replace(net, arch=replace(net.arch, step=ARCHS[cell].step))


def _no_carry(net: Net) -> Net:
    """The candidate scaled by gates, without z h: what some articles print as a GRU."""
    arch = net.arch

    def step(p: Params, x: Array, state: tuple[Array, ...]) -> Any:
        _, tape = arch.step(p, x, state)
        h, r, z = tape[1], tape[2], tape[3]
        width = h.shape[1]
        u_n = h @ p["U"][:, 2 * width :] + (p["c"][2 * width :] if "c" in p else 0)
        return ((1 - z) * r * np.tanh(x @ p["W"][:, 2 * width :] + p["b"][2 * width :] + u_n),), tape

    return replace(net, arch=replace(arch, step=step))
