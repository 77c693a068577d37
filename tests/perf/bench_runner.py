"""What the runner does around the updates of a cell, on a model whose update does nothing, and what MLflow is fed.

    python -m pytest tests/perf/bench_runner.py --benchmark-json .benchmarks/runner.json

No framework comes into it. That it stays small beside an update is claimed in pairs: tests/perf/overhead.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from suite import cell as cells
from suite import checkpoint, registry, training
from suite.sinks.mlflow import Sink
from suite.spec import params
from suite.spec.cell import Cell
from suite.spec.contract import Batch, Net, Sizes, StepResult
from tests import records

ROUNDS, FEWEST = 1000, 10
FED = 20  # updates between two feeds
TINY = Cell(
    "noise",
    "gru",
    "reference",
    options=(("features", 2), ("test_size", 2), ("time", 3), ("val_size", 2)),
    sizes=Sizes(hidden=2),
    batch=2,
    precision="float64",
    steps=1,
)

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # inside MLflow


class Nothing:
    """A model whose update is nothing: what is left is the runner's."""

    def __init__(self, net: Net) -> None:
        self._result = StepResult(1.0, 1.0, dict.fromkeys(params.shapes(net), 0.5))

    def put(self, batch: Batch) -> Batch:
        return batch

    def step(self, handle: Batch, lr: float) -> None:
        return None

    def wait(self, pending: None) -> StepResult:
        return self._result


class Given:
    """A task whose batches are all one, made before."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        return self._batch


@pytest.mark.parametrize("curves", ["file", "nowhere"])
def test_update(benchmark: Any, curves: str, tmp_path: Path) -> None:
    """Schedule, clock, finite numbers, counts, and a line of the curves."""
    task = registry.task(TINY.task, **dict(TINY.options))
    net = Net(registry.arch("gru"), task.signature, TINY.sizes)
    model: Any = Nothing(net)
    given: Any = Given(task.batch("train", 0, 0, TINY.batch))
    done = checkpoint.Done()
    benchmark.group = "runner"
    with (tmp_path / "metrics.jsonl" if curves == "file" else Path(os.devnull)).open("w") as file:
        benchmark.pedantic(
            lambda: training.advance(TINY, given, net, model, done, file), rounds=ROUNDS, warmup_rounds=FEWEST
        )


def test_cell(benchmark: Any, tmp_path: Path) -> None:
    """A whole cell in a warm process: build, compare with the oracle, one tiny update, validate, test, record."""
    benchmark.group = "runner"
    ended = benchmark.pedantic(lambda: cells.run(TINY, tmp_path, "bench"), rounds=FEWEST, warmup_rounds=1)
    assert ended.outcome == "ok", ended.reason
    benchmark.extra_info |= {"cell": TINY.as_json(), "first_s": ended.first_step_s, "ran": ended.ran}


@pytest.fixture
def sink(tmp_path: Path) -> Sink:
    """A store in a file, with a sweep."""
    opened = Sink(None, tmp_path, "bench")
    opened.sweep("bench", "what MLflow costs the runner", 1)
    return opened


def test_feed(benchmark: Any, sink: Sink, tmp_path: Path) -> None:
    """What is new of a cell's curves after so many updates."""
    cell = records.cell()
    lines = iter(records.curve_lines(cell))
    sink.start(cell)
    benchmark.group = "mlflow"
    with (tmp_path / "metrics.jsonl").open("w") as file:

        def write() -> None:
            file.write("".join(next(lines) for _ in range(FED)))
            file.flush()

        benchmark.pedantic(lambda: sink.feed(cell, tmp_path), setup=write, rounds=cell.steps // FED)
    assert sink.online, sink.why_offline


def test_start_and_end(benchmark: Any, sink: Sink, tmp_path: Path) -> None:
    """A run opened, and closed with its final numbers and all of its curves, as `sync` sends it."""
    ended = records.ok(records.cell())
    folder = records.write_folder(tmp_path, ended, flow=False)

    def whole() -> None:
        sink.start(ended.cell)
        sink.end(ended, folder)

    benchmark.group = "mlflow"
    benchmark.pedantic(whole, rounds=FEWEST)
    assert sink.online, sink.why_offline
