"""What is copied into a repository: the whole record, thinned curves, no weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from suite import record
from suite.publish import POINTS, STEPS, publish
from suite.record import Record
from suite.spec.cell import Cell


def test_a_published_record_is_the_record_with_thinner_curves(tmp_path: Path) -> None:
    r = Record("learn", Cell("hmm_tag", "gru", "jax"), "ok", step_s=(0.1, 0.2000001234))
    folder = tmp_path / "in" / "learn" / r.key
    record.write(r, folder)
    points = [{"step": k, "time_ms": k, "values": {"train/loss": float(k)}} for k in range(1, 1001)]
    points.insert(500, {"step": 500, "time_ms": 500, "values": {"eval/accuracy": 0.5}})
    points[-1]["values"] = {"train/loss": 1.0, "grad/global_norm": 0.5}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points[:-1]))
    last = points[-1]["values"] | {"grad/layer0.U": 0.25}
    with (folder / "metrics.jsonl").open("a") as f:
        f.write(json.dumps(points[-1] | {"values": last}) + "\n")
    (folder / "weights.safetensors").write_bytes(b"large")
    assert publish(tmp_path / "in", tmp_path / "out", "learn") == 1
    target = tmp_path / "out" / "learn" / r.key
    assert record.read(target / "result.json") == replace(r, step_s=(0.1, 0.2))
    kept = list(record.points(target))
    assert len(kept) <= POINTS
    assert kept[-1] == points[-1]
    assert points[500] not in kept  # a validation score: the record has it
    assert not (target / "weights.safetensors").exists()


def test_of_many_timed_steps_evenly_spaced_ones_are_kept(tmp_path: Path) -> None:
    r = Record("learn", Cell("hmm_tag", "gru", "jax"), "ok", step_s=tuple(float(k) for k in range(1000)))
    record.write(r, tmp_path / "in" / "learn" / r.key)
    publish(tmp_path / "in", tmp_path / "out", "learn")
    (got,) = record.read_all(tmp_path / "out")
    assert got.step_s == tuple(float(k) for k in range(0, 1000, 8))
    assert len(got.step_s) <= STEPS


def test_nothing_to_publish_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no record of plan 'learn'"):
        publish(tmp_path, tmp_path / "out", "learn")


def test_curves_may_be_left_out(tmp_path: Path) -> None:
    r = Record("sweep", Cell("hmm_tag", "gru", "jax"), "ok")
    folder = tmp_path / "in" / "sweep" / r.key
    record.write(r, folder)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "time_ms": 1, "values": {"train/loss": 1.0}}) + "\n")
    assert publish(tmp_path / "in", tmp_path / "out", "sweep", curves=False) == 1
    assert [path.name for path in (tmp_path / "out" / "sweep" / r.key).iterdir()] == ["result.json"]
