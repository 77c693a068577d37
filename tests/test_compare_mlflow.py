"""A comparison in MLflow: one run of the role compare, or one line about a store that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.sinks import compared, runs
from suite.sinks.mlflow import Sink
from tests.comparing import CELLS, World

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # inside MLflow


def test_it_is_one_run_with_its_role(tmp_path: Path) -> None:
    found = World().compare()
    assert compared.send(found, None, tmp_path) == ""
    sink = Sink(None, tmp_path, "compare")
    (run,) = runs.search(sink.client, sink.experiment, {"suite.role": "compare"})
    assert run.info.status == "FINISHED"
    assert (run.data.tags["base"], run.data.tags["exit_code"]) == (found.base.revision, "0")
    name = CELLS[0].name.replace("/", ".")
    assert run.data.metrics[f"ratio/{name}"] == pytest.approx(found.rows[0].looks[-1].ratio.value)
    assert "| cell | verdict |" in run.data.tags["mlflow.note.content"]
    assert {f.path for f in sink.client.list_artifacts(run.info.run_id)} == {"compare.json", "compare.md"}
    assert runs.search(sink.client, sink.experiment, {"suite.role": "cell"}) == []


def test_a_store_that_is_down_is_said_in_one_line(tmp_path: Path) -> None:
    why = compared.send(World().compare(), "http://127.0.0.1:9", tmp_path)
    assert why.startswith("http://127.0.0.1:9: ")
    assert "\n" not in why
