"""Hostile input: every plan, record, curve, checkpoint and data file ends in a result or in one clear line."""

from __future__ import annotations

import gzip
import inspect
import io
import json
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suite import checkpoint, plan, record, registry, weights
from suite.sinks import rows, store
from suite.spec.cell import Cell
from tasks import data, pos_ud
from tasks.data import DataError
from tests.records import ok
from tests.test_checkpoint import LIKE, OWNER, saved
from tests.tiny_data import install

ROOT = Path(__file__).parents[1]
PLAN = (ROOT / "suite/plans/quick.toml").read_text(encoding="utf-8")
RECORD = record.read(record.write(ok(Cell("hmm_tag", "gru", "jax")), Path(tempfile.mkdtemp()))).cell.as_json()
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Small stand-ins for the real data."""
    with pytest.MonkeyPatch.context() as patch:
        install(tmp_path_factory.mktemp("data"), patch)
        yield


numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 1, 2**63, 10**30, 0.5])
scalars = numbers | st.text(max_size=8) | st.booleans() | st.none()
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def one_line(call: Callable[[], Any]) -> Any:
    """What it returns, or None after a ValueError of one line; any other exception is a fault."""
    try:
        return call()
    except ValueError as error:
        said = str(error)
    assert said.strip()
    assert "\n" not in said
    return None


def written(content: str | bytes, name: str) -> Path:
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with a piece cut out, doubled, replaced, or bits flipped."""
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, min(len(whole), start + 40)))
    piece = draw(st.sampled_from([b"", whole[start:end] * 2, b"\xff\x00", b"[[[[", b"9" * 30]) | st.binary(max_size=12))
    return whole[:start] + piece + whole[end:]


# -- plans -------------------------------------------------------------------------------------------------------------


def toml(value: Any) -> str:
    """A value as TOML; what TOML cannot say becomes a string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(str(value))


KEYS = st.sampled_from(
    "task arch backend impl seed lr options sizes optim init schedule batch steps steps_per_call eval_every patience "
    "smoothing dropout flow_at precision device threads".split()
)


@QUICK
@given(st.dictionaries(KEYS, anything, max_size=3))
def test_a_grid_of_anything(grid: dict[str, Any]) -> None:
    text = 'name = "x"\ntitle = "t"\ndescription = "d"\nconverged = false\n[[grid]]\n'
    base = {"task": "adding", "arch": "gru", "backend": "reference"} | grid
    path = written(text + "\n".join(f"{k} = {toml(v)}" for k, v in base.items()), "p.toml")
    found = one_line(lambda: plan.load(str(path)))
    for cell in found.cells if found else ():
        assert plan.cell(json.loads(json.dumps(cell.as_json())), "again") == cell


@QUICK
@given(damaged(PLAN.encode()))
def test_a_plan_with_a_piece_of_something_else(content: bytes) -> None:
    path = written(content, "p.toml")
    one_line(lambda: plan.load(str(path)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("name = '../../etc'", "name is '../../etc'"),
        ("name = '/tmp/x'", "name is '/tmp/x'"),
        ("name = 'a/b'", "name is 'a/b'"),
        ("name = '.'", "name is '.'"),
        ("x = " + "[" * 3000, "not TOML"),
        ("x = " + "9" * 5000, "not TOML"),
    ],
)
def test_a_plan_that_would_leave_its_folder_or_the_parser(change: str, said: str) -> None:
    path = written(change + "\ntitle='t'\ndescription='d'\nconverged=true\n[[grid]]\ntask='adding'", "p.toml")
    with pytest.raises(ValueError, match=r"p\.toml: ") as caught:
        plan.load(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_that_never_ends_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MOST_CELLS", 10)
    many = "seed = [1, 2, 3, 4]\nlr = [0.1, 0.2, 0.3]\n"
    text = 'name = "x"\ntitle = "t"\ndescription = "d"\nconverged = false\n[[grid]]\ntask = "adding"\narch = "gru"\n'
    with pytest.raises(ValueError, match="multiply out to 12 cells; 10 is the limit"):
        plan.load(str(written(text + 'backend = "jax"\n' + many, "p.toml")))


@QUICK
@given(st.dictionaries(st.sampled_from(sorted(RECORD)), anything, max_size=2))
def test_a_cell_of_anything(change: dict[str, Any]) -> None:
    one_line(lambda: plan.cell(RECORD | change, "spec.json"))


@QUICK
@given(st.sampled_from(sorted(registry.tasks())), st.data())
def test_a_task_with_options_of_anything(name: str, source: st.DataObject) -> None:
    """No option makes a task raise anything but one line. Large sizes are left out: they are work, not nonsense."""
    known = inspect.getclosurevars(registry.task_maker(name)).nonlocals["known"]
    values = st.sampled_from([0, -1, 1, 2, 7, 0.5, "", "x", True])
    options = {option: source.draw(values) for option in known if source.draw(st.booleans())}
    one_line(lambda: registry.task(name, **options))


# -- records, curves, checkpoints --------------------------------------------------------------------------------------

WHOLE = record.write(ok(Cell("hmm_tag", "gru", "jax")), Path(tempfile.mkdtemp())).read_bytes()


@QUICK
@given(damaged(WHOLE))
def test_a_record_with_a_piece_of_something_else(content: bytes) -> None:
    path = written(content, "result.json")
    found = one_line(lambda: record.read(path))
    assert (found is not None) == (content == WHOLE)


@QUICK
@given(st.dictionaries(st.sampled_from([*json.loads(WHOLE), "surprise"]), anything, min_size=1, max_size=2))
def test_a_record_of_anything(change: dict[str, Any]) -> None:
    path = written(json.dumps(json.loads(WHOLE) | change), "result.json")
    assert one_line(lambda: record.read(path)) is None


LINE = b'{"step": 1, "time_ms": 2, "values": {"train/loss": 0.5}}\n'


@QUICK
@given(damaged(LINE * 3))
def test_curves_with_a_piece_of_something_else(content: bytes) -> None:
    folder = written(content, "metrics.jsonl").parent
    for point in record.points(folder):
        assert set(point) >= {"step", "time_ms", "values"}
    rows.Tail(10).rows(folder)


@QUICK
@given(st.lists(anything, max_size=3), anything, anything, anything)
def test_curves_of_anything(points: list[Any], step: Any, time_ms: Any, values: Any) -> None:
    lines = [json.dumps(p) for p in (*points, {"step": step, "time_ms": time_ms, "values": values})]
    if (found := record.point(lines[-1].encode())) is not None:
        assert isinstance(found["step"], int)
        assert isinstance(found["time_ms"], int)
        assert all(isinstance(value, int | float) for value in found["values"].values())
    folder = written("\n".join(lines) + "\n", "metrics.jsonl").parent
    list(record.points(folder))
    rows.Tail(10).rows(folder)


SAVED = saved(Path(tempfile.mkdtemp())).read_bytes()


@QUICK
@given(damaged(SAVED))
def test_a_checkpoint_with_a_piece_of_something_else(content: bytes) -> None:
    path = written(content, checkpoint.NAME)
    path.with_name("metrics.jsonl").write_bytes(b"12345")
    found = one_line(lambda: checkpoint.load(path, OWNER, LIKE))
    assert (found is not None) == (content == SAVED)
    one_line(lambda: weights.load(path))


def archive(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


FLOW = archive(**{"1/layer0/h": np.arange(5.0)})


@QUICK
@given(damaged(FLOW))
def test_a_gradient_flow_with_a_piece_of_something_else(content: bytes) -> None:
    folder = written(content, "flow.npz").parent
    one_line(lambda: record.flow(folder))


def test_a_gradient_flow_that_holds_code_or_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = archive(**{"1/h": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ValueError, match=r"flow\.npz: not a gradient flow \(.*allow_pickle"):
        record.flow(written(objects, "flow.npz").parent)
    monkeypatch.setattr(record, "MOST_FLOW", 100)
    with pytest.raises(ValueError, match="the limit is 100"):
        record.flow(written(FLOW, "flow.npz").parent)


# -- data --------------------------------------------------------------------------------------------------------------

CONLLU = (
    b"# text = a dog\n1\ta\ta\tDET\t_\t_\t2\tdet\t_\t_\n1-2\tad\t_\t_\t_\t_\t_\t_\t_\t_\n"
    b"2\tdog\tdog\tNOUN\t_\t_\t0\t_\t_\t_\n\n"
)


@QUICK
@given(damaged(CONLLU * 2))
def test_a_treebank_with_a_piece_of_something_else(content: bytes) -> None:
    one_line(lambda: pos_ud.parse(content.decode("utf-8", "replace")))


def test_a_packed_file_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MOST_BYTES", 1000)
    packed = gzip.compress(bytes(20 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="unpacks to more than 1000 bytes"):
            data._unpacked(packed, "x.gz")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20  # not looked at when it is all there
    finally:
        tracemalloc.stop()
    (tmp_path / "ud_english_ewt").mkdir()
    bomb = tmp_path / "ud_english_ewt" / "en_ewt-ud-dev.conllu.gz"
    bomb.write_bytes(gzip.compress(b"0" * 100_000))
    monkeypatch.setenv("RECURBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"conllu\.gz unpacks to more than 1000 bytes; copy it again"):
        data.read("ud_english_ewt", "en_ewt-ud-dev.conllu")
    bomb.with_suffix("").write_bytes(b"0" * 1001)
    with pytest.raises(DataError, match=r"has 1001 bytes, no pinned file more than 1000"):
        data.read("ud_english_ewt", "en_ewt-ud-dev.conllu")


@QUICK
@given(damaged(gzip.compress(CONLLU)))
def test_a_packed_file_with_a_piece_of_something_else(content: bytes) -> None:
    one_line(lambda: data._unpacked(content, "x.gz"))


# -- the dashboard ----------------------------------------------------------------------------------------------------


def test_the_dashboard_listens_on_the_loopback_alone() -> None:
    command = store.ui_command(Path("results"))
    assert command[command.index("--host") + 1] == "127.0.0.1"
