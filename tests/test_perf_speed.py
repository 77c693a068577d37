"""Plan speed: what a step's products are, what cannot be believed, and what a table says of planted times."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite import registry
from suite.perf import plausible, products, speed
from suite.report import kernels, targets
from suite.spec import network
from suite.spec.contract import Net, Optim, Sizes
from suite.stats import Interval

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


def measured(times: dict[str, float], shape: str = "small", sets: int = 3, rounds: int = 4) -> dict[str, Any]:
    """A group's file with planted seconds; every set and round is slowed by the same drift in all candidates."""
    asked = speed.group(shape, "gru", "step", ["jax"], ["scan", "stock"], [], threads=1)
    drift = 1 + 0.3 * np.random.default_rng(0).random((sets, rounds))
    found = {}
    for name, seconds in times.items():
        backend, _, impl = name.partition(" ")
        cell = replace(asked.candidates["jax scan"], backend=backend, impl=impl or "scan")
        one = {"calls": 4, "accounted": 0.99, "cpu_per_s": 1.0, "foreign_per_s": 0.02, "p99": 5e-3}
        several = [one | {"min": (seconds * d).tolist(), "median": 1.1 * seconds} for d in drift]
        found[name] = {
            "cell": cell.as_json(),
            "key": cell.key,
            "told": {"losses": [2.3], "first_s": 1.0, "import_s": 0.5, "build_s": 0.1, "environment": {"OMP": "1"}},
            "sets": several,
        }
    facts = {"cpu": "a cpu", "machine_id": "a", "cores_usable": 2, "versions": {"python": "3.12"}}
    head = {"schema": 1, "shape": shape, "arch": "gru", "subject": "step", "facts": facts}
    return head | {"candidates": found, "unsupported": {"pytorch fused": "not there"}}


GOOD = {"products": 1e-3, "flax stock": 4e-3, "jax scan": 2e-3}


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


def test_outputs_alone_take_no_longer_than_a_step() -> None:
    step, forward = measured(GOOD), measured(GOOD | {"jax scan": 2.1e-3}) | {"subject": "forward"}
    assert list(plausible.order(forward, measured(GOOD))) == [
        "jax scan: forward took 2.1 ms, step 2 ms, and it does more"
    ]
    assert list(plausible.order(step, step)) == []


@pytest.mark.parametrize(
    ("interval", "found"),
    [((1.6, 1.5, 1.7), "met"), ((1.4, 1.3, 1.49), "missed"), ((1.6, 1.4, 1.8), "open: above on the median")],
)
def test_a_target_is_met_where_the_whole_interval_is(interval: tuple[float, float, float], found: str) -> None:
    assert targets.verdict(Interval(*interval, 4), 1.5) == found


def test_targets_are_shown_with_what_was_measured() -> None:
    times = {"flax stock": 3e-3, "jax fused": 2e-3, "jax scan": 1.9e-3, "tensorflow fused": 2e-3}
    times |= {"tensorflow stock": 6e-3, "keras_jit stock": 5e-3}  # the faster of the two counts
    rows = list(targets.markdown([measured(times)], kernels.ratio))
    assert "| small | gru | flax stock / jax fused | 1.25 | 1.8 | 1.50 [1.50, 1.50] | met |" in rows
    assert "| small | gru | keras_jit stock / tensorflow fused | 2 | 3 | 2.50 [2.50, 2.50] | met |" in rows
    braun = measured({"products": 1e-3} | times, "braun")
    rows = list(targets.markdown([braun], kernels.ratio))
    assert "| braun | gru | products / jax scan | 0.8 | 0.85 | 0.53 [0.53, 0.53] | missed |" in rows
    assert list(targets.markdown([], kernels.ratio)) == []


def test_ratios_are_paired_so_that_drift_does_not_matter() -> None:
    data = measured(GOOD)["candidates"]
    got = kernels.ratio(data["flax stock"], data["jax scan"])
    assert got == pytest.approx(Interval(2.0, 2.0, 2.0, 3)) or (abs(got.value - 2) < 1e-9 and got.half < 1e-9)
    assert kernels.seconds(data["jax scan"]).half > 1e-5  # the drift is in the times themselves


def test_a_layer_is_compared_with_the_faster_of_its_frameworks_own() -> None:
    data = measured({"tensorflow stock": 6e-3, "keras_jit stock": 5e-3, "tensorflow fused": 2e-3})
    rows = {line.split(" | ")[0]: line for line in kernels.markdown([data]) if line.startswith("| ")}
    assert "| 2.50 [2.50, 2.50] |" in rows["| tensorflow fused"]
    assert "| 0.83 [0.83, 0.83] |" in rows["| tensorflow stock"], "its own layer under XLA is the faster"


def test_one_sequence_is_no_training_step() -> None:
    (line,) = (line for line in kernels.markdown([measured(GOOD) | {"subject": "latency"}]) if "T50 I32" in line)
    assert line.startswith("where what surrounds the products decides: B1 T50 I32 H64")
    assert not any(
        "a training step takes" in line for line in kernels.markdown([measured(GOOD) | {"subject": "stream"}])
    )


@pytest.mark.parametrize(
    ("calls", "together", "shown"), [(100, 1, True), (26, 1, True), (25, 1, False), (200, 8, False)]
)
def test_a_99th_percentile_is_shown_where_it_is_no_maximum(calls: int, together: int, shown: bool) -> None:
    """Of four rounds; and where a candidate makes eight updates a call, what is timed are means of eight."""
    data = measured(GOOD)
    data["candidates"]["jax scan"]["cell"]["steps_per_call"] = together
    for one in (one for c in data["candidates"].values() for one in c["sets"]):
        one["calls"] = calls
    (row,) = (line for line in kernels.markdown([data]) if line.startswith("| jax scan"))
    assert (row.split(" | ")[4] == "5") == shown, row


def test_decoding_is_told_in_tokens_written() -> None:
    assert (
        kernels._tokens(
            "decode", speed.group("words", "gru", "decode", ["jax"], ["scan"], [], 1).candidates["jax scan"].as_json()
        )
        == 64 * 7
    )
    noise = measured(GOOD)["candidates"]["jax scan"]["cell"]
    assert [kernels._tokens(subject, noise) for subject in ("step", "latency", "stream")] == [32 * 50, 50, 1]


def test_times_of_two_machines_stand_under_their_names_and_not_side_by_side(tmp_path: Path) -> None:
    small, braun = measured(GOOD), measured(GOOD, "braun")
    braun["facts"] = braun["facts"] | {"machine_id": "b"}  # two machines may have one name
    *_, first, second, environment = kernels.markdown([small, braun])
    assert first == "- a cpu, 2 cores; python 3.12 (machine a): small / gru / step"
    assert second == "- a cpu, 2 cores; python 3.12 (machine b): braun / gru / step"
    assert environment == "- environment of the processes: OMP=1"
    with pytest.raises(ValueError, match="small, braun were measured on several machines"):
        kernels.short([small, braun])
    *_, alone, _ = kernels.markdown([small])
    assert alone == "- a cpu, 2 cores; python 3.12"


def test_a_page_and_a_figure(tmp_path: Path) -> None:
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "small.gru.step.json").write_text(json.dumps(measured(GOOD)))
    for value in (32, 64):
        grown = measured({"products": 1e-5 * value, "jax fused": 2e-5 * value}, f"hidden-{value}")
        (tmp_path / "speed" / f"hidden-{value}.gru.step.json").write_text(json.dumps(grown))
    assert kernels.short(kernels.read(tmp_path)).splitlines()[2:6] == [
        "| products | 1.16 ±22 % |",
        "| jax scan | 2.32 ±22 % |",
        "| flax stock | 4.63 ±22 % |",
        "",
    ]
    page, *pictures = kernels.write(tmp_path, tmp_path / "report")
    text = page.read_text()
    assert "where what surrounds the products decides: B32 T50 I32 H64; float32, 1 thread(s)\n3 sets of" in text
    # W, U, b, c, V and d; a step's three products of each, but for the batch ten moves of each parameter
    numbers = 3 * 64 * (32 + 64 + 1 + 1) + 10 * 65
    flops = 32 * 50 * (3 * 64 * (4 * 32 + 6 * 64) + 6 * 64 * 10)  # nothing towards the features
    moved = 4 * (10 * numbers + 32 * 50 * (32 + 1))
    assert f"{numbers:,} parameters; a training step takes {flops / 1e6:,.0f} MFLOP in products and moves" in text
    assert f"moves {moved / 1e6:.3g} MB at the least, {flops / moved:.0f} FLOP a byte" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| jax scan"))
    assert 32 * 50 / 2.7e-3 < float(row.split("|")[6].replace(",", "")) < 32 * 50 / 2e-3
    assert "| 2.00 [2.00, 2.00] |" in text
    assert "- pytorch fused: not there" in text
    assert [p.name for p in pictures] == [
        f"{n}.{kind}" for n in ("speed-gru", "start", "scaling") for kind in ("svg", "png")
    ]
    assert all(p.stat().st_size > 1000 for p in pictures)
    with pytest.raises(ValueError, match="nothing was measured below"):
        kernels.read(tmp_path / "report")
