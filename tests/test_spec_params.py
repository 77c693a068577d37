"""Canonical parameters: names, shapes, where each number comes from, and digests that every platform must give."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.contract import Net, Signature, Sizes
from suite.spec.random import Stream

LABEL = Signature("label", "xent", 7, 5)
VALUES = Signature("final", "mse", 3, 2, tokens=False)
TRANSLATE = Signature("translate", "xent", 7, 6, longest_target=4)
DIGESTS = json.loads((Path(__file__).parent / "vectors/params.json").read_text(encoding="utf-8"))


def net(arch: str = "gru", signature: Signature = LABEL, **sizes: int) -> Net:
    return Net(ARCHS[arch], signature, Sizes(**{"hidden": 4, "embed": 3, **sizes}))


def test_names_and_shapes_of_a_plain_network() -> None:
    assert params.shapes(net(layers=2)) == {
        "emb/E": (7, 3),
        "layer0/W": (3, 12), "layer0/U": (4, 12), "layer0/b": (12,), "layer0/c": (12,),
        "layer1/W": (4, 12), "layer1/U": (4, 12), "layer1/b": (12,), "layer1/c": (12,),
        "head/V": (4, 5), "head/d": (5,),
    }  # fmt: skip


def test_names_and_shapes_both_ways_on_real_features() -> None:
    assert params.shapes(net("rnn", VALUES, layers=2, bidirectional=True)) == {
        "layer0/fwd/W": (3, 4), "layer0/fwd/U": (4, 4), "layer0/fwd/b": (4,),
        "layer0/bwd/W": (3, 4), "layer0/bwd/U": (4, 4), "layer0/bwd/b": (4,),
        "layer1/fwd/W": (8, 4), "layer1/fwd/U": (4, 4), "layer1/fwd/b": (4,),
        "layer1/bwd/W": (8, 4), "layer1/bwd/U": (4, 4), "layer1/bwd/b": (4,),
        "head/V": (8, 2), "head/d": (2,),
    }  # fmt: skip


def test_names_and_shapes_of_an_encoder_decoder() -> None:
    assert params.shapes(net("lstm", TRANSLATE)) == {
        "src_emb/E": (7, 3), "tgt_emb/E": (6, 3),
        "enc/layer0/W": (3, 16), "enc/layer0/U": (4, 16), "enc/layer0/b": (16,),
        "dec/layer0/W": (3, 16), "dec/layer0/U": (4, 16), "dec/layer0/b": (16,),
        "head/V": (4, 6), "head/d": (6,),
    }  # fmt: skip
    assert params.state_shapes(net("lstm", TRANSLATE), 2) == {
        "enc/layer0/h": (2, 4), "enc/layer0/c": (2, 4), "dec/layer0/h": (2, 4), "dec/layer0/c": (2, 4),
    }  # fmt: skip


@pytest.mark.parametrize("arch", ARCHS)
def test_initial_values_have_the_promised_shape_and_range(arch: str) -> None:
    n = net(arch, TRANSLATE if ARCHS[arch].attention else LABEL, layers=2)
    p = params.init(n, 0)
    assert {name: value.shape for name, value in p.items()} == params.shapes(n)
    assert all(value.dtype == np.float64 for value in p.values())
    for name, value in p.items():
        last = name.rsplit("/", 1)[-1]
        if last in ("W", "U", "P", "v"):
            assert 0 < np.abs(value).max() <= 0.5, name  # 1/sqrt(4)
        elif last in params.DENSE:
            assert 0.5 * math.sqrt(6 / sum(value.shape)) < np.abs(value).max() <= math.sqrt(6 / sum(value.shape)), name
        elif last == "b":
            assert value.tolist() == [bias for bias in n.arch.bias for _ in range(4)], name
        elif last in ("g", "k", "q"):
            assert (value == 1).all(), name
        elif last != "E":
            assert not value.any(), name


def test_an_lstm_remembers_at_first() -> None:
    assert params.init(net("lstm"), 0)["layer0/b"].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


def test_embeddings_have_variance_one_over_their_width() -> None:
    table = params.init(net(signature=replace(LABEL, inputs=3000), embed=16), 0)["emb/E"]
    assert abs(table.var() - 1 / 16) <= 5 * (1 / 16) * math.sqrt(2 / table.size)


def test_a_value_comes_from_the_stream_of_its_name() -> None:
    drawn = Stream("1/7/layer0/U").uniform((4, 12), -0.5, 0.5)
    assert np.array_equal(params.init(net(), 7)["layer0/U"], drawn)


def test_adding_a_layer_moves_no_other_parameter() -> None:
    small, large = params.init(net(layers=1), 0), params.init(net(layers=3), 0)
    assert set(small) < set(large)
    assert all(np.array_equal(small[name], large[name]) for name in small)


def test_seeds_and_names_share_no_value() -> None:
    a, b = params.init(net(layers=2), 0), params.init(net(layers=2), 1)
    for name in ("emb/E", "layer0/W", "layer1/U", "head/V"):
        assert not np.any(a[name] == b[name]), name
    assert not np.any(a["layer0/U"] == a["layer1/U"])


def test_of_takes_the_prefix_off() -> None:
    assert list(params.of(params.init(net(layers=2), 0), "layer1/")) == ["W", "U", "b", "c"]


def test_count() -> None:
    assert params.count(params.init(net(), 0)) == 7 * 3 + 3 * 12 + 4 * 12 + 12 + 12 + 4 * 5 + 5


@pytest.mark.parametrize("arch", DIGESTS)
def test_stored_digests(arch: str) -> None:
    # without embeddings: every number is an exact function of raw words, not of a platform's log and cos
    assert params.digest(params.init(net(arch, VALUES, layers=2), 0)) == DIGESTS[arch]


def test_the_digest_ignores_order_and_memory_layout() -> None:
    p = params.init(net(), 0)
    other = {name: np.asfortranarray(p[name]) for name in reversed(p)}
    assert params.digest(other) == params.digest(p)


def test_any_bit_any_name_and_any_shape_change_the_digest() -> None:
    p = params.init(net(), 0)
    digests = {params.digest(p)}
    for name, value in p.items():
        moved = value.copy()
        moved.flat[-1] = np.nextafter(moved.flat[-1], np.inf)
        digests.add(params.digest(p | {name: moved}))
        digests.add(params.digest(p | {name: value[None]}))
        digests.add(params.digest({key + "x" * (key == name): item for key, item in p.items()}))
    assert len(digests) == 1 + 3 * len(p)
