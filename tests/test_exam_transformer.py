"""Mistakes of Transformers are found, and those that real ones make are called by their name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import erf
from typing import Any
from unittest import mock

import numpy as np
import pytest

from backends.reference.trainer import Trainer
from suite.exam.checks import Maker, examine
from suite.spec import transformer as network
from suite.spec.archs import ARCHS
from suite.spec.archs import transformer as blocks
from suite.spec.contract import Net, Optim, Params, Snapshot
from tests.faults_networks import during
from tests.test_exam_faults import Fault

attention, feed_forward, layer_norm, step, step_vjp = (
    blocks.attention,
    blocks.feed_forward,
    blocks.layer_norm,
    blocks.step,
    blocks.step_vjp,
)


def seeing(bend: Callable[[Any], Any]) -> Maker:
    """Self-attention under another mask."""

    def other(p: Params, at: str, x: Any, memory: Any, seen: Any, heads: int) -> Any:
        return attention(p, at, x, memory, bend(seen) if at == "attn" else seen, heads)

    return during(blocks, "attention", other)


def weighing(bend: Callable[[str, Any, int], Any]) -> Maker:
    """Attention with other weights: (the last part of the name, the weights, heads) -> weights."""

    def other(p: Params, at: str, x: Any, memory: Any, seen: Any, heads: int) -> Any:
        bent = {name: bend(name.rsplit("/", 1)[-1], v, heads) for name, v in p.items()}
        return attention(bent, at, x, memory, seen, heads)

    return during(blocks, "attention", other)


def around(f: Callable[..., Any] = step, vjp: Callable[..., Any] = step_vjp) -> Maker:
    """A model of other blocks."""

    def make(net: Net, settings: Optim, snapshot: Snapshot) -> Trainer:
        return Trainer(replace(net, arch=replace(net.arch, step=f, step_vjp=vjp)), settings, snapshot)

    return make


def q_for_k(p: Params, at: str, *rest: Any) -> Any:
    return attention(p | {f"{at}/Wq": p[f"{at}/Wk"], f"{at}/Wk": p[f"{at}/Wq"]}, at, *rest)


def interleaved(x: Any, heads: int) -> Any:
    return x.reshape(*x.shape[:2], -1, heads).transpose(0, 3, 1, 2)


def interleaved_back(x: Any) -> Any:
    return x.transpose(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], -1)


def other_heads(*given: Any) -> Any:
    with mock.patch.multiple(blocks, _split=interleaved, _merge=interleaved_back):
        return attention(*given)


def post_norm(p: Params, x: Any, view: Any) -> Any:
    _, tape = step(p, x, view)
    x, _ = layer_norm(p, "ln1", x + attention(p, "attn", x, x, view.seen, view.heads)[0])
    if view.memory is not None:
        x, _ = layer_norm(p, "lnx", x + attention(p, "cross", x, view.memory, view.memory_seen, view.heads)[0])
    return layer_norm(p, "ln2", x + feed_forward(p, "ffn", x)[0])[0], tape


def gelu_erf(p: Params, at: str, x: Any) -> Any:
    _, tape = feed_forward(p, at, x)
    a = x @ p[f"{at}/W1"] + p[f"{at}/b1"]
    cdf = 0.5 * (1 + np.array([erf(v / 2**0.5) for v in a.ravel()]).reshape(a.shape))
    return (a * cdf) @ p[f"{at}/W2"] + p[f"{at}/b2"], tape


def norm_keras(x: Any) -> Any:
    d = x - x.mean(-1, keepdims=True)
    size = np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    return d / size, (d / size, size)


def no_gradient_to_the_encoder(p: Params, tape: Any, dx: Any) -> Any:
    dx, dmemory, dp = step_vjp(p, tape, dx)
    return dx, None if dmemory is None else 0 * dmemory, dp


class KeysNotTrained(Trainer):
    def grads(self, handle: Any) -> Any:
        loss, grads = super().grads(handle)
        return loss, {name: g * (not name.endswith("attn/Wk")) for name, g in grads.items()}


class StateIgnored(Trainer):
    def outputs(self, handle: Any, state: Any = None) -> Any:
        return super().outputs(handle)


class NoPositionsInDecoding(Trainer):
    def decode(self, handle: Any) -> Any:
        kept = self._params
        self._params = kept | {"tgt_pos/E": 0 * kept["tgt_pos/E"]}
        out = super().decode(handle)
        self._params = kept
        return out


class LastOfThePadded(Trainer):
    """The head reads the last step, which may be a pad."""

    def outputs(self, handle: Any, state: Any = None) -> Any:
        if self._net.signature.kind == "final":
            handle = replace(handle, lengths=np.full_like(handle.lengths, handle.x.shape[1]))
        return super().outputs(handle, state)


FAULTS: dict[str, Fault] = {
    "q and k swapped": Fault(during(blocks, "attention", q_for_k), ("label/outputs", "q and k are swapped")),
    "no scale": Fault(
        weighing(lambda name, v, heads: v * (len(v) / heads) ** 0.5 if name == "Wq" else v),
        ("label/outputs", "the scale of the scores is missing"),
    ),
    "heads interleaved": Fault(
        during(blocks, "attention", other_heads), ("label/outputs", "heads take every n-th column and not neighbours")
    ),
    "transposed": Fault(
        weighing(lambda name, v, _: v.T if name in ("Wq", "Wk", "Wv") else v),
        ("label/outputs", "q, k and v are transposed"),
    ),
    "no bias": Fault(
        weighing(lambda name, v, _: 0 * v if name == "bo" else v), ("outputs", "the bias of attention is missing")
    ),
    "mask upside down": Fault(seeing(lambda seen: ~seen), ("label/outputs", "the mask is upside down")),
    "no causal mask": Fault(
        seeing(lambda seen: np.broadcast_to(seen[:, -1:], seen.shape)),
        ("causality/outputs", "label/outputs", "a step sees all that follow"),
    ),
    "causal mask one too far": Fault(
        seeing(lambda seen: seen | (np.tri(seen.shape[-1], k=1, dtype=bool) & seen[:, -1:])),
        ("causality/outputs", "a step sees the one after it"),
    ),
    "causal mask one too short": Fault(
        seeing(lambda seen: seen & ~np.eye(seen.shape[-1], dtype=bool)),
        ("label/outputs", "a step does not see itself"),
    ),
    "pads seen": Fault(
        seeing(lambda seen: seen | ~seen[:, -1:]), ("both-ways/outputs", "deep/outputs", "pads are seen")
    ),
    "post-norm": Fault(around(post_norm), ("label/outputs", "the norm comes after each part and not before it")),
    "GELU with erf": Fault(during(blocks, "feed_forward", gelu_erf), ("label/outputs", "GELU is the form with erf")),
    "Keras' epsilon": Fault(during(blocks, "norm", norm_keras), ("label/outputs", "LN has an epsilon of 1e-3")),
    "no positions": Fault(
        during(network, "sinusoid", lambda steps, width: np.zeros((steps, width))),
        ("label/outputs", "positions are missing"),
    ),
    "last step of the padded": Fault(LastOfThePadded, ("last/outputs",)),
    "keys not trained": Fault(KeysNotTrained, ("label/gradients at layer0/attn/Wk",)),
    "no gradient to the encoder": Fault(
        around(vjp=no_gradient_to_the_encoder), ("translate/gradients at", "translate/1 rmsprop update")
    ),
    "a state is ignored": Fault(StateIgnored, ("streaming/refused", "a state that is none")),
    "no positions in decoding": Fault(
        NoPositionsInDecoding, ("translate/greedy decoding:", "translate/greedy decoding, teacher forced")
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found(name: str) -> None:
    failed = "\n".join(str(c) for c in examine(FAULTS[name].make, ARCHS["transformer"], "float64") if not c.ok)
    for words in FAULTS[name].words:
        assert words in failed, f"expected {words!r} in\n{failed}"
