"""Checkpoints: what is written is read, bit for bit; what is damaged or another's is refused, and the cell redone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError

from suite import cell, checkpoint, record, training, weights
from suite.checkpoint import Done
from suite.spec.contract import Optim, Snapshot
from suite.spec.random import Stream
from tests.probes import PLUGIN, tiny

OWNER = {"cell": "0123456789abcdef", "machine": "here"}


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))


def snapshot(name: str, step: int) -> Snapshot:
    values = {"layer0/U": Stream(f"{name}/U").normal((2, 6)), "head/d": Stream(f"{name}/d").normal((4,))}
    return Snapshot(step, values, {"m": values, "v": {k: v * v for k, v in values.items()}})


DONE = Done(
    updates=7, best_update=4, loss=0.1 + 0.2, grad_norm=1 / 3, tokens=12, flops=10**15, first_step_s=0.5,
    step_s=[1e-3, 2e-3], curve=[{"step": 4, "accuracy": 0.25}], scores={"val": {"accuracy": 0.25}}, curves_bytes=5,
    resumed_at=[3], best=snapshot("best", 4), flow={"0/layer0/h": np.arange(3.0) / 7},
)  # fmt: skip


LIKE = snapshot("now", 0).params


def saved(folder: Path) -> Path:
    (folder / "metrics.jsonl").write_bytes(b"12345more")
    path = folder / checkpoint.NAME
    checkpoint.save(path, OWNER, snapshot("now", 7), DONE)
    return path


def test_round_trip(tmp_path: Path) -> None:
    now, done = checkpoint.load(saved(tmp_path), OWNER, LIKE)
    for got, want in ((now, snapshot("now", 7)), (done.best, snapshot("best", 4))):
        assert got is not None
        assert got.step == want.step
        mine, own = weights.tensors(got), weights.tensors(want)
        assert {k: v.tobytes() for k, v in mine.items()} == {k: v.tobytes() for k, v in own.items()}
    assert {k: v.tobytes() for k, v in done.flow.items()} == {k: v.tobytes() for k, v in DONE.flow.items()}
    assert replace(done, best=None, flow={}) == replace(DONE, best=None, flow={})
    assert sorted(path.name for path in tmp_path.iterdir()) == [checkpoint.NAME, "metrics.jsonl"]


@pytest.mark.parametrize("names", [("layer0/U", "head/d"), ("head/d", "layer0/U")])
def test_parameters_come_in_the_order_asked_for(names: tuple[str, ...], tmp_path: Path) -> None:
    now, done = checkpoint.load(saved(tmp_path), OWNER, {name: LIKE[name] for name in names})
    assert done.best is not None
    for snap in (now, done.best):
        assert [tuple(values) for values in (snap.params, *snap.slots.values())] == [names] * 3


def flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", ["head", "name", "tensor", "end"])
def test_one_bit_is_enough(place: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()
    flipped(path, {"head": 3, "name": content.index(b"updates"), "tensor": len(content) - 100, "end": -1}[place])
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: not a (whole )?checkpoint"):
        checkpoint.load(path, OWNER, LIKE)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for size in (0, 1, 7, 100, path.stat().st_size - 1):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ValueError, match="not a checkpoint"):
            checkpoint.load(path, OWNER, LIKE)


def test_anothers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="written under other conditions: machine here instead of there"):
        checkpoint.load(saved(tmp_path), OWNER | {"machine": "there"}, LIKE)


def test_curves_that_are_shorter_than_it_says(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "metrics.jsonl").write_bytes(b"1234")
    with pytest.raises(ValueError, match="the curves beside it are shorter"):
        checkpoint.load(path, OWNER, LIKE)


class Cut(Exception):
    """In place of a kill, within this process."""


def cut_off(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From now on training ends with `Cut` when so many updates are done and the next is asked for."""
    advance = training.advance

    def cut(c: Any, task: Any, net: Any, model: Any, done: Done, curves: Any) -> None:
        if done.updates == after:
            curves.write('{"step": 99, "time_ms": 0, "val')  # a torn line of an update that is lost
            curves.flush()
            raise Cut
        advance(c, task, net, model, done, curves)

    monkeypatch.setattr(training, "advance", cut)


def without_times(r: record.Record) -> dict[str, Any]:
    timed = ("step_s", "first_step_s", "build_s", "peak_rss_bytes", "started", "finished", "facts", "resumed_at")
    curve = [{k: v for k, v in point.items() if k != "train_s"} for point in r.curve]
    return {k: getattr(r, k) for k in r.__dataclass_fields__ if k not in timed} | {"curve": curve}


def values(folder: Path) -> list[Any]:
    out = []
    for point in record.points(folder):
        point["values"].pop("train/ms_per_step", None)
        out.append((point["step"], point["values"]))
    return out


CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "flow": {"flow_at": (0, 2, 6)},
    "patience": {"patience": 6, "eval_every": 1},
    "sgd": {"optim": Optim("sgd", lr=0.1, momentum=0.9)},
}


@pytest.mark.parametrize("after", [1, 3, 5])
@pytest.mark.parametrize("change", CHANGES)
def test_a_cell_that_is_cut_off_goes_on_bit_for_bit(
    change: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = tiny(steps=6, **CHANGES[change])
    whole = cell.run(c, tmp_path / "whole", "p")
    with monkeypatch.context() as patch:
        cut_off(patch, after)
        with pytest.raises(Cut):
            cell.run(c, tmp_path / "cut", "p", checkpoint_s=0.0)
    assert not (tmp_path / "cut" / "result.json").exists()
    notes: list[str] = []
    resumed = cell.run(c, tmp_path / "cut", "p", resume=True, note=notes.append)
    assert resumed.resumed_at == (after,)
    assert notes == [f"{c.name} goes on after update {after}"]
    assert without_times(resumed) == without_times(whole)
    assert len(resumed.step_s) == len(whole.step_s)
    assert values(tmp_path / "cut") == values(tmp_path / "whole")
    for name in ("weights.safetensors", "flow.npz"):
        files = [tmp_path / place / name for place in ("cut", "whole") if (tmp_path / place / name).exists()]
        if name == "flow.npz" and files:
            a, b = (dict(np.load(path)) for path in files)
            assert {k: v.tobytes() for k, v in a.items()} == {k: v.tobytes() for k, v in b.items()}
        elif files:
            assert files[0].read_bytes() == files[1].read_bytes()
    assert not (tmp_path / "cut" / checkpoint.NAME).exists()


def test_without_resume_a_cell_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        cut_off(patch, 3)
        with pytest.raises(Cut):
            cell.run(tiny(), tmp_path, "p", checkpoint_s=0.0)
    again = cell.run(tiny(), tmp_path, "p")
    assert again.resumed_at == ()
    assert [step for step, _ in values(tmp_path)] == [1, 2, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: flipped(path, -1), "its digest does not fit"),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "not a checkpoint"),
        (lambda path: path.with_name("metrics.jsonl").write_bytes(b""), "the curves beside it are shorter"),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_cell_redone(
    damage: Callable[[Path], object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cell.run(tiny(), tmp_path / "whole", "p")
    with monkeypatch.context() as patch:
        cut_off(patch, 3)
        with pytest.raises(Cut):
            cell.run(tiny(), tmp_path / "cut", "p", checkpoint_s=0.0)
    damage(tmp_path / "cut" / checkpoint.NAME)
    notes: list[str] = []
    redone = cell.run(tiny(), tmp_path / "cut", "p", resume=True, note=notes.append)
    assert len(notes) == 1
    assert said in notes[0]
    assert "begins anew, and the file is now checkpoint.safetensors.damaged" in notes[0]
    assert (tmp_path / "cut" / "checkpoint.safetensors.damaged").exists()
    assert redone.resumed_at == ()
    assert redone.digests == whole.digests
    assert values(tmp_path / "cut") == values(tmp_path / "whole")


def test_a_full_disk_costs_the_checkpoint_and_not_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cell.run(tiny(), tmp_path / "whole", "p")
    save = weights.save_file

    def full(tensors: Any, path: Path, metadata: dict[str, str]) -> None:
        if "state" in metadata:
            raise SafetensorError("Error while serializing: I/O error: File too large (os error 27)")
        save(tensors, path, metadata)

    monkeypatch.setattr(weights, "save_file", full)
    notes: list[str] = []
    got = cell.run(tiny(), tmp_path / "full", "p", checkpoint_s=0.0, note=notes.append)
    assert (got.outcome, got.digests) == ("ok", whole.digests)
    assert len(notes) == 1
    assert "checkpoint.safetensors: no checkpoint (Error while serializing: I/O error: File too large" in notes[0]


def test_a_checkpoint_of_another_kind_of_run_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun alone and resumed among others, its steps would be timed half and half."""
    with monkeypatch.context() as patch:
        cut_off(patch, 3)
        with pytest.raises(Cut):
            cell.run(tiny(), tmp_path, "p", checkpoint_s=0.0)
    notes: list[str] = []
    packed = cell.run(tiny(), tmp_path, "p", resume=True, packed=True, note=notes.append)
    assert "packed False instead of True" in notes[0]
    assert (packed.resumed_at, packed.step_s, packed.build_s) == ((), (), 0.0)
    assert packed.facts["packed"] is True


def test_one_with_a_field_too_many_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    metadata, tensors = weights.read(path, "a checkpoint")
    state = json.loads(metadata["state"])
    state["done"]["surprise"] = 1
    text = json.dumps(state)
    weights.write(path, tensors, {"state": text, "sha256": checkpoint._sha256(text, tensors)})
    with pytest.raises(ValueError, match=r"not a checkpoint of this cell as it is now \(.*surprise"):
        checkpoint.load(path, OWNER, LIKE)


def test_its_state_is_plain_json(tmp_path: Path) -> None:
    metadata, _ = weights.read(saved(tmp_path), "a checkpoint")
    assert json.loads(metadata["state"])["done"]["updates"] == 7
