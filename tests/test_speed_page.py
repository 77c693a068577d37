"""What speed.md and the README's table say of planted times, targets and checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suite.perf import speed
from suite.report import kernels, perf_checks, speed_page, targets
from suite.stats import Interval
from tests.speed_files import GOOD, measured


@pytest.mark.parametrize(
    ("interval", "found"),
    [((1.6, 1.5, 1.7), "met"), ((1.4, 1.3, 1.49), "missed"), ((1.6, 1.4, 1.8), "open, the estimate above")],
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
    assert "| braun | gru | pytorch stock / pytorch fused | 1 | 1 |  | not measured |" in rows
    assert list(targets.markdown([], kernels.ratio)) == []


def test_ratios_are_paired_so_that_drift_does_not_matter() -> None:
    data = measured(GOOD)["candidates"]
    got = kernels.ratio(data["flax stock"], data["jax scan"])
    assert got == pytest.approx(Interval(2.0, 2.0, 2.0, 3)) or (abs(got.value - 2) < 1e-9 and got.half < 1e-9)
    assert kernels.seconds(data["jax scan"]).half > 1e-5  # the drift is in the times themselves


def test_a_layer_is_compared_with_the_faster_of_its_frameworks_own() -> None:
    data = measured({"tensorflow stock": 6e-3, "keras_jit stock": 5e-3, "tensorflow fused": 2e-3})
    rows = {line.split(" | ")[0]: line for line in speed_page.markdown([data]) if line.startswith("| ")}
    assert "| 2.50 [2.50, 2.50] |" in rows["| tensorflow fused"]
    assert "| 0.83 [0.83, 0.83] |" in rows["| tensorflow stock"], "its own layer under XLA is the faster"


def test_a_stock_layer_that_is_the_faster_is_told_first() -> None:
    fast, slow = (measured({"pytorch stock": 3e-3, "pytorch fused": s, "pytorch scan": 9e-3}) for s in (2e-3, 4e-3))
    said = "| small / gru / step | pytorch stock | pytorch fused | 1.33 [1.33, 1.33] |"
    text = "\n".join(speed_page.markdown([slow]))
    assert text.index(said) < text.index("## small / gru / step"), "and of ours the kernels alone"
    assert text.count("| small / gru / step |") == 1
    assert "Where a stock layer is the faster" not in "\n".join(speed_page.markdown([fast]))


def test_what_a_reader_must_know_is_said_in_every_group() -> None:
    text = "\n".join(speed_page.markdown([measured(GOOD), measured(GOOD, "hidden-32")]))
    assert text.count("- measured on 2026-01-02, of revision 0123\n- times stock is beside flax stock (peer)\n") == 2
    assert "| flax stock (peer) |" in text
    assert "](speed-gru.svg)" in text and "](scaling.svg)" in text
    assert "no stock layer beside these" in "\n".join(speed_page.markdown([measured({"jax scan": 1e-3})]))


WATCHED = {"ratio": 1.01, "low": 1.0, "high": 1.02}


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (WATCHED, "1.010 [1.000, 1.020] | met |"),
        (WATCHED | {"high": 1.06}, "1.010 [1.000, 1.060] | open |"),
        (WATCHED | {"low": 1.051, "high": 1.06}, "1.010 [1.051, 1.060] | missed |"),
        (WATCHED | {"high": float("nan")}, "1.010 [1.000, nan] | open |"),
    ],
)
def test_what_watching_costs_and_how_often_compare_errs(profile: dict[str, float], said: str, tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    when = {"at": "2026-01-02T03:04:05Z", "revision": "0123456789abcdef", "cpu": "a cpu"}
    line = when | {"backend": "jax", "impl": "fused", "arch": "gru", "hidden": 8, "norms": WATCHED, "profile": profile}
    old = line | {"norms": WATCHED | {"ratio": 9.0}}
    (tmp_path / "checks" / "overhead.jsonl").write_text(f"{json.dumps(old)}\n{json.dumps(line)}\n")
    canary = when | {
        "slow": None,
        "min_effect": 0.02,
        "minutes": [1.25, 2.0],
        "cells": {"jax/gru": {"OK": 19, "UNRELIABLE": 1}},
    }
    slow = canary | {"slow": 15, "ratios": {"jax/gru": [1.051, 1.043]}}
    (tmp_path / "checks" / "canary.jsonl").write_text(f"{json.dumps(canary)}\n{json.dumps(slow)}\n")
    text = "\n".join(speed_page.markdown([], perf_checks.read(tmp_path)))
    norms = "| jax fused | gru H8 | every parameter's gradient norm, and the global one | 1.03 | 1.010 [1.000, 1.020]"
    assert f"{norms} | met | 2026-01-02, 0123456789ab, a cpu |" in text
    assert f"| jax fused | gru H8 | the gradient's norm at every time step | 1.05 | {said}" in text
    assert "9.0" not in text, "the last of each"
    assert "| the same | jax/gru | 2% | 20 | OK 19, UNRELIABLE 1 | 1.2 to 2.0 | 2026-01-02, 0123456789ab" in text
    waits = "| PyTorch's loop waits 15 % of each step forward | jax/gru | 2% | 20 |"
    assert f"{waits} OK 19, UNRELIABLE 1 (1.043 to 1.051 times) | 1.2 to 2.0 |" in text
    assert perf_checks.read(tmp_path / "nowhere") == perf_checks.NONE


@pytest.mark.parametrize(
    ("name", "line"), [("overhead.jsonl", '{"backend": "jax"}'), ("canary.jsonl", "{"), ("canary.jsonl", "3")]
)
def test_a_line_that_is_no_check_is_named(name: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / name).write_text(f"{line}\n")
    with pytest.raises(ValueError, match=rf"checks/{name}: line 1 is none that was appended here"):
        perf_checks.read(tmp_path)


def test_one_sequence_is_no_training_step() -> None:
    (line,) = (line for line in speed_page.markdown([measured(GOOD) | {"subject": "latency"}]) if "T50 I32" in line)
    assert line.startswith("- where what surrounds the products decides: B1 T50 I32 H64")
    assert not any(
        "a training step takes" in line for line in speed_page.markdown([measured(GOOD) | {"subject": "stream"}])
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
    (row,) = (line for line in speed_page.markdown([data]) if line.startswith("| jax scan"))
    assert (row.split(" | ")[4] == "5") == shown, row


def test_decoding_is_told_in_tokens_written() -> None:
    assert (
        speed_page._tokens(
            "decode", speed.group("words", "gru", "decode", ["jax"], ["scan"], [], 1).candidates["jax scan"].as_json()
        )
        == 64 * 7
    )
    noise = measured(GOOD)["candidates"]["jax scan"]["cell"]
    assert [speed_page._tokens(subject, noise) for subject in ("step", "latency", "stream")] == [32 * 50, 50, 1]


def test_times_of_two_machines_stand_under_their_names_and_not_side_by_side(tmp_path: Path) -> None:
    small, braun = measured(GOOD), measured(GOOD, "braun")
    braun["facts"] = braun["facts"] | {"machine_id": "b"}  # two machines may have one name
    *_, first, second, environment = speed_page.markdown([small, braun])
    assert first == "- a cpu, 2 cores; python 3.12 (machine a): small / gru / step"
    assert second == "- a cpu, 2 cores; python 3.12 (machine b): braun / gru / step"
    assert environment == "- environment of the processes: OMP=1"
    with pytest.raises(ValueError, match="small, braun were measured on several machines"):
        kernels.short([small, braun])
    *_, alone, _ = speed_page.markdown([small])
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
        "| flax stock (peer) | 4.63 ±22 % |",
        "",
    ]
    page, *pictures = speed_page.write(tmp_path, tmp_path / "report")
    text = page.read_text()
    assert "- where what surrounds the products decides: B32 T50 I32 H64; float32, 1 thread(s)\n- 3 sets of" in text
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
