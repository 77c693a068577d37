"""A store in a file, and cells that are sent to it, for tests of the MLflow sink; the fixtures are in conftest.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.sinks import runs
from suite.sinks.mlflow import Sink
from tests.records import curve_lines, write_folder

MACHINE = "machine0"


def here(record: Any) -> Any:
    """The record as this machine would have written it."""
    return replace(record, facts={**record.facts, "machine_id": MACHINE})


def cells(sink: Sink) -> list[Any]:
    return runs.search(sink.client, sink.experiment, {"suite.role": "cell"})


def history(sink: Sink, run: Any, name: str) -> list[tuple[int, int, float]]:
    return [(p.step, p.timestamp, p.value) for p in sink.client.get_metric_history(run.info.run_id, name)]


def live(sink: Sink, results: Path, record: Any) -> None:
    """A cell as the runner drives it: started, fed while half its curve is written, ended."""
    folder = results / record.plan / record.key
    folder.mkdir(parents=True)
    sink.start(record.cell)
    (folder / "metrics.jsonl").write_text("".join(curve_lines(record.cell, 90)), encoding="utf-8")
    sink.feed(record.cell, folder)
    write_folder(results, record)
    sink.end(record, folder)
