"""Dropout: masks by name, their law, and the oracle's gradients under them against the complex step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suite.spec import masks, network
from suite.spec.archs import ARCHS
from suite.spec.contract import Net, Sizes
from suite.spec.loss import loss_rows
from suite.spec.random import Stream
from tests.test_spec_network import SIGNATURES, STEP, batch_for, random_params

NETS = {
    "deep": Net(ARCHS["gru"], SIGNATURES["label"], Sizes(3, 2, embed=2)),
    "both ways": Net(ARCHS["lstm"], SIGNATURES["final-mse"], Sizes(3, 2, True)),
    "residual": Net(ARCHS["gru_residual"], SIGNATURES["label"], Sizes(3, 2, True, 2)),
    "translate": Net(ARCHS["gru"], SIGNATURES["translate"], Sizes(3, 2, embed=2)),
    "additive": Net(ARCHS["gru_attention"], SIGNATURES["translate"], Sizes(3, 2, True, 2)),
    "general": Net(ARCHS["gru_luong"], SIGNATURES["translate"], Sizes(3, 1, embed=2)),
    "transformer": Net(ARCHS["transformer"], SIGNATURES["label"], Sizes(4, 2, heads=2)),
    "transformer, translate": Net(ARCHS["transformer"], SIGNATURES["translate"], Sizes(4, 1, heads=2)),
    "transformer, features": Net(ARCHS["transformer"], SIGNATURES["final-mse"], Sizes(4, 1, heads=2)),
}


@pytest.mark.parametrize("name", NETS)
def test_gradients_under_masks_are_the_complex_step(name: str) -> None:
    net = NETS[name]
    p, batch = random_params(net), batch_for(net.signature)
    batch = replace(batch, masks=masks.masks(net, 0.4, len(batch.x), 0, 7))
    got = network.gradients(net, p, batch)
    for name, value in p.items():
        direction = Stream(f"direction/{name}").uniform(value.shape, -1, 1)
        outputs, _, _ = network.forward(net, p | {name: value + 1j * STEP * direction}, batch)
        want = loss_rows(net.signature, outputs, batch)[0].sum().imag / STEP
        assert abs(float(np.sum(got.params[name] * direction)) - want) <= 1e-12, name


@pytest.mark.parametrize("name", NETS)
def test_every_site_counts(name: str) -> None:
    net = NETS[name]
    p, batch = random_params(net), batch_for(net.signature)
    plain = network.forward(net, p, batch)[0]
    drawn = masks.masks(net, 0.5, len(batch.x), 0, 0)
    assert set(drawn) == set(masks.sites(net))
    for site, mask in drawn.items():
        assert not np.array_equal(network.forward(net, p, replace(batch, masks={site: mask}))[0], plain), site
    ones = {site: np.ones_like(mask) for site, mask in drawn.items()}
    assert np.array_equal(network.forward(net, p, replace(batch, masks=ones))[0], plain)


def test_a_mask_keeps_what_it_should_and_its_mean_is_one() -> None:
    net = Net(ARCHS["gru"], SIGNATURES["label"], Sizes(400, embed=300))
    drawn = masks.masks(net, 0.2, 50, 0, 0)
    assert {site: m.shape for site, m in drawn.items()} == {"layer0": (50, 300), "head": (50, 400)}
    for m in drawn.values():
        assert set(np.unique(m)) == {0.0, 1.25}
        share = float((m == 0).mean())
        assert abs(share - 0.2) <= 4 * (0.2 * 0.8 / m.size) ** 0.5


def test_masks_depend_on_seed_step_and_site_and_on_nothing_else() -> None:
    net, deeper = (Net(ARCHS["gru"], SIGNATURES["label"], Sizes(8, k, embed=8)) for k in (1, 2))
    one = masks.masks(net, 0.5, 4, 0, 0)
    assert np.array_equal(one["layer0"], masks.masks(deeper, 0.5, 4, 0, 0)["layer0"])
    others = (masks.masks(net, 0.5, 4, 1, 0)["layer0"], masks.masks(net, 0.5, 4, 0, 1)["layer0"], one["head"])
    assert not any(np.array_equal(one["layer0"], other) for other in others)
    assert masks.masks(net, 0.0, 4, 0, 0) == {}
