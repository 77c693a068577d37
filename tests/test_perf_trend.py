"""The trend of nights: what is recorded, when it speaks, and a file that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from suite import api, cli
from suite.perf import trend
from suite.perf.paired import Pair
from suite.spec.cell import Cell

CELL = Cell("hmm_tag", "gru", "jax")


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
        return Pair((0.01, 0.01), (step, step), (1.0, 1.0), (1.0, 1.0), 1.0)

    said: list[str] = []
    one = trend.night([CELL], said.append, measure)
    assert one["cells"][CELL.name]["gemm_ratio"] == pytest.approx(2.0)
    assert one["cells"][CELL.name]["step_ms"] == pytest.approx(20.0)
    assert said == [f"{CELL.name}: 20 ms, 2 times the matrix products"]
    assert {"at", "revision", "machine", "cells"} == set(one)


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
