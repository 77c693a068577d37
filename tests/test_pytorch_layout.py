"""PyTorch's native layout: names, shapes, an exact inverse. NumPy alone; the layers are the exam's affair."""

from __future__ import annotations

import numpy as np
import pytest

from backends.pytorch.layout import IDENTITY, NATIVE, TRANSPOSED, Layout, suffixes
from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.contract import Net, Params, Signature, Sizes

LABEL = Signature("label", "xent", 7, 5)
NETS = [Net(arch, LABEL, Sizes(3, 2, both, embed=2)) for arch in ARCHS.values() for both in (False, True)]


def check_inverse(layout: Layout, canonical: Params) -> None:
    """Canonical -> native -> canonical gives the same names, in the same order, and the same numbers."""
    back = layout.to_canonical(layout.to_native(canonical))
    assert list(back) == list(canonical), "names or their order changed"
    for name, value in canonical.items():
        assert np.array_equal(back[name], value), f"{name} did not come back"


@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.arch.name}-{net.sizes.bidirectional}")
@pytest.mark.parametrize("layout", [IDENTITY, TRANSPOSED], ids=["identity", "transposed"])
def test_round_trip(net: Net, layout: Layout) -> None:
    check_inverse(layout, params.init(net, 0))


def test_only_recurrent_matrices_turn() -> None:
    canonical = params.init(NETS[3], 0)  # gru, both directions
    native = TRANSPOSED.to_native(canonical)
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
    ("fault", "message"),
    [
        (
            lambda p: {n: p[n] if n.endswith("U") else v for n, v in TRANSPOSED.to_native(p).items()},
            "U did not come back",
        ),
        (lambda p: {n: np.roll(v, 1) for n, v in TRANSPOSED.to_native(p).items()}, "did not come back"),
        (lambda p: dict(reversed(TRANSPOSED.to_native(p).items())), "names or their order"),
    ],
    ids=["one matrix kept", "gates moved", "order lost"],
)
def test_a_wrong_layout_is_caught(fault: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_inverse(Layout(fault, TRANSPOSED.to_canonical), params.init(NETS[2], 0))  # type: ignore[arg-type]
