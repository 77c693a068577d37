"""What a fresh process costs before its first timed step: three of them, each with what the shorter ones have.

    python -m pytest tests/perf/bench_start.py --backend jax --benchmark-json .benchmarks/jax.json

`import` is a worker that imports the framework and sets it up. `warm` is a probe that also builds a cell of the shape
`small`, compiles it and updates it a dozen times; its `extra_info` has the seconds of each part, a round each. `cell`
is ``python -m suite cell`` on one tiny update: the command, its worker, the comparison with the oracle, validation,
test, record; its `extra_info` has the seconds of the first update, which compiles, and of the timed one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite import record
from suite.executors.process import environment
from suite.perf.driver import Probe
from suite.spec.cell import Cell
from tests.perf.bench_kernels import cell as small
from tests.perf.bench_runner import TINY

ROUNDS = 3


@pytest.fixture
def chosen(benchmark: Any, backend: str) -> Cell:
    found = small(backend, "gru", "scan")
    benchmark.group = "fresh process"
    benchmark.extra_info["cell"] = found.as_json()
    return found


def test_import(benchmark: Any, chosen: Cell) -> None:
    def start() -> None:
        said = command(chosen, "worker", said=json.dumps({"warm": chosen.as_json()}) + "\n")
        assert json.loads(said) == {"event": "ready"}

    benchmark.pedantic(start, rounds=ROUNDS)


def test_warm(benchmark: Any, chosen: Cell) -> None:
    parts: dict[str, list[float]] = {"import_s": [], "build_s": [], "first_s": []}

    def start() -> None:
        with Probe(chosen, "step") as probe:
            told = probe.ready()
        for name, seconds in parts.items():
            seconds.append(told[name])

    benchmark.pedantic(start, rounds=ROUNDS)
    benchmark.extra_info |= parts


def test_cell(benchmark: Any, chosen: Cell, tmp_path: Path) -> None:
    tiny = replace(TINY, backend=chosen.backend, precision=chosen.precision)
    spec, out = tmp_path / "cell.json", tmp_path / "out"
    spec.write_text(json.dumps(tiny.as_json()), encoding="utf-8")
    benchmark.pedantic(lambda: command(tiny, "cell", str(spec), "--out", str(out)), rounds=ROUNDS)
    ended = record.read(out / "result.json")
    assert (ended.outcome, ended.updates) == ("ok", 1)
    benchmark.extra_info |= {"cell": tiny.as_json(), "first_s": ended.first_step_s, "steps_s": sum(ended.step_s)}


def command(chosen: Cell, *arguments: str, said: str = "") -> str:
    """What ``python -m suite`` answers; RuntimeError with its last line where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "suite", *arguments], input=said, env=environment(chosen), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"suite {arguments[0]}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout
