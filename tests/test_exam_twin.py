"""The exam's limits: those of calm networks stand, and grow only where the oracle's own twins part."""

from __future__ import annotations

import numpy as np
import pytest

from suite import parity
from suite.exam import twin
from suite.exam.cases import LABEL
from suite.exam.compare import LIMITS, Check
from suite.spec import params
from suite.spec.archs import ARCHS


def test_twins_differ_in_the_last_place_of_every_number() -> None:
    p = params.init(LABEL.net(ARCHS["gru"]), 0)
    for other in twin.twins(p):
        moved = [np.abs(other[name] - v).max() / np.abs(v).max() for name, v in p.items() if v.any()]
        assert 0 < max(moved) <= 2 * twin.UNIT
        assert all(not other[name].any() for name, v in p.items() if not v.any())


@pytest.mark.parametrize(("distance", "grown"), [(0.0, 1.0), (8.0, 1.0), (80.0, 10.0)])
def test_limits_grow_with_the_distance_and_never_shrink(distance: float, grown: float) -> None:
    want = {"W": np.array([1.0, -2.0])}
    other = {"W": np.array([1.0, -2.0 + 2 * distance * twin.UNIT])}
    assert twin.room(want, [want, other]) == pytest.approx(grown, rel=0.2)


@pytest.mark.parametrize("arch", ["rnn", "gru", "lstm"])
def test_a_calm_networks_limits_stand(arch: str) -> None:
    found = twin.limits("float64", ARCHS[arch], LABEL)
    assert all(limit <= found[name] <= 3 * limit for name, limit in LIMITS["float64"].items())


def test_an_expanding_networks_limits_grow() -> None:
    assert twin.limits("float32", ARCHS["lstm_ln"], LABEL, 10)["steps"] > 3 * LIMITS["float32"]["steps"]


@pytest.mark.parametrize(
    ("arch", "error", "least", "most"), [("gru", 0.5, 1.0, 1.0), ("gru", 9.0, 1.0, 1.0), ("lstm_ln", 9.0, 3.0, 30.0)]
)
def test_before_the_clock_limits_grow_where_an_expanding_architecture_fails(
    arch: str, error: float, least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "_compare", lambda *_: iter([Check("gradients", error, 1.0)]))
    net = LABEL.net(ARCHS[arch])
    (check,) = parity.check(None, net, None, LABEL.params(net.arch), LABEL.batch(), None)  # type: ignore[arg-type]
    assert least <= check.limit <= most
    assert check.error == error
