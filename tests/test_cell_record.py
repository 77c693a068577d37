"""Cells keep their keys; records come back as they were written, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from suite import record
from suite.record import Record
from suite.spec.cell import Cell
from suite.spec.contract import Bound, Optim, Sizes
from suite.spec.init import Init
from suite.spec.schedule import Schedule

CELL = Cell("copy_memory", "gru", "pytorch", options=(("symbols", 8), ("time", 100)), flow_at=(0, 10))
RECORD = Record(
    plan="quick",
    cell=CELL,
    outcome="ok",
    ran="torch.nn.GRU, eager",
    metric="accuracy",
    better="higher",
    bounds=(Bound("floor", 0.125, "guessing"), Bound("ceiling", 1.0, "perfect memory")),
    digests={"data": "ab", "params": "cd"},
    checks=({"check": "grads", "error": 1e-9, "limit": 1e-7, "ok": True},),
    scores={"test": {"accuracy": 0.5, "accuracy_se": 0.01}},
    curve=({"step": 0.0, "train_s": 0.0, "accuracy": 0.125},),
    step_s=(0.25, 0.5),
    facts={"machine": {"cores": 2}},
)

PUBLISHED = sorted((Path(__file__).parents[1] / "results/published/learn").glob("*/result.json"))[::40]

# One other value for every field of a Cell; the nested ones are changed field by field below.
OTHER: dict[str, Any] = {
    "task": "adding", "arch": "lstm", "backend": "jax", "impl": "stock", "options": (("time", 101),), "batch": 32,
    "steps": 201, "eval_every": 1, "flow_at": (1,), "seed": 1, "patience": 3, "dropout": 0.5, "smoothing": 0.1,
    "steps_per_call": 2,
    "precision": "float64", "device": "cuda", "threads": 2,
}  # fmt: skip
SIZES: dict[str, Any] = {"hidden": 129, "layers": 2, "bidirectional": True, "embed": 65, "heads": 2, "positions": 9}
OPTIM: dict[str, Any] = {
    "name": "sgd", "lr": 0.1, "clip": 0.0, "momentum": 0.9, "nesterov": True, "alpha": 0.95, "beta1": 0.8,
    "beta2": 0.99, "eps": 1e-7, "weight_decay": 0.1,
}  # fmt: skip
SCHEDULE: dict[str, Any] = {"shape": "linear", "warmup": 10, "final": 0.1}
INIT: dict[str, Any] = {"recurrent": "identity", "forget_bias": 2.0, "chrono": 100}


def test_the_key_is_stable() -> None:
    """A changed key voids everyone's finished work: raise SPEC_VERSION on purpose, or not at all."""
    assert CELL.key == "8c2d8e7ede775f89"
    assert Cell("adding", "rnn", "reference").key == "88212b3c1c14885c"


def test_every_field_changes_the_key() -> None:
    assert {*OTHER, "sizes", "optim", "init", "schedule"} == {f.name for f in fields(Cell)}
    assert set(SIZES) == {f.name for f in fields(Sizes)}
    assert set(OPTIM) == {f.name for f in fields(Optim)}
    assert set(INIT) == {f.name for f in fields(Init)}
    assert set(SCHEDULE) == {f.name for f in fields(Schedule)}
    adamw = Optim("adamw")  # the one that takes every setting
    validated, cosine = replace(CELL, eval_every=2), Schedule("cosine")  # for patience and for a final rate
    keys = [CELL.key, replace(CELL, optim=adamw).key, validated.key, replace(CELL, schedule=cosine).key]
    keys += [replace(validated, **{name: value}).key for name, value in OTHER.items()]
    keys += [replace(CELL, schedule=replace(cosine, **{name: value})).key for name, value in SCHEDULE.items()]
    keys += [replace(CELL, sizes=Sizes(**{name: value})).key for name, value in SIZES.items()]
    keys += [replace(CELL, init=Init(**{name: value})).key for name, value in INIT.items()]
    keys += [replace(CELL, optim=replace(adamw, **{name: value})).key for name, value in OPTIM.items()]
    assert len(set(keys)) == len(keys)


def test_what_is_younger_than_a_key_is_in_it_only_where_it_is_chosen() -> None:
    plain, chosen = CELL.as_json(), replace(CELL, sizes=Sizes(heads=2), init=Init(chrono=50)).as_json()
    assert not {"init", "schedule", "patience", "smoothing", "dropout", "steps_per_call", "heads", "positions"} & {
        *plain,
        *plain["sizes"],
    }
    assert chosen["sizes"] == plain["sizes"] | {"heads": 2}
    assert chosen["init"] == {"recurrent": "uniform", "forget_bias": None, "chrono": 50}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_keys_stand(path: Path) -> None:
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert Cell.from_json(stored["cell"]).key == stored["key"] == path.parent.name
    assert Cell.from_json(stored["cell"]).as_json() == stored["cell"]


@pytest.mark.parametrize("cell", [CELL, replace(CELL, init=Init(forget_bias=1.5), schedule=Schedule("cosine", 5))])
def test_a_cell_survives_json(cell: Cell) -> None:
    back = Cell.from_json(json.loads(json.dumps(cell.as_json())))
    assert back == cell
    assert back.key == cell.key


def test_a_cell_fills_in_what_json_leaves_out() -> None:
    assert Cell.from_json({"task": "adding", "arch": "rnn", "backend": "jax"}) == Cell("adding", "rnn", "jax")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="layres"):
        Cell.from_json(CELL.as_json() | {"layres": 3})


def test_unsorted_options_are_refused() -> None:
    with pytest.raises(ValueError, match="must be sorted by name"):
        replace(CELL, options=(("time", 100), ("symbols", 8)))


@pytest.mark.parametrize("name", ["batch", "steps", "steps_per_call", "threads"])
def test_a_count_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
        replace(CELL, **{name: 0})


def test_names_are_for_people() -> None:
    assert CELL.name == "pytorch/gru/copy_memory-symbols8-time100/s0"
    assert replace(CELL, impl="stock", options=()).name == "pytorch-stock/gru/copy_memory/s0"


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    path = record.write(RECORD, tmp_path / "quick" / RECORD.key)
    assert path == tmp_path / "quick" / RECORD.key / "result.json"
    assert record.read(path) == RECORD
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_a_record_is_written_over_whole(tmp_path: Path) -> None:
    record.write(RECORD, tmp_path)
    second = replace(RECORD, outcome="diverged", reason="the loss is not finite at step 3")
    assert record.read(record.write(second, tmp_path)) == second


def test_a_torn_part_file_is_no_record(tmp_path: Path) -> None:
    folder = tmp_path / "quick" / "torn"
    folder.mkdir(parents=True)
    (folder / "result.json.part").write_text('{"plan": "qui', encoding="utf-8")
    assert record.read_all(tmp_path) == []
    record.write(RECORD, folder)
    assert record.read_all(tmp_path) == [RECORD]


def test_a_value_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            record.write(replace(RECORD, last_loss=value), tmp_path)
    assert not (tmp_path / "result.json").exists()


def edited(path: Path, **change: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    return path


def test_a_wrong_key_is_refused(tmp_path: Path) -> None:
    path = edited(record.write(RECORD, tmp_path), key="0" * 16)
    with pytest.raises(ValueError, match=f"its key is {'0' * 16}, but its cell has the key {RECORD.key}"):
        record.read(path)


def test_an_edited_cell_is_refused(tmp_path: Path) -> None:
    path = edited(record.write(RECORD, tmp_path), cell=replace(CELL, seed=9).as_json())
    with pytest.raises(ValueError, match="but its cell has the key"):
        record.read(path)


@pytest.mark.parametrize("change", [{"schema": 99}, {"cell": {}}, {"bounds": [{"kind": "floor"}]}, {"surprise": 1}])
def test_another_form_is_refused_with_the_name_of_the_file(tmp_path: Path, change: dict[str, Any]) -> None:
    path = edited(record.write(RECORD, tmp_path), **change)
    with pytest.raises(ValueError, match=r"result\.json: not a record of this version"):
        record.read(path)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = record.write(RECORD, tmp_path)
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with pytest.raises(ValueError, match="not a record of this version"):
        record.read(path)


def test_one_changed_digit_is_found(tmp_path: Path) -> None:
    path = record.write(RECORD, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert text.count('"accuracy": 0.5,') == 1
    path.write_text(text.replace('"accuracy": 0.5,', '"accuracy": 0.6,'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"result\.json: its digest does not fit: the file was damaged, or edited"):
        record.read(path)


def test_records_come_in_order_of_plan_name_and_key(tmp_path: Path) -> None:
    cells = [replace(CELL, seed=s, backend=b) for b in ("tensorflow", "jax") for s in (1, 0)]
    for i, cell in enumerate(cells):
        record.write(replace(RECORD, cell=cell), tmp_path / str(i))
    names = [r.cell.name for r in record.read_all(tmp_path)]
    assert names == sorted(c.name for c in cells)


def test_a_torn_last_line_of_the_curve_is_left_out(tmp_path: Path) -> None:
    assert list(record.points(tmp_path)) == []
    points = [{"step": step, "time_ms": 12, "values": {"train/loss": 0.5}} for step in (1, 2)]
    lines = [json.dumps(point) for point in points]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, lines[0][:30]]), encoding="utf-8")
    assert list(record.points(tmp_path)) == points


def test_every_field_of_a_record_is_written(tmp_path: Path) -> None:
    data = json.loads(record.write(RECORD, tmp_path).read_text(encoding="utf-8"))
    assert set(data) == set(asdict(RECORD)) | {"key", "digest"}
