"""Plan speed: what a step's products are, what cannot be believed, and what a table says of planted times."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from suite import registry
from suite.perf import plausible, probe, products, speed
from suite.spec import network
from suite.spec.cell import Cell
from suite.spec.contract import Net, Optim, Sizes
from tests.speed_files import GOOD, measured

NOISE: Any = registry.task("noise", time=6, features=3, classes=4, val_size=2, test_size=2)


def net(arch: str = "gru", **sizes: Any) -> Net:
    return Net(registry.arch(arch), NOISE.signature, Sizes(**{"hidden": 5} | sizes))


@pytest.mark.parametrize("sizes", [{}, {"layers": 2}, {"layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("arch", ["rnn", "gru", "lstm_peephole"])
def test_operations_are_those_of_the_products(arch: str, sizes: dict[str, Any]) -> None:
    asked, batch = net(arch, **sizes), NOISE.batch("train", 0, 0, 2)
    assert network.flops(asked, batch) == 2 * sum(m * k * n * t for m, k, n, t in products.products(asked, batch))


@pytest.mark.parametrize(("name", "slots"), [("adam", 2), ("sgd", 1)])
def test_traffic_is_every_array_once_for_each_use(name: str, slots: int) -> None:
    asked, batch = net("rnn"), NOISE.batch("train", 0, 0, 2)
    each = 3 * 5 + 5 * 5 + 5 + 5 * 4 + 4  # W, U, b, V, d
    read, written = (1 + 1 + 1 + 1 + slots) * each, (1 + 1 + slots) * each  # ways, gradient, parameter, slots
    numbers = read + written + 2 * 6 * (3 + 1)  # and the batch
    assert network.traffic(asked, batch, Optim(name), "float32") == 4 * numbers
    assert network.traffic(asked, batch, Optim(name), "float64") == 8 * numbers


def test_a_call_does_every_product() -> None:
    call = products.call(net(), NOISE.batch("train", 0, 0, 2), "float64")
    call()
    there = products.products(net(), NOISE.batch("train", 0, 0, 2), back=False)
    assert there == [(12, 3, 15, 1), (2, 5, 15, 6), (12, 5, 4, 1)]
    assert set(there) < set(products.products(net(), NOISE.batch("train", 0, 0, 2)))
    words: Any = registry.task("numwords", profile="tiny")
    translate = Net(registry.arch("gru"), words.signature, Sizes())
    with pytest.raises(ValueError, match="gru/translate is no plain stack; take a labelling task"):
        products.products(translate, words.batch("train", 0, 0, 2))


def test_a_group_holds_every_candidate_and_refuses_what_is_not_known() -> None:
    asked = speed.group("lengths", "gru", "step", ["jax"], ["scan", "fused"], [], threads=2)
    full = ["jax scan, full rows", "jax fused, full rows"]
    assert list(asked.candidates) == ["products", "jax scan", "jax fused", *full]
    cell = asked.candidates["jax scan"]
    assert dict(cell.options) == {"features": 123, "shortest": 25, "time": 100}
    assert (cell.batch, cell.sizes.hidden, cell.threads) == (64, 320, 2)
    with pytest.raises(ValueError, match="shape 'smal' is not known; did you mean 'small'"):
        speed.group("smal", "gru", "step", ["jax"], ["scan"], [], threads=1)
    with pytest.raises(ValueError, match="subject 'steps' is not known; did you mean 'step'"):
        speed.group("small", "gru", "steps", ["jax"], ["scan"], [], threads=1)
    with pytest.raises(ValueError, match="subject 'gemm' is not known"):  # it would be NumPy's under another's name
        speed.group("small", "gru", "gemm", ["jax"], ["scan"], [], threads=1)


def test_updates_of_one_call_are_timed_beside_one_a_call() -> None:
    asked = speed.group("calls", "gru", "step", ["jax"], ["fused"], [], threads=2).candidates
    assert list(asked) == ["products", "jax fused", "jax fused, one a call"]
    several, one = asked["jax fused"], asked["jax fused, one a call"]
    assert (several.steps_per_call, one.steps_per_call) == (8, 1)
    assert replace(several, steps_per_call=1) == one


def test_what_takes_long_to_compile_is_asked_for_whatever_stands_beside_it() -> None:
    asked = speed.group("calls", "gru", "step", ["pytorch"], ["scan-compiled"], [], threads=2)
    offered, gaps = speed._offered(asked, slow=False)
    assert list(offered) == ["products"]
    assert set(gaps.values()) == {"every shape takes long to compile: add --slow"}
    assert list(speed._offered(asked, slow=True)[0]) == list(asked.candidates)


def plant(change: str) -> dict[str, Any]:
    data = copy.deepcopy(measured(GOOD))
    scan = data["candidates"]["jax scan"]
    if change == "time":
        scan["sets"][1]["accounted"] = 0.5
    elif change == "others":
        for one in (one for c in data["candidates"].values() for one in c["sets"]):
            one["foreign_per_s"] = 0.4
    elif change == "zero":
        scan["sets"][0]["min"][0] = 0.0
    else:
        scan["sets"][0]["min"] = [5e-4] * 4
    return data


def test_good_data_pass_the_gates() -> None:
    assert list(plausible.gates(measured(GOOD))) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("time", "jax scan: its calls make 50% of the time that passed while they ran"),
        ("others", "other processes used 0.40 processors meanwhile; leave the machine alone"),
        ("zero", "jax scan took 0.0 s"),
        ("fast", "jax scan took 0.5 ms, its matrix products alone 1"),
    ],
)
def test_what_cannot_be_believed_is_named(change: str, message: str) -> None:
    assert any(line.startswith(message) for line in plausible.gates(plant(change)))


@pytest.mark.parametrize("subject", ["gradients", "forward"])
def test_no_call_is_faster_than_its_products(subject: str) -> None:
    fast = plant("fast") | {"subject": subject}
    assert [
        line for line in plausible.gates(fast) if line.startswith("jax scan took 0.5 ms, its matrix products alone 1")
    ]


def test_a_probe_does_the_products_of_what_it_is_asked_for() -> None:
    cell = Cell("noise", "gru", "reference", options=(("features", 3), ("test_size", 2), ("time", 6), ("val_size", 2)))
    made: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "call", lambda net, batch, precision, back: made.append(back) or (lambda: None))
        for of in ("step", "gradients", "forward"):
            probe.prepare(cell, "gemm", of=of)
    assert made == [True, True, False]


def test_outputs_alone_take_no_longer_than_a_step() -> None:
    step, forward = measured(GOOD), measured(GOOD | {"jax scan": 2.1e-3}) | {"subject": "forward"}
    assert list(plausible.order(forward, measured(GOOD))) == [
        "jax scan: forward took 2.1 ms, step 2 ms, and it does more"
    ]
    assert list(plausible.order(step, step)) == []
