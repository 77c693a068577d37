"""Snapshots as files: what is written is read, bit for bit, and what is not a snapshot is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from suite import weights
from suite.spec.contract import Snapshot
from suite.spec.random import Stream

NAMES = {"emb/E": (3, 2), "layer0/U": (2, 6), "head/d": (4,)}


def snapshot(step: int, slots: tuple[str, ...]) -> Snapshot:
    def draw(group: str) -> dict[str, np.ndarray]:
        return {name: Stream(f"{group}/{name}").normal(shape) for name, shape in NAMES.items()}

    return Snapshot(step, draw("params"), {slot: draw(slot) for slot in slots})


@pytest.mark.parametrize("slots", [(), ("v",), ("m", "v")])
def test_round_trip(slots: tuple[str, ...], tmp_path: Path) -> None:
    want = snapshot(20, slots)
    weights.save(tmp_path / "w", want)
    got = weights.load(tmp_path / "w")
    assert got.step == 20
    assert set(got.slots) == set(slots)
    for group, values in {"params": want.params, **want.slots}.items():
        read = got.params if group == "params" else got.slots[group]
        assert set(read) == set(values)
        for name, value in values.items():
            assert read[name].dtype == np.float64
            assert read[name].tobytes() == value.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["w"]  # no half-written file beside it


def test_a_transposed_view_is_written_as_it_reads(tmp_path: Path) -> None:
    view = np.arange(6.0).reshape(2, 3).T
    weights.save(tmp_path / "w", Snapshot(0, {"U": view}))
    assert weights.load(tmp_path / "w").params["U"].tolist() == view.tolist()


def test_what_is_not_a_snapshot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="w: not a snapshot"):
        weights.load(path)
    save_file({"layer0/U": np.zeros(2)}, path, metadata={"step": "1"})
    with pytest.raises(ValueError, match=r"not a snapshot \('params'\)"):
        weights.load(path)
    save_file({"params/U": np.zeros(2)}, path)
    with pytest.raises(ValueError, match="not a snapshot"):
        weights.load(path)
