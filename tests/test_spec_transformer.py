"""The Transformer oracle: its gradients against the complex step, its parts against plain loops, what it may see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suite.spec import network, optim, params, towers
from suite.spec.archs import transformer
from suite.spec.archs.transformer import TRANSFORMER
from suite.spec.contract import EOS, Batch, Net, Sizes, Unsupported
from suite.spec.loss import loss_rows
from suite.spec.random import Stream
from tests.test_spec_network import SIGNATURES, STEP, batch_for, random_params


def net(kind: str = "label", **sizes: int) -> Net:
    return Net(TRANSFORMER, SIGNATURES[kind], Sizes(**{"hidden": 4, "layers": 2, "heads": 2, **sizes}))


NETS = {
    "causal": net(),
    "both ways": net(bidirectional=True, positions=9),
    "last": net("final-xent", layers=1, positions=5),
    "values": net("final-mse", bidirectional=True),
    "translating": net("translate"),
    "translating, trained positions": net("translate", layers=1, heads=1, positions=6),
}


@pytest.mark.parametrize("name", NETS)
def test_every_gradient_is_the_complex_step(name: str) -> None:
    one = NETS[name]
    p, batch = random_params(one), batch_for(one.signature)
    got = network.gradients(one, p, batch)
    assert got.flow == {}
    for key, value in p.items():
        numeric = np.zeros(value.size)
        for i in range(value.size):
            moved = value.astype(complex).ravel()
            moved[i] += 1j * STEP
            outputs, _, _ = network.forward(one, p | {key: moved.reshape(value.shape)}, batch)
            numeric[i] = loss_rows(one.signature, outputs, batch)[0].sum().imag / STEP
        err = np.abs(got.params[key].ravel() - numeric).max() / max(1e-3, np.abs(numeric).max())
        assert err <= 1e-12, f"{key}: {err}"


def test_names_and_shapes_of_a_labelling_network() -> None:
    block = {
        "ln1/g": (4,), "ln1/s": (4,), "attn/Wq": (4, 4), "attn/Wk": (4, 4), "attn/Wv": (4, 4), "attn/Wo": (4, 4),
        "attn/bo": (4,), "ln2/g": (4,), "ln2/s": (4,), "ffn/W1": (4, 16), "ffn/b1": (16,), "ffn/W2": (16, 4),
        "ffn/b2": (4,),
    }  # fmt: skip
    assert params.shapes(net(layers=1, positions=9)) == {
        "emb/E": (7, 4),
        "pos/E": (9, 4),
        **{f"layer0/{name}": shape for name, shape in block.items()},
        "ln/g": (4,),
        "ln/s": (4,),
        "head/V": (4, 5),
        "head/d": (5,),
    }
    assert params.state_shapes(net(), 3) == {}


def test_names_and_shapes_of_a_translating_network() -> None:
    names = params.shapes(net("translate", layers=1, positions=9))
    assert list(names)[:4] == ["src_emb/E", "src_pos/E", "tgt_emb/E", "tgt_pos/E"]
    own = {name.split("/", 1)[1] for name in names if name.startswith("enc/")}
    more = {name.split("/", 1)[1] for name in names if name.startswith("dec/")} - own
    assert more == {f"layer0/{n}" for n in ("lnx/g", "lnx/s", *(f"cross/{w}" for w in ("Wq", "Wk", "Wv", "Wo", "bo")))}
    assert {"in/V": (3, 4), "in/d": (4,)}.items() <= params.shapes(net("final-mse")).items()


def test_initial_values_and_what_decays() -> None:
    p = params.init(net("translate", positions=9), 0)
    for name, value in p.items():
        last = name.rsplit("/", 1)[-1]
        assert optim.decays(name) == (value.ndim == 2), name
        if last == "g":
            assert (value == 1).all(), name
        elif value.ndim == 1:
            assert not value.any(), name
        elif last != "E":
            assert 0 < np.abs(value).max() <= (6 / sum(value.shape)) ** 0.5, name


def test_attention_is_the_sum_over_steps_written_out() -> None:
    s = Stream("attention")
    p = {f"a/{name}": s.normal(shape) for name, shape in {**dict.fromkeys(("Wq", "Wk", "Wv", "Wo"), (6, 6))}.items()}
    p["a/bo"] = s.normal(6)
    x, memory, seen = s.normal((2, 3, 6)), s.normal((2, 4, 6)), s.uniform((2, 3, 4)) < 0.6
    seen[..., 0] = True
    got, _ = transformer.attention(p, "a", x, memory, seen, heads=3)
    for b in range(2):
        for t in range(3):
            z = np.zeros(6)
            for h in range(3):
                cut = slice(2 * h, 2 * h + 2)
                q = (x[b, t] @ p["a/Wq"])[cut]
                e = [np.exp(q @ (m @ p["a/Wk"])[cut] / np.sqrt(2)) * ok for m, ok in zip(memory[b], seen[b, t])]  # noqa: B905
                z[cut] = sum(w * (m @ p["a/Wv"])[cut] for w, m in zip(e, memory[b], strict=True)) / sum(e)
            assert np.abs(got[b, t] - (z @ p["a/Wo"] + p["a/bo"])).max() <= 1e-13


def test_positions_are_sines_and_cosines() -> None:
    table = towers.sinusoid(50, 5)
    assert table.shape == (50, 5)
    assert np.abs(table[:, 0] - np.sin(np.arange(50))).max() <= 1e-15
    assert np.abs(table[:, 1] - np.cos(np.arange(50))).max() <= 1e-15
    assert np.abs(table[:, 4] - np.sin(np.arange(50) / 10000**0.8)).max() <= 1e-15


def changed(batch: Batch, kept: np.ndarray, size: int) -> Batch:
    return replace(batch, x=np.where(kept, batch.x, (batch.x + 1) % size).astype(np.int32))


@pytest.mark.parametrize("name", ["causal", "both ways", "last", "translating"])
def test_what_stands_at_pads_changes_nothing(name: str) -> None:
    one = NETS[name]
    p, b = random_params(one), batch_for(one.signature)
    first, second = (network.gradients(one, p, x) for x in (b, changed(b, b.valid, 7)))
    assert first.loss == second.loss
    assert all(np.array_equal(first.params[n], second.params[n]) for n in p)


def test_a_pad_puts_out_zero() -> None:
    b = batch_for(SIGNATURES["label"])
    p = random_params(net())
    outputs, state, _ = network.forward(net(), p, b)
    assert (outputs[~b.valid] == p["head/d"]).all()
    assert state == {}


def test_the_future_is_seen_both_ways_only() -> None:
    b = replace(batch_for(SIGNATURES["label"]), lengths=np.full(4, 5, np.int32))
    later = changed(b, np.arange(5) < 3, 7)
    p = random_params(net())
    causal, causal_later = (network.forward(net(), p, x)[0] for x in (b, later))
    assert np.array_equal(causal[:, :3], causal_later[:, :3])
    both, both_later = (network.forward(net(bidirectional=True), p, x)[0] for x in (b, later))
    assert np.abs(both - both_later)[:, 0].max() > 1e-3


def test_order_counts_for_its_positions_alone() -> None:
    """Without a mask a block is the same for any order of steps: what tells them apart are the positions."""
    one = net("final-xent", bidirectional=True, positions=5)
    p, b = random_params(one), replace(batch_for(one.signature), lengths=np.full(4, 5, np.int32))
    moved = replace(b, x=b.x[:, [1, 0, 2, 3, 4]])
    there = network.forward(one, p, b)[0] - network.forward(one, p, moved)[0]
    assert np.abs(there).max() > 1e-3
    p["pos/E"] = np.zeros_like(p["pos/E"])
    gone = network.forward(one, p, b)[0] - network.forward(one, p, moved)[0]
    assert np.abs(gone).max() <= 1e-14


def test_decoding_is_the_best_of_teacher_forcing_on_what_it_wrote() -> None:
    one = net("translate")
    p, b = random_params(one), batch_for(one.signature)
    p["head/V"] = 3 * p["head/V"]
    out = network.decode(one, p, b)
    again = replace(b, y_in=np.insert(out, 0, 1, axis=1)[:, :-1], y_lengths=np.full(4, 4, np.int32))
    best = network.forward(one, p, again)[0].argmax(-1)
    wrote = np.cumsum(out == EOS, axis=1) - (out == EOS) == 0  # up to eos, with it
    assert wrote.any(axis=0).all()
    assert np.array_equal(out[wrote], best[wrote])


def test_decoding_stops_at_eos_and_pads() -> None:
    one = net("translate")
    p = random_params(one)
    p["head/d"] = np.array([0.0, 0, 100, 0, 0, 0])  # eos, always
    assert network.decode(one, p, batch_for(one.signature)).tolist() == [[2, 0, 0, 0]] * 4


def test_flops_are_the_matrix_products() -> None:
    b = batch_for(SIGNATURES["label"])  # B = 4, T = 5
    block = 4 * 5 * (4 * 4 * 4 + 2 * 4 * 16) + 2 * 4 * 5 * 5 * 4  # q, k, v, o; the FFN; scores and what they weigh
    assert network.flops(net(layers=3), b) == 6 * (3 * block + 4 * 5 * 4 * 5)
    features = 4 * 5 * 3 * 4  # read by a product, forward and towards its weights, but none goes on towards them
    final = batch_for(SIGNATURES["final-mse"])
    assert network.flops(net("final-mse", layers=3), final) == 6 * (3 * block + 4 * 4 * 2) + 4 * features


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"hidden": 6, "heads": 4}, "hidden = 6, heads = 4; heads must divide hidden"),
        ({"bidirectional": True}, "its encoder reads both ways anyway"),
    ],
    ids=["heads", "both"],
)
def test_a_network_that_is_none(sizes: dict[str, int], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        net("translate", **sizes)


def test_a_sequence_beyond_the_positions_is_refused() -> None:
    one = net(positions=4)
    with pytest.raises(Unsupported, match="a sequence of 5 steps and 4 positions; set positions to 5 or more"):
        network.forward(one, random_params(one), batch_for(one.signature))


def test_a_state_is_refused() -> None:
    with pytest.raises(Unsupported, match="carries no state, and cannot go on from layer0/h"):
        network.forward(net(), random_params(net()), batch_for(net().signature), {"layer0/h": np.zeros((4, 4))})
