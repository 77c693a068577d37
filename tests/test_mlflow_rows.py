"""What MLflow would be told of a cell, without MLflow: names, parameters, points, the dashboard's command."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from suite.sinks import mlflow as sinks
from suite.sinks import rows
from tests.records import START_MS, cell, curve_lines, ok


def test_long_curves_are_thinned_and_live_and_replay_agree(tmp_path: Path) -> None:
    c = cell(steps=1000)
    lines = curve_lines(c)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    (whole / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    replayed = rows.Tail(c.steps).rows(whole)
    tail, fed = rows.Tail(c.steps), []
    for upto in range(0, 1001, 37):
        (parts / "metrics.jsonl").write_text("".join(lines[:upto]) + '{"step": ', encoding="utf-8")
        fed += tail.rows(parts)
    (parts / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    assert fed + tail.rows(parts) == replayed
    steps = [step for name, _, _, step in replayed if name == "train/loss"]
    assert 290 <= len(steps) <= rows.POINTS
    assert steps[-1] == 1000
    assert [s for name, _, _, s in replayed if name == "eval/accuracy"] == list(range(20, 1001, 20))


def test_norms_of_single_parameters_wait_for_the_end_of_the_cell(tmp_path: Path) -> None:
    line = {"train/loss": 1.0, "grad/global_norm": 2.0, "grad/layer0.U": 3.0}
    text = [json.dumps({"step": s, "time_ms": START_MS, "values": line}) + "\n" for s in (1, 2)]
    tail = rows.Tail(2)
    (tmp_path / "metrics.jsonl").write_text(text[0], encoding="utf-8")
    assert [row[0] for row in tail.rows(tmp_path, live=True)] == ["train/loss", "grad/global_norm"]
    assert tail.rows(tmp_path, live=True) == []
    (tmp_path / "metrics.jsonl").write_text("".join(text), encoding="utf-8")
    rest = [(row[0], row[3]) for row in tail.rows(tmp_path)]
    assert rest == [("grad/layer0.U", 1), ("train/loss", 2), ("grad/global_norm", 2), ("grad/layer0.U", 2)]
    assert tail.rows(tmp_path) == []


def test_what_is_not_finite_is_never_sent(tmp_path: Path) -> None:
    values = {"train/loss": math.nan, "grad/global_norm": math.inf, "eval/accuracy": 0.5}
    line = json.dumps({"step": 1, "time_ms": START_MS, "values": values}) + "\n"
    (tmp_path / "metrics.jsonl").write_text(line, encoding="utf-8")
    assert [row[0] for row in rows.Tail(10).rows(tmp_path)] == ["eval/accuracy"]
    r = replace(ok(cell()), last_grad_norm=math.inf, last_loss=math.nan)
    assert not {"final/grad_norm", "final/loss"} & rows.finals(r).keys()


def test_names_have_one_slash() -> None:
    assert all(name.count("/") == 1 for name in rows.finals(ok(cell())))


def test_the_command_of_the_dashboard_names_the_store(tmp_path: Path) -> None:
    command = sinks.ui_command(tmp_path)
    assert command[0] == sys.executable
    assert f"sqlite:///{tmp_path / 'mlflow.db'}" in command


def test_importing_the_sink_does_not_import_mlflow() -> None:
    code = "import sys, suite.sinks.mlflow; print({'mlflow', 'pandas', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_a_cells_params_are_complete() -> None:
    c = cell(options=(("time", 5),))
    told = rows.params(c)
    assert told["options.time"] == "5"
    assert told["optim.lr"] == "0.001"
    assert set(c.as_json()) - {"options", "sizes", "optim", "init"} <= told.keys()


def test_a_score_of_zero_is_a_score_and_what_was_not_measured_is_none() -> None:
    r = replace(ok(cell()), scores={"test": {"accuracy": 0.0}, "val": {"accuracy": 0.5}}, step_s=(), first_step_s=0.0)
    told = rows.finals(r)
    assert (told["final/accuracy"], told["final/val_accuracy"]) == (0.0, 0.5)
    assert not {"final/ms_per_step", "final/tokens_per_s", "final/first_step_s"} & told.keys()
