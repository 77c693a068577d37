"""Canonical parameters of a network: names, shapes, initial values, digest.

    emb/E (V, D)                        "label" and "final" nets that read tokens
    layer{k}/W ...                      one direction;     layer{k}/fwd/W, layer{k}/bwd/W: both
    src_emb/E  enc/layer{k}/...         "translate": source embedding and encoder
    tgt_emb/E  dec/layer{k}/...         "translate": target embedding and decoder
    skip{k}/R (I, F)                    residual nets, where a layer's input is not as wide as its output
    attn/...                            attention nets, see ``suite.spec.attention``
    head/V (F, O)  head/d (O)           the linear read-out
    Transformers: see ``suite.spec.towers``

Initial values (float64; cast once to the compute dtype):

    W, U, P, v      uniform on +-1/sqrt(H)
    g, k, q         1, the gains of layer normalisation
    b, c            0, but for what the architecture says of b (LSTM: forget gate 1)
    E               normal, variance 1/D
    V, R, Wq, ...   uniform on +-sqrt(6 / (fan_in + fan_out))       d  0
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from suite.spec import towers
from suite.spec.contract import SPEC_VERSION, Array, Net, Params
from suite.spec.init import CANONICAL, IDENTITY_STD, Init
from suite.spec.random import Stream


@dataclass(frozen=True, slots=True)
class Direction:
    """One scan of one layer: where its parameters are, how wide its input is, which way it runs."""

    prefix: str  # "layer0/", "enc/layer1/", "layer0/bwd/"
    inputs: int
    reverse: bool


DENSE = ("V", "R", "Wq", "Wk", "Wv", "Wo", "Wa", "Wc", "W1", "W2")  # their limit comes from both their widths
Stack = list[list[Direction]]  # layers, each of one or two directions


def stack(net: Net, prefix: str = "") -> Stack:
    """The recurrent layers below ``prefix`` ("" or "enc/" or "dec/"), first layer first. A decoder runs one way."""
    sizes, width = net.sizes, net.sizes.embed
    if not net.signature.tokens and prefix != "dec/":
        width = net.signature.inputs
    if prefix == "dec/" and net.arch.attention == "additive":
        width += features(net)
    both = sizes.bidirectional and prefix != "dec/"
    names = [("fwd/", False), ("bwd/", True)] if both else [("", False)]
    layers: Stack = []
    for k in range(sizes.layers):
        layers.append([Direction(f"{prefix}layer{k}/{name}", width, reverse) for name, reverse in names])
        width = sizes.hidden * len(names)
    return layers


def features(net: Net) -> int:
    """The width F of what a stack puts out at a step; of an encoder, where there is one."""
    return net.sizes.hidden * (2 if net.sizes.bidirectional else 1)


def link(layer: list[Direction]) -> str:
    """The name of the matrix through which a residual layer's input joins its output, where their widths differ."""
    return layer[0].prefix.removesuffix("fwd/").replace("layer", "skip") + "R"


def bridge(net: Net) -> dict[str, str]:
    """Decoder's state -> the encoder's final state that it starts from: of the backward direction, if there are two.

    That one ends at the source's first step (Bahdanau et al. 2015, A.2.2, without their matrix W_s).
    """
    enc, dec = stack(net, "enc/"), stack(net, "dec/")
    pairs = zip((layer[0].prefix for layer in dec), (layer[-1].prefix for layer in enc), strict=True)
    return {to + s: source + s for to, source in pairs for s in net.arch.state}


def stacks(net: Net) -> dict[str, Stack]:
    """Every stack of the network by its prefix: {"": ...} or {"enc/": ..., "dec/": ...}."""
    prefixes = ("enc/", "dec/") if net.signature.kind == "translate" else ("",)
    return {prefix: stack(net, prefix) for prefix in prefixes}


def directions(net: Net) -> Iterator[Direction]:
    """Every scan of the network, in canonical order."""
    for layers in stacks(net).values():
        for layer in layers:
            yield from layer


def shapes(net: Net) -> dict[str, tuple[int, ...]]:
    """Canonical name -> shape, in canonical order."""
    if net.arch.family == "transformer":
        return towers.shapes(net)
    sig, sizes = net.signature, net.sizes
    out: dict[str, tuple[int, ...]] = {}
    if sig.tokens:
        out["src_emb/E" if sig.kind == "translate" else "emb/E"] = (sig.inputs, sizes.embed)
    if sig.kind == "translate":
        out["tgt_emb/E"] = (sig.outputs, sizes.embed)
    for layers in stacks(net).values():
        for layer in layers:
            for d in layer:
                out |= {d.prefix + name: shape for name, shape in net.arch.shapes(d.inputs, sizes.hidden).items()}
            if net.arch.residual and layer[0].inputs != sizes.hidden * len(layer):
                out[link(layer)] = (layer[0].inputs, sizes.hidden * len(layer))
    read, hidden = features(net), sizes.hidden
    if net.arch.attention == "additive":
        out |= {"attn/Wq": (hidden, hidden), "attn/Wk": (read, hidden), "attn/v": (hidden,)}
        read += hidden
    if net.arch.attention == "general":
        out |= {"attn/Wa": (hidden, read), "attn/Wc": (read + hidden, hidden)}
        read = hidden
    return out | {"head/V": (read, sig.outputs), "head/d": (sig.outputs,)}


def state_shapes(net: Net, rows: int) -> dict[str, tuple[int, int]]:
    """Names and shapes of the carried state for ``rows`` sequences: "layer0/h" -> (rows, H)."""
    return {d.prefix + s: (rows, net.sizes.hidden) for d in directions(net) for s in net.arch.state}


def init(net: Net, seed: int, choice: Init = CANONICAL) -> Params:
    """Initial parameters: one random stream per name, so no parameter depends on another's presence.

    Unsupported where ``choice`` sets what the architecture has not got.
    """
    choice.check(net.arch)
    return {name: _initial(net, seed, choice, name, shape) for name, shape in shapes(net).items()}


def _initial(net: Net, seed: int, choice: Init, name: str, shape: tuple[int, ...]) -> Array:
    last, hidden = name.rsplit("/", 1)[-1], net.sizes.hidden
    stream = Stream(f"{SPEC_VERSION}/{seed}/{name}")
    if choice.recurrent == "identity" and last in ("W", "U"):
        return np.eye(hidden) if last == "U" else IDENTITY_STD * stream.normal(shape)
    if last in ("W", "U", "P", "v"):
        return stream.uniform(shape, -(hidden**-0.5), hidden**-0.5)
    if last == "E":
        return stream.normal(shape) * shape[1] ** -0.5
    if last in DENSE:
        limit = (6.0 / sum(shape)) ** 0.5
        return stream.uniform(shape, -limit, limit)
    if last == "b":
        return choice.bias(net.arch, hidden, stream)
    if last in ("g", "k", "q"):
        return np.ones(shape)
    return np.zeros(shape)


def of(params: Mapping[str, Array], prefix: str) -> Params:
    """The parameters below ``prefix``, with the prefix taken off: of(p, "layer0/") -> {"W": ..., "U": ...}."""
    return {name.removeprefix(prefix): p for name, p in params.items() if name.startswith(prefix)}


def count(params: Params) -> int:
    """How many numbers are trained."""
    return sum(int(p.size) for p in params.values())


def digest(params: Params) -> str:
    """SHA-256 over names, shapes and little-endian float64 bytes, in sorted order of names."""
    sha = hashlib.sha256()
    for name in sorted(params):
        value = np.ascontiguousarray(params[name], dtype="<f8")
        sha.update(f"{name}{value.shape}".encode() + value.tobytes())
    return sha.hexdigest()
