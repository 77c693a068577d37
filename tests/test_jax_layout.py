"""JAX's layouts and its table of cells. NumPy alone; the cells themselves are the exam's affair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backends import jax as backend
from backends.jax.layout import Layout, identity, to_canonical, to_native, transposed
from suite.spec import params
from suite.spec.archs import ARCHS, CELLS
from suite.spec.contract import IMPLEMENTATIONS, Net, Params, Signature, Sizes

LABEL = Signature("label", "xent", 7, 5)
NETS = [Net(arch, LABEL, Sizes(3, 2, both, embed=2)) for arch in CELLS for both in (False, True)]


def check_inverse(layout: Layout, canonical: Params, native: Params) -> None:
    """Native -> canonical gives the same names, in the same order, and the same numbers."""
    got = to_canonical(layout, native)
    assert list(got) == list(canonical), "names or their order changed"
    for name, value in canonical.items():
        assert np.array_equal(got[name], value), f"{name} did not come back"


@pytest.mark.parametrize("layout", [identity, transposed])
@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.arch.name}-{net.sizes.bidirectional}")
def test_round_trip(net: Net, layout: Callable[[Params], Layout]) -> None:
    canonical = params.init(net, 0)
    native = to_native(layout(canonical), canonical)
    check_inverse(layout(canonical), canonical, dict(sorted(native.items())))  # as a jitted function gives them back


def test_other_libraries_weights_are_turned_and_no_other() -> None:
    canonical = params.init(NETS[2], 0)
    native = to_native(transposed(canonical), canonical)
    turned = {name for name, value in canonical.items() if native[name].shape != value.shape}
    assert turned == {name for name in canonical if name.endswith(("/W", "/U"))}


def test_a_planted_permutation_is_found() -> None:
    canonical = params.init(NETS[2], 0)
    rolled = {name: np.roll(p, 1, axis=-1) if name.endswith("/U") else p for name, p in canonical.items()}
    with pytest.raises(AssertionError, match="layer0/U did not come back"):
        check_inverse(identity(canonical), canonical, rolled)


def unanswered(table: set[tuple[str, str]], gaps: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Pairs of architecture and implementation that are neither offered nor a gap with a reason."""
    every = {(arch, impl) for arch in ARCHS for impl in IMPLEMENTATIONS}
    return {(arch, impl) for arch, impl in every - table if not {(arch, impl), ("*", impl)} & gaps}


def test_every_cell_is_offered_or_has_its_reason() -> None:
    assert unanswered(set(backend.TABLE), set(backend.GAPS)) == set()


def test_a_cell_left_out_is_found() -> None:
    assert unanswered(set(backend.TABLE) - {("gru", "scan")}, set(backend.GAPS)) == {("gru", "scan")}
