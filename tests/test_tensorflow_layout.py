"""Keras' native layout: names, shapes, an exact inverse, and its GRU's equations. NumPy alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backends.tensorflow.layout import KERAS, Layout, identity, keras, parts, to_canonical, to_native
from suite.spec import params
from suite.spec.archs import ARCHS, CELLS
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Net, Params, Signature, Sizes
from suite.spec.random import Stream

LABEL = Signature("label", "xent", 7, 5)
NETS = [Net(arch, LABEL, Sizes(3, 2, both, embed=2)) for arch in CELLS for both in (False, True)]


def layout_of(net: Net) -> Layout:
    """Embedding and head as they are, recurrent layers as Keras has them."""
    recurrent = {name: place for d in params.directions(net) for name, place in keras(net.arch, d.prefix).items()}
    return {name: recurrent.get(name, identity([name])[name]) for name in params.shapes(net)}


def numbers(net: Net) -> Params:
    s = Stream("layout")
    return {name: s.normal(shape) for name, shape in params.shapes(net).items()}


def check_inverse(layout: Layout, canonical: Params, back: Callable[[Params], Params] = lambda native: native) -> None:
    """Canonical -> native (-> ``back``) -> canonical gives the same names, in order, and the same numbers."""
    got = to_canonical(layout, back(to_native(layout, canonical)))
    assert list(got) == list(canonical), "names or their order changed"
    for name, value in canonical.items():
        assert np.array_equal(got[name], value), f"{name} did not come back"


def keras_gru(native: Params, x: Array, h: Array, reset_after: bool) -> Array:
    """One step as keras.layers.GRUCell computes it: gates z, r, h; bias (2, 3H) where the reset comes after."""
    width = h.shape[1]
    b, c = native["bias"] if reset_after else (native["bias"], np.zeros(3 * width))
    x_z, x_r, x_h = np.split(x @ native["kernel"] + b, 3, axis=1)
    u_z, u_r, u_h = np.split(h @ native["recurrent_kernel"] + c, 3, axis=1)
    z, r = sigmoid(x_z + u_z), sigmoid(x_r + u_r)
    inner = r * u_h if reset_after else (r * h) @ native["recurrent_kernel"][:, 2 * width :]
    return z * h + (1 - z) * np.tanh(x_h + inner)


def check_gru(name: str, layout: Layout) -> None:
    """Keras' equations on native arrays give what the specification's give on canonical ones."""
    arch, s = ARCHS[name], Stream("gru")
    p = {key: s.normal(shape) for key, shape in arch.shapes(2, 3).items()}
    x, h = s.normal((4, 2)), s.normal((4, 3))
    (want,), _ = arch.step(p, x, (h,))
    native = {KERAS[key]: value for key, value in to_native(layout, p).items()}
    err = np.abs(keras_gru(native, x, h, reset_after="c" in p) - want).max()
    assert err <= 1e-15, f"{name}: Keras' step is off by {err:.1g}"


@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.arch.name}-{net.sizes.bidirectional}")
def test_round_trip(net: Net) -> None:
    check_inverse(layout_of(net), numbers(net))
    check_inverse(identity(params.shapes(net)), numbers(net))


def test_native_shapes_are_those_of_keras() -> None:
    native = to_native(layout_of(NETS[3]), numbers(NETS[3]))  # gru, both directions
    assert native["layer1/bwd/W"].shape == (6, 9)
    assert native["layer1/bwd/U"].shape == (3, 9)
    assert native["layer1/bwd/b"].shape == (2, 9)
    assert to_native(layout_of(NETS[4]), numbers(NETS[4]))["layer0/b"].shape == (9,)  # gru_before


@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.arch.name}-{net.sizes.bidirectional}")
def test_a_part_has_its_parameters_norm(net: Net) -> None:
    layout, canonical = layout_of(net), numbers(net)
    native = to_native(layout, canonical)
    for name, part in parts(layout, native).items():
        assert abs(np.linalg.norm(part) - np.linalg.norm(canonical[name])) <= 1e-14, name


@pytest.mark.parametrize("name", ["gru", "gru_before"])
def test_the_gates_stand_where_keras_reads_them(name: str) -> None:
    check_gru(name, keras(ARCHS[name], ""))


@pytest.mark.parametrize("name", ["gru", "gru_before"])
def test_gates_left_in_canonical_order_are_caught(name: str) -> None:
    kept = {key: type(place)(place.native, place.row) for key, place in keras(ARCHS[name], "").items()}
    with pytest.raises(AssertionError, match="Keras' step is off"):
        check_gru(name, kept)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda native: native | {"layer0/b": native["layer0/b"][::-1]}, "layer0/b did not come back"),
        (lambda native: {n: np.roll(v, 1) for n, v in native.items()}, "did not come back"),
    ],
    ids=["biases exchanged", "gates moved"],
)
def test_a_wrong_native_array_is_caught(fault: Callable[[Params], Params], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_inverse(layout_of(NETS[2]), numbers(NETS[2]), fault)
