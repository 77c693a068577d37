"""JAX's layouts and its table of cells. NumPy alone; the cells themselves are the exam's affair."""

from __future__ import annotations

import numpy as np
import pytest

from backends import jax as backend
from backends.jax.layout import identity, to_canonical, to_native
from suite.spec import params
from suite.spec.archs import ARCHS, CELLS
from suite.spec.contract import IMPLEMENTATIONS, Net, Params, Signature, Sizes

LABEL = Signature("label", "xent", 7, 5)
NETS = [Net(arch, LABEL, Sizes(3, 2, both, embed=2)) for arch in CELLS for both in (False, True)]


def check_inverse(canonical: Params, native: Params) -> None:
    """Native -> canonical gives the same names, in the same order, and the same numbers."""
    got = to_canonical(identity(canonical), native)
    assert list(got) == list(canonical), "names or their order changed"
    for name, value in canonical.items():
        assert np.array_equal(got[name], value), f"{name} did not come back"


@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.arch.name}-{net.sizes.bidirectional}")
def test_round_trip(net: Net) -> None:
    canonical = params.init(net, 0)
    native = to_native(identity(canonical), canonical)
    check_inverse(canonical, dict(sorted(native.items())))  # as a jitted function gives them back


def test_a_planted_permutation_is_found() -> None:
    canonical = params.init(NETS[2], 0)
    rolled = {name: np.roll(p, 1, axis=-1) if name.endswith("/U") else p for name, p in canonical.items()}
    with pytest.raises(AssertionError, match="layer0/U did not come back"):
        check_inverse(canonical, rolled)


def unanswered(table: set[tuple[str, str]], gaps: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Pairs of architecture and implementation that are neither offered nor a gap with a reason."""
    every = {(arch, impl) for arch in ARCHS for impl in IMPLEMENTATIONS}
    return {(arch, impl) for arch, impl in every - table if not {(arch, impl), ("*", impl)} & gaps}


def test_every_cell_is_offered_or_has_its_reason() -> None:
    assert unanswered(set(backend.TABLE), set(backend.GAPS)) == set()


def test_a_cell_left_out_is_found() -> None:
    assert unanswered(set(backend.TABLE) - {("gru", "scan")}, set(backend.GAPS)) == {("gru", "scan")}
