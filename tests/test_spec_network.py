"""The oracle's hand-derived gradients against the complex step, and the properties that the masked scan promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suite.spec import network, params
from suite.spec.archs import ARCHS, CELLS
from suite.spec.contract import Batch, Net, Signature, Sizes, Unsupported
from suite.spec.loss import loss_rows
from suite.spec.random import Stream

STEP = 1e-30  # a complex step has no cancellation, so it may be this small


def batch_for(sig: Signature, rows: int = 4, steps: int = 5, name: str = "test") -> Batch:
    s = Stream(name)
    lengths = np.array([1, steps, *(s.integers(steps, rows - 2) + 1)], np.int32)[:rows]
    x = s.integers(sig.inputs, (rows, steps)).astype(np.int32) if sig.tokens else s.normal((rows, steps, sig.inputs))
    if sig.kind == "label":
        y = s.integers(sig.outputs, (rows, steps)).astype(np.int32)
        return Batch(x, lengths, y, np.arange(steps) < lengths[:, None])
    if sig.kind == "final":
        y = s.normal((rows, sig.outputs)) if sig.loss == "mse" else s.integers(sig.outputs, rows).astype(np.int32)
        scored = np.ones(rows, bool)
        scored[-1] = False
        return Batch(x, lengths, y, scored)
    y = s.integers(sig.outputs, (rows, 3)).astype(np.int32)
    y_lengths = np.array([1, 3, 2, 3], np.int32)[:rows]
    return Batch(x, lengths, y, np.arange(3) < y_lengths[:, None], np.roll(y, 1, axis=1), y_lengths)


SIGNATURES = {
    "label": Signature("label", "xent", 7, 5),
    "final-xent": Signature("final", "xent", 7, 5),
    "final-mse": Signature("final", "mse", 3, 2, tokens=False),
    "translate": Signature("translate", "xent", 7, 6, longest_target=4),
}


def random_params(net: Net) -> dict[str, np.ndarray]:
    s = Stream("perturb")
    return {name: p + s.uniform(p.shape, -0.3, 0.3) for name, p in params.init(net, 0).items()}


@pytest.mark.parametrize("arch", [arch.name for arch in CELLS])
@pytest.mark.parametrize("kind", SIGNATURES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_every_gradient_is_the_complex_step(arch: str, kind: str, layers: int, both: bool) -> None:
    if kind == "translate" and both:
        with pytest.raises(Unsupported, match="attention"):
            Net(ARCHS[arch], SIGNATURES[kind], Sizes(3, layers, both, 2))
        return
    net = Net(ARCHS[arch], SIGNATURES[kind], Sizes(hidden=3, layers=layers, bidirectional=both, embed=2))
    p, batch = random_params(net), batch_for(SIGNATURES[kind])
    got = network.gradients(net, p, batch)
    for name, value in p.items():
        numeric = np.zeros(value.size)
        for i in range(value.size):
            moved = value.astype(complex).ravel()
            moved[i] += 1j * STEP
            outputs, _, _ = network.forward(net, p | {name: moved.reshape(value.shape)}, batch)
            numeric[i] = loss_rows(net.signature, outputs, batch)[0].sum().imag / STEP
        err = np.abs(got.params[name].ravel() - numeric).max() / max(1e-3, np.abs(numeric).max())
        assert err <= 1e-12, f"{name}: {err}"


@pytest.mark.parametrize("arch", [arch.name for arch in CELLS])
def test_streaming_equals_one_long_call(arch: str) -> None:
    net = Net(ARCHS[arch], SIGNATURES["label"], Sizes(4, 2, embed=3))
    p, b = random_params(net), batch_for(SIGNATURES["label"], steps=8)
    b = replace(b, lengths=np.full(4, 8, np.int32))
    whole, final, _ = network.forward(net, p, b)
    first, state, _ = network.forward(net, p, replace(b, x=b.x[:, :3], lengths=np.full(4, 3, np.int32)))
    second, last, _ = network.forward(net, p, replace(b, x=b.x[:, 3:], lengths=np.full(4, 5, np.int32)), state)
    assert np.abs(np.concatenate([first, second], axis=1) - whole).max() <= 1e-15
    assert all(np.abs(last[s] - final[s]).max() <= 1e-15 for s in final)


@pytest.mark.parametrize("both", [False, True])
def test_what_stands_at_pads_changes_nothing(both: bool) -> None:
    net = Net(ARCHS["gru"], SIGNATURES["label"], Sizes(4, 2, both, embed=3))
    p, b = random_params(net), batch_for(SIGNATURES["label"])
    other = replace(b, x=np.where(b.valid, b.x, (b.x + 1) % 7).astype(np.int32))
    first, second = network.gradients(net, p, b), network.gradients(net, p, other)
    assert first.loss == second.loss
    assert all(np.array_equal(first.params[n], second.params[n]) for n in p)


def test_decoding_stops_at_eos_and_pads() -> None:
    net = Net(ARCHS["gru"], SIGNATURES["translate"], Sizes(4, 1, embed=3))
    p = random_params(net)
    p["head/d"] = np.array([0.0, 0, 100, 0, 0, 0])  # eos, always
    out = network.decode(net, p, batch_for(SIGNATURES["translate"]))
    assert out.tolist() == [[2, 0, 0, 0]] * 4
