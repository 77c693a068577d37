"""The trend of nights: what is recorded, when it speaks, and a file that is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from suite import api, cli
from suite.perf import trend
from suite.perf.driver import ProbeFailed
from suite.perf.machine import Around
from suite.perf.paired import Pair
from suite.spec.cell import Cell

CELL = Cell("hmm_tag", "gru", "jax")
AROUND = Around(1.0, 0, (3e-3, 3e-3))


def nights(*ratios: float, cpu: str = "fast") -> list[dict[str, Any]]:
    """One a ratio."""
    machine = {"machine_id": "m", "cpu": cpu, "cores_usable": 2}
    return [{"at": "t", "revision": "r", "machine": machine, "cells": {"a": {"gemm_ratio": r}}} for r in ratios]


def test_it_speaks_after_three_slower_nights() -> None:
    quiet = [3.0, 3.1, 2.9] * 7
    assert list(trend.alerts(nights(*quiet))) == []
    assert list(trend.alerts(nights(*quiet, 3.9))) == []  # one night is no trend
    (line,) = trend.alerts(nights(*quiet, 3.3, 3.3))
    assert line == "a: 3.3 times the matrix products in the last 3 nights, 3 before"
    assert list(trend.alerts(nights(*[3.0] * 20, *[3.3] * 22))) == []  # by then it is how fast it is


def test_it_says_nothing_of_few_nights_or_of_other_machines() -> None:
    assert list(trend.alerts([])) == []
    assert list(trend.alerts(nights(*[3.0] * 4, *[9.0] * 3))) == []
    assert list(trend.alerts([*nights(*[3.0] * 20), *nights(*[9.0] * 3, cpu="slow")])) == []


def test_a_night_holds_medians() -> None:
    def measure(cell: Cell, number: int) -> Pair:
        step = 0.03 if number == 1 else 0.02
        return Pair((0.01, 0.01), (step, step), (1.0, 1.0), (1.0, 1.0), AROUND)

    said: list[str] = []
    one = trend.night([CELL], said.append, measure)
    assert one["cells"][CELL.name]["gemm_ratio"] == pytest.approx(2.0)
    assert one["cells"][CELL.name]["step_ms"] == pytest.approx(20.0)
    assert said == [f"{CELL.name}: 20 ms, 2 times the matrix products"]
    assert {"at", "revision", "machine", "cells"} == set(one)


def test_a_cell_that_fails_costs_no_night() -> None:
    def measure(cell: Cell, number: int) -> Pair:
        if cell.arch == "lstm":
            raise ProbeFailed("lstm step: ended with exit code 1: KeyError: 'U'")
        return Pair((0.01,), (0.02,), (1.0,), (1.0,), AROUND)

    said: list[str] = []
    lost = replace(CELL, arch="lstm")
    assert list(trend.night([lost, CELL], said.append, measure)["cells"]) == [CELL.name]
    assert said[0] == f"LEFT OUT {lost.name}: lstm step: ended with exit code 1: KeyError: 'U'"
    with pytest.raises(ValueError, match="trend: no cell could be measured"):
        trend.night([lost], said.append, measure)


def test_a_night_is_held_against_the_oracle_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []
    monkeypatch.setattr(trend, "Probe", lambda cell, what, check=False: asked.append((what, check)))
    monkeypatch.setattr(trend.paired, "measure", lambda base, head, number: (base(), head()))
    for number in range(2):
        trend.measure(CELL, number)
    assert asked == [("gemm", False), ("step", True), ("gemm", False), ("step", False)]


@pytest.mark.parametrize("line", ["{", "[]", '{"cells": {"a": {}}}', '{"cells": {}, "machine": {}}'])
def test_a_line_that_is_no_night_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(nights(1.0)[0]) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=r"t\.jsonl: line 2 is no night of a trend"):
        trend.read(path)


def test_the_command_adds_a_night_and_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trend.jsonl"
    for one in nights(*[3.0] * 20, 3.3, 3.3):
        trend.append(path, one)
    monkeypatch.setattr(trend, "night", lambda cells, say: nights(3.3)[0])
    done = CliRunner().invoke(cli.main, ["trend", str(path)])
    assert done.exit_code == 0
    assert done.output.startswith("SLOWER a: 3.3 times")
    assert done.output.endswith(f"23 nights in {path}\n")
    assert len(trend.read(path)) == 23
    assert api.load("smoke").cells
