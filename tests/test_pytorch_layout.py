"""PyTorch's native layout: names, shapes, an exact inverse. NumPy alone; the layers are the exam's affair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backends.pytorch.layout import NATIVE, Layout, identity, suffixes, to_canonical, to_native, transposed
from suite.spec import params
from suite.spec.archs import ARCHS, CELLS
from suite.spec.contract import Net, Params, Signature, Sizes

LABEL = Signature("label", "xent", 7, 5)
NETS = [Net(arch, LABEL, Sizes(3, 2, both, embed=2)) for arch in CELLS for both in (False, True)]


def check_inverse(layout: Layout, canonical: Params, back: Callable[[Params], Params] = lambda native: native) -> None:
    """Canonical -> native (-> ``back``) -> canonical gives the same names, in order, and the same numbers."""
    got = to_canonical(layout, back(to_native(layout, canonical)))
    assert list(got) == list(canonical), "names or their order changed"
    for name, value in canonical.items():
        assert np.array_equal(got[name], value), f"{name} did not come back"


@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.arch.name}-{net.sizes.bidirectional}")
@pytest.mark.parametrize("layout", [identity, transposed])
def test_round_trip(net: Net, layout: Callable[[Params], Layout]) -> None:
    canonical = params.init(net, 0)
    check_inverse(layout(canonical), canonical)


def test_only_recurrent_matrices_turn() -> None:
    canonical = params.init(NETS[3], 0)  # gru, both directions
    native = to_native(transposed(canonical), canonical)
    turned = {name.rsplit("/", 1)[-1] for name in canonical if native[name].shape != canonical[name].shape}
    assert turned == {"W", "U"}
    assert native["layer1/bwd/W"].shape == (9, 6)


def test_native_names_follow_the_layers_own_order() -> None:
    names = [(d.prefix, suffix) for d, suffix in suffixes(params.stack(NETS[3]))]
    assert names == [
        ("layer0/fwd/", "_l0"),
        ("layer0/bwd/", "_l0_reverse"),
        ("layer1/fwd/", "_l1"),
        ("layer1/bwd/", "_l1_reverse"),
    ]
    assert set(ARCHS["gru"].shapes(2, 3)) == set(NATIVE)


@pytest.mark.parametrize(
    "fault",
    [
        lambda native: native | {"layer0/U": native["layer0/U"].T},
        lambda native: {n: np.roll(v, 1) for n, v in native.items()},
    ],
    ids=["one matrix kept", "gates moved"],
)
def test_a_wrong_native_array_is_caught(fault: Callable[[Params], Params]) -> None:
    canonical = params.init(NETS[2], 0)
    with pytest.raises(AssertionError, match="did not come back"):
        check_inverse(transposed(canonical), canonical, fault)
