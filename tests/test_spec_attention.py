"""Attention and residual networks: their gradients against the complex step, and what attention promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suite.spec import attention, network, params
from suite.spec.arch import Arch
from suite.spec.archs.attention import GRU_ATTENTION, GRU_LUONG, LSTM_ATTENTION, RNN_ATTENTION
from suite.spec.archs.residual import GRU_RESIDUAL
from suite.spec.archs.transformer import TRANSFORMER
from suite.spec.contract import EOS, PAD, Net, Sizes, Unsupported
from suite.spec.loss import loss_rows
from suite.spec.random import Stream
from tests.test_spec_network import SIGNATURES, STEP, batch_for, random_params

ATTENTIVE = (RNN_ATTENTION, GRU_ATTENTION, LSTM_ATTENTION, GRU_LUONG)


def assert_complex_step(net: Net) -> None:
    """Along a random direction in every parameter at once, and in each parameter alone."""
    p, batch = random_params(net), batch_for(net.signature)
    got = network.gradients(net, p, batch)
    assert list(got.params) == list(p)
    for name, value in p.items():
        direction = Stream(f"direction/{name}").uniform(value.shape, -1, 1)
        moved = {n: v.astype(complex) for n, v in p.items()}
        moved[name] = value + 1j * STEP * direction
        outputs, _, _ = network.forward(net, moved, batch)
        want = loss_rows(net.signature, outputs, batch)[0].sum().imag / STEP
        assert abs(float(np.sum(got.params[name] * direction)) - want) <= 1e-12, name


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("arch", ATTENTIVE, ids=lambda a: a.name)
def test_attention_gradients_are_the_complex_step(arch: Arch, layers: int, both: bool) -> None:
    assert_complex_step(Net(arch, SIGNATURES["translate"], Sizes(3, layers, both, 2)))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("embed", [2, 3])
@pytest.mark.parametrize("kind", SIGNATURES)
def test_residual_gradients_are_the_complex_step(kind: str, embed: int, both: bool) -> None:
    if kind == "translate" and both:
        pytest.skip("a decoder without attention starts from one direction")
    assert_complex_step(Net(GRU_RESIDUAL, SIGNATURES[kind], Sizes(3, 2, both, embed)))


def test_a_residual_layer_has_a_projection_only_where_widths_differ() -> None:
    def own(embed: int) -> list[str]:
        net = Net(GRU_RESIDUAL, SIGNATURES["label"], Sizes(3, 2, embed=embed))
        return [name for name in params.shapes(net) if name.endswith("/R")]

    assert own(2) == ["skip0/R"]
    assert own(3) == []


@pytest.mark.parametrize("arch", ATTENTIVE, ids=lambda a: a.name)
def test_weights_are_probabilities_over_valid_steps(arch: Arch) -> None:
    net = Net(arch, SIGNATURES["translate"], Sizes(3, 1, True, 2))
    p, batch = random_params(net), batch_for(net.signature)
    a = network.alignments(net, p, batch)
    assert a.shape == (4, 3, 5)
    assert np.abs(a.sum(-1) - 1).max() <= 1e-15
    assert (a[~np.broadcast_to(batch.valid[:, None], a.shape)] == 0).all()
    assert (a[np.broadcast_to(batch.valid[:, None], a.shape)] > 0).all()


@pytest.mark.parametrize("arch", ATTENTIVE, ids=lambda a: a.name)
def test_decoding_is_what_teacher_forcing_on_its_own_words_says(arch: Arch) -> None:
    net = Net(arch, SIGNATURES["translate"], Sizes(3, 2, True, 2))
    p, batch = random_params(net), batch_for(net.signature)
    p["head/V"] *= 3
    p["head/d"] += 0.5 * (np.arange(6) == EOS)
    out = network.decode(net, p, batch)
    fed = np.concatenate([np.ones((4, 1), np.int32), out[:, :-1]], axis=1)
    again = replace(batch, y=out, y_in=fed, y_lengths=np.full(4, 4, np.int32), scored=out != PAD)
    best = network.forward(net, p, again)[0].argmax(-1)
    assert (np.where(out == PAD, PAD, best) == out).all()


def test_attention_without_an_encoder_is_unsupported() -> None:
    with pytest.raises(Unsupported, match=r"gru_attention/label: .* use a translation task, or arch = gru"):
        Net(GRU_ATTENTION, SIGNATURES["label"], Sizes(3))


@pytest.mark.parametrize("arch", [GRU_RESIDUAL, TRANSFORMER], ids=lambda a: a.name)
def test_weights_without_attention_are_refused(arch: Arch) -> None:
    net = Net(arch, SIGNATURES["translate"], Sizes(4, embed=2, heads=2))
    with pytest.raises(ValueError, match="no attention; use an architecture such as gru_attention"):
        network.alignments(net, random_params(net), batch_for(net.signature))


def test_a_masked_score_does_not_overflow_a_float32() -> None:
    valid = np.array([True, False])
    assert attention.softmax(np.array([-1e4, 1e4], np.float32), valid).tolist() == [1.0, 0.0]
