"""`compare` with planted numbers in place of processes: each fault has its verdict, its message and its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from suite.perf import compare as comparing
from suite.perf import summary
from suite.perf.driver import ProbeFailed, ProbeRefused
from suite.perf.gates import INTENDED
from suite.perf.outcome import Comparison, Settings
from tests.comparing import CELLS, World, slow

GRU, LSTM = (cell.name for cell in CELLS)


def outcomes(found: Comparison) -> list[str]:
    return [row.outcome for row in found.rows]


def test_a_slower_cell_fails_once_it_is_slower_twice() -> None:
    world = World(slow("lstm", 1.10))
    found = world.compare()
    assert outcomes(found) == ["OK", "REGRESSED"]
    assert found.exit_code() == 1
    first, again = found.rows[1].looks
    assert first.ratio != again.ratio  # not the same pairs
    text = summary.terminal(found)
    assert "REGRESSED (1 of 2): slower, seen twice" in text
    assert text.endswith("slower, or not the same work (exit code 1)")
    assert ", 0.98 cpu s a timed s, 48 switches; a fixed matrix product took 3 to 4 ms around the pairs" in text
    assert any(line.startswith(f"{LSTM}, again: REGRESSED: 1.") for line in world.said)


def test_equals_pass() -> None:
    found = World().compare()
    assert outcomes(found) == ["OK", "OK"]
    assert found.exit_code(strict=True) == 0
    assert summary.terminal(found).endswith("no cell is slower (exit code 0)")


def test_slower_once_is_inconclusive_and_said() -> None:
    found = World(slow("gru", 1.10, times=1), between=0.005).compare()
    assert outcomes(found) == ["INCONCLUSIVE", "OK"]
    assert found.rows[0].reasons == ("REGRESSED, but OK when it was measured again",)
    assert (found.exit_code(), found.exit_code(strict=True)) == (0, 3)
    text = summary.terminal(found)
    assert f"  {GRU}: REGRESSED, but OK when it was measured again" in text
    assert text.endswith("no cell is slower, BUT 1 OF 2 CELLS ARE INCONCLUSIVE (exit code 0)")
    assert summary.terminal(found, strict=True).endswith("inconclusive, and --strict (exit code 3)")


def test_a_second_look_takes_more_pairs_and_only_where_it_must() -> None:
    world = World(slow("gru", 1.02), between=0.01)  # just the least effect: inconclusive
    found = world.compare(looks=(5, 9))
    assert outcomes(found) == ["INCONCLUSIVE", "OK"]
    assert [row.looks[-1].ratio.n for row in found.rows] == [9, 5]
    assert [number for arch, same, number in world.measured if arch == "gru" and not same] == list(range(9))


def test_a_noisy_machine_tells_no_speed() -> None:
    world = World(slow("gru", 1.5), between=0.3)
    found = world.compare()
    assert outcomes(found) == ["UNRELIABLE", "UNRELIABLE"]
    assert found.exit_code() == 4
    assert {same for _, same, _ in world.measured} == {True}  # nothing but the canary
    assert len(world.measured) == 12
    text = summary.terminal(found)
    assert "UNRELIABLE (2 of 2): this machine, now, cannot tell BASE from itself: no speed is told" in text
    assert text.count("BASE against itself is ") == 1
    assert "would do" in text or "an interval without 1" in text
    assert text.endswith("the machine is too noisy to tell (exit code 4)")


def test_a_machine_that_drifts_tells_no_speed() -> None:
    found = World(lambda cell, same, number: 1.05, between=0.005).compare()
    assert found.exit_code() == 4
    assert "an interval without 1" in found.rows[0].reasons[0]


GATES = {
    "parameters": ({"parameters": 1001}, "parameters: 1001, were 1000"),
    "another formula": ({"flops": 3_000_000}, "flops: 3000000, were 2000000"),
    "a second product": ({"operations": 301}, "an update consists of 301 operations, was 300"),
    "compiles again": ({"compiled": 8}, "compiles 8 times in 8 updates after it was warm, was 0"),
    "reads in the step": ({"reads": 2.0}, "the host reads values 2 times an update, was 1"),
    "another loss": ({"losses": (2.0, 1.9001, 1.8)}, "the loss of update 2 is 1.9001, was 1.9: 5.3e-05 apart, "),
    "a loss that is no number": ({"losses": (2.0, 1.9, float("nan"))}, "the loss of update 3 is nan, was 1.8: nan"),
}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("between", [0.01, 0.3], ids=["quiet", "noisy"])
def test_a_gate_needs_no_clock(name: str, between: float) -> None:
    told, message = GATES[name]
    world = World(between=between, told={("head", "gru"): told})
    found = world.compare()
    assert (found.rows[0].outcome, found.exit_code()) == ("CHANGED", 1)
    assert found.rows[0].reasons[0].startswith(message)
    assert message in summary.terminal(found)
    assert not [1 for arch, _, _ in world.measured if arch == "gru"]  # what is not the same work is not timed
    assert world.compare(exact=True).exit_code() == 1


# of `GATES`, in their order
INTENTIONS = ("parameters", "flops", "operations", "compiled", "reads", "losses", "losses")


@pytest.mark.parametrize(("name", "gate"), list(zip(GATES, INTENTIONS, strict=True)))
def test_what_is_meant_to_change_is_told_and_passes(name: str, gate: str) -> None:
    told, message = GATES[name]
    world = World(told={("head", "gru"): told})
    found = world.compare(intended=(gate,))
    assert (outcomes(found), found.exit_code()) == (["OK", "OK"], 0)
    assert f"{GRU}: intended: {message}" in summary.terminal(found)
    exact = world.compare(intended=(gate,), exact=True)
    assert summary.terminal(exact).endswith(
        "as before but for what is intended, by the gates that need no clock (exit code 0)"
    )
    other = next(one for one in INTENDED if one != gate)
    assert world.compare(intended=(other,)).exit_code() == 1


def test_what_is_meant_excuses_nothing_else() -> None:
    world = World(told={("head", "gru"): {"flops": 3_000_000, "parameters": 1001}})
    found = world.compare(intended=("flops",))
    assert (found.rows[0].outcome, found.exit_code()) == ("CHANGED", 1)
    assert found.rows[0].reasons == ("parameters: 1001, were 1000",)
    assert f"{GRU}: intended: flops: 3000000, were 2000000" in world.said


def test_what_is_better_or_within_rounding_passes_the_gates() -> None:
    told = {"compiled": 0, "reads": 0.5, "operations": 299, "losses": (2.0, 1.9, 1.8000001)}
    found = World(told={("base", "gru"): {"compiled": 3}, ("head", "gru"): told}).compare(exact=True)
    assert outcomes(found) == ["EXACT", "EXACT"]
    assert found.exit_code(strict=True) == 0
    assert summary.terminal(found).endswith("as before, by the gates that need no clock (exit code 0)")


def test_a_base_that_counts_nothing_excuses_no_compilation() -> None:
    nothing = {"compiled": None, "reads": None, "operations": None}
    world = World(told={("base", "gru"): nothing, ("base", "lstm"): nothing, ("head", "gru"): {"compiled": 1}})
    assert outcomes(world.compare(exact=True)) == ["CHANGED", "EXACT"]


REFUSED, CRASHED = ProbeRefused("jax has no lstm/scan"), ProbeFailed("lstm step: ended with exit code 1: KeyError: 'U'")


@pytest.mark.parametrize(
    ("base", "head", "outcome", "code", "message"),
    [
        ({}, REFUSED, "MISSING", 5, "jax has no lstm/scan"),
        ({}, CRASHED, "CRASHED", 5, "KeyError: 'U'"),
        (CRASHED, CRASHED, "CRASHED", 5, "KeyError: 'U'"),
        (REFUSED, {}, "NEW", 0, "BASE does not run it: jax has no lstm/scan"),
        (CRASHED, {}, "NEW", 0, "BASE does not run it: lstm step: ended with exit code 1: KeyError"),
        (REFUSED, REFUSED, "SKIPPED", 0, "jax has no lstm/scan"),
    ],
)
def test_a_cell_that_one_side_lacks(base: Any, head: Any, outcome: str, code: int, message: str) -> None:
    found = World(told={("base", "lstm"): base, ("head", "lstm"): head}).compare()
    assert outcomes(found) == ["OK", outcome]
    assert found.exit_code() == code
    assert message in found.rows[1].reasons[0]
    assert f"{outcome} (1 of 2): " in summary.terminal(found)


def test_a_crash_while_it_is_timed_fails() -> None:
    world = World()

    def measure(*arguments: Any) -> Any:
        if arguments[0].arch == "lstm":
            raise ProbeFailed("lstm step: no answer within 300 s")
        return World.measure(world, *arguments)

    world.measure = measure  # type: ignore[method-assign]
    found = world.compare()
    assert outcomes(found) == ["OK", "CRASHED"]
    assert found.exit_code() == 5


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"base": CRASHED}, r"old \(0123456789ab\) runs no cell that HEAD runs, perhaps it is too old for this probe"),
        ({"base": REFUSED, "head": REFUSED}, "none of 2 cells runs here; jax/gru/hmm_tag/s0: jax has no lstm/scan"),
    ],
)
def test_nothing_to_compare_is_no_success(told: dict[str, Any], message: str) -> None:
    world = World(told={(side, arch): why for side, why in told.items() for arch in ("gru", "lstm")})
    with pytest.raises(ValueError, match=message):
        world.compare()


def test_what_the_budget_does_not_reach_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(slow("gru", 1.10))
    monkeypatch.setattr(comparing.clock, "since_s", lambda start: 10.0 * len(world.measured))
    found = world.compare(
        budget_s=115.0
    )  # the canary's six pairs and the first six: the repetition is done all the same
    assert outcomes(found) == ["REGRESSED", "INCONCLUSIVE"]
    assert found.rows[1].reasons == ("the budget of 115 s was spent after 0 pairs of 6; see --budget",)
    assert len(world.measured) == 18
    spent = world.compare(budget_s=0.0)
    assert (spent.exit_code(), spent.exit_code(strict=True)) == (0, 3), "a short budget is no noise"
    assert outcomes(spent) == ["INCONCLUSIVE", "INCONCLUSIVE"]


def test_the_budget_begins_with_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examining the cells, which takes minutes, spends none of it."""
    world, now = World(), iter(range(10**6))
    examine = World.examine

    def long(*arguments: Any) -> Any:
        for _ in range(1000):
            next(now)
        return examine(world, *arguments)

    world.examine = long  # type: ignore[method-assign]
    monkeypatch.setattr(comparing.clock, "now_ns", lambda: next(now))
    monkeypatch.setattr(comparing.clock, "since_s", lambda start: float(next(now) - start))
    found = world.compare(budget_s=900.0)
    assert (outcomes(found), found.took_s > 4000) == (["OK", "OK"], True)


def test_every_cell_has_a_look_before_any_has_its_second() -> None:
    world = World(slow("gru", 1.02), between=0.01)
    world.compare(looks=(5, 9))
    asked = [(arch, number) for arch, same, number in world.measured if not same]
    first = [(arch, number) for arch in ("gru", "lstm") for number in range(5)]
    assert asked == [*first, *(("gru", number) for number in range(5, 9))]


def test_the_summary_in_its_other_forms(tmp_path: Path) -> None:
    found = World(slow("lstm", 1.10)).compare()
    table = summary.markdown(found)
    assert table.startswith("### compare: HEAD . (ba9876543210+) against BASE old (0123456789ab)\n")
    assert f"| {LSTM} | REGRESSED | 1." in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    assert "stolen" in table
    data = json.loads(summary.as_json(found))
    assert (data["exit_code"], data["cells"][1]["outcome"], data["cells"][1]["name"]) == (1, "REGRESSED", LSTM)
    assert data["cells"][1]["looks"][0]["ratio"]["n"] == 6
    assert data["canary"]["outcome"] == "OK"
    name = LSTM.replace("/", ".")
    assert summary.metrics(found)[f"ratio/{name}"] == found.rows[1].looks[-1].ratio.value
    assert summary.metrics(found)[f"base_median_ms/{name}"] == 1e3 * data["cells"][1]["base_median_s"] > 0
    assert summary.metrics(found)[f"head_median_ms/{name}"] == 1e3 * data["cells"][1]["head_median_s"] > 0
    assert all(name.count("/") == 1 for name in summary.metrics(found))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"looks": (4, 8)}, r"pairs are 4\.\.8; give 6\.\.12 or one number, at least 5, growing"),
        ({"looks": (8, 6)}, "growing"),
        ({"looks": ()}, "at least 5"),
        ({"delta": 0.0}, "the least effect is 0.0; it must lie between 0 and 1"),
        ({"delta": 2.0}, "0.02 for 2 %"),
        ({"intended": ("loss",)}, "gate 'loss' is not known; did you mean 'losses'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**settings)
