"""What the runner and watching cost: the interval is over processes, not over the many pairs of one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.perf.overhead import combined, main


def of(ratio: float, step: float = 9.0) -> dict[str, float]:
    return {"ratio": ratio, "bare_step_ms": step, "pairs": 30, "block": 6}


def test_the_interval_is_over_processes() -> None:
    told = combined([of(1.00, 9.0), of(1.02, 10.0), of(1.04, 20.0)])
    half = 4.303 * math.log(1.04) / 2 / math.sqrt(3)  # t(2), and the deviation of three that are evenly apart
    assert told["ratio"] == pytest.approx(1.02, abs=2e-4)
    assert told["high"] == pytest.approx(1.02 * math.exp(half), abs=1e-3)
    assert (told["each"], told["bare_step_ms"], told["pairs"]) == ([1.0, 1.02, 1.04], 10.0, 30)


def test_what_is_fed_is_not_appended(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--feed", "--append", str(tmp_path / "x.jsonl")])
    assert done.exit_code == 2
    assert "--append is for what the page of `speed` shows, which is measured without --feed" in done.output


def test_a_name_that_is_none_is_refused() -> None:
    done = CliRunner().invoke(main, ["--backend", "torch"])
    assert done.exit_code == 2
    assert "'torch' is not one of 'pytorch', 'tensorflow', 'jax'" in done.output
