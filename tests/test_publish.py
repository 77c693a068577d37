"""What is copied into a repository: the whole record, thinned curves, no weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suite import record
from suite.publish import POINTS, publish
from suite.record import Record
from suite.spec.cell import Cell


def test_a_published_record_is_the_record_with_thinner_curves(tmp_path: Path) -> None:
    r = Record("learn", Cell("hmm_tag", "gru", "jax"), "ok", step_s=(0.1, 0.2))
    folder = tmp_path / "in" / "learn" / r.key
    record.write(r, folder)
    points = [{"step": k, "time_ms": k, "values": {"train/loss": float(k)}} for k in range(1, 1001)]
    points.insert(500, {"step": 500, "time_ms": 500, "values": {"eval/accuracy": 0.5}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
    (folder / "weights.safetensors").write_bytes(b"large")
    assert publish(tmp_path / "in", tmp_path / "out", "learn") == 1
    target = tmp_path / "out" / "learn" / r.key
    assert record.read(target / "result.json") == r
    kept = list(record.points(target))
    assert len(kept) <= POINTS + 1
    assert kept[-1] == points[-1]
    assert points[500] in kept
    assert not (target / "weights.safetensors").exists()


def test_nothing_to_publish_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no record of plan 'learn'"):
        publish(tmp_path, tmp_path / "out", "learn")
