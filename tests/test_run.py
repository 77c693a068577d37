"""Plans in real worker processes: every way a cell can end, resuming, and damaged records."""

from __future__ import annotations

import io
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from suite import api, checkpoint, listing, record
from suite.executors import process
from suite.progress import Progress
from suite.record import Record
from suite.spec.cell import Cell
from tests.probes import DIVERGING, PLUGIN, ROOT, plan, suite, tiny


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the probe here and in every process started from here."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(PLUGIN))))


def run(results: Path, *cells: Cell, **options: object) -> list[Record]:
    return api.run(plan(*cells), results, **({"tracking_uri": "none", "timeout_s": 60.0} | options))  # type: ignore[arg-type]


def test_every_end_is_recorded_and_the_next_cell_runs(tmp_path: Path) -> None:
    cells = {
        "raise": tiny("raise"),
        "unsupported": tiny(impl="stock"),
        "kill": tiny("kill"),
        "diverged": DIVERGING,
        "segv": tiny("segv"),
        "memory": tiny("memory"),
        "import": tiny(backend="broken"),
        "print": tiny("print"),
        "ok": tiny(),
    }
    got = dict(zip(cells, run(tmp_path, *cells.values()), strict=True))
    assert {name: r.outcome for name, r in got.items()} == {
        "raise": "crash",
        "unsupported": "unsupported",
        "kill": "oom",
        "diverged": "diverged",
        "segv": "crash",
        "memory": "oom",
        "import": "crash",
        "print": "ok",
        "ok": "ok",
    }
    assert got["raise"].reason == "exit code 1: ValueError: the probe was told to fail"
    assert got["unsupported"].reason == "NumPy ships no recurrent layer"
    assert "loss is inf at update 2" in got["diverged"].reason
    assert "signal 9" in got["kill"].reason
    assert "SIGSEGV" in got["segv"].reason
    assert got["memory"].reason.startswith("exit code 1: MemoryError")
    assert got["import"].reason.endswith("ImportError: libframework.so.1: cannot open shared object file")
    for name, r in got.items():
        assert r == record.read(tmp_path / "probes" / r.key / "result.json"), name
        assert (r.scores.get("test", {}) != {}) == (r.outcome == "ok"), name
        assert r.facts["converged"] is False, name
    assert api.exit_code(got.values()) == 1
    assert api.exit_code([got["ok"], got["unsupported"]]) == 0
    log = (tmp_path / "probes" / got["print"].key / "worker.log").read_text()
    assert "noise from below" in log
    assert "a warning" in log


def test_warm_and_fresh_processes_give_the_same_bits(tmp_path: Path) -> None:
    cells = tiny(), tiny(seed=1)
    warm, fresh = run(tmp_path / "warm", *cells), run(tmp_path / "fresh", *cells, isolate=True)
    assert [r.fresh_process for r in warm] == [True, False]
    assert [r.fresh_process for r in fresh] == [True, True]
    for a, b in zip(warm, fresh, strict=True):
        assert (a.digests, a.scores, a.last_loss) == (b.digests, b.scores, b.last_loss)


def test_a_worker_that_has_compiled_too_much_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max_map_count").write_text("10")
    monkeypatch.setattr(process, "MOST_MAPS", tmp_path / "max_map_count")
    assert [r.fresh_process for r in run(tmp_path / "results", tiny(), tiny(seed=1))] == [True, True]


def test_a_record_says_how_its_process_keeps_memory(tmp_path: Path) -> None:
    (done,) = run(tmp_path, tiny())
    assert "glibc.malloc.hugetlb=1" in done.facts["environment"]["GLIBC_TUNABLES"].split(":")


def test_a_cell_out_of_time_is_ended_and_the_next_one_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_GATE", str(tmp_path / "gate"))
    slow, quick = run(tmp_path, tiny("wait"), tiny(), timeout_s=5.0)
    assert (slow.outcome, quick.outcome) == ("timeout", "ok")
    assert "raise --timeout" in slow.reason
    points = list(record.points(tmp_path / "probes" / slow.key))
    assert [p["step"] for p in points if "train/loss" in p["values"]] == [1, 2]  # what it did is kept


def test_resume_keeps_what_is_there_and_only_resume_does(tmp_path: Path) -> None:
    first, bad = run(tmp_path, tiny(), tiny("raise"))
    path = tmp_path / "probes" / first.key / "result.json"
    marked = replace(first, ran="marked")
    record.write(marked, path.parent)
    record.write(replace(bad, ran="marked"), tmp_path / "probes" / bad.key)
    kept, still_bad, new = run(tmp_path, tiny(), tiny("raise"), tiny(arch="gru"), resume=True)
    assert kept == marked
    assert (still_bad.outcome, still_bad.reason, still_bad.ran) == (bad.outcome, bad.reason, "")  # it ran again
    assert new.outcome == "ok"
    assert api.exit_code([kept, still_bad, new]) == 1
    (again,) = run(tmp_path, tiny())
    assert again.ran != "marked"


def test_a_damaged_record_is_set_aside_and_its_cell_redone(tmp_path: Path) -> None:
    cells = tiny(), tiny(seed=1), tiny(seed=2)
    first = run(tmp_path, *cells)
    paths = [tmp_path / "probes" / r.key / "result.json" for r in first]
    content = paths[0].read_text(encoding="utf-8")
    paths[0].write_text(content.replace('"batch": 3', '"batch": 4'), encoding="utf-8")
    paths[1].write_text(content[: len(content) // 2], encoding="utf-8")
    kept = paths[2].read_bytes()
    said = io.StringIO()
    again = run(tmp_path, *cells, resume=True, progress=Progress(said))
    assert said.getvalue().count("the cell runs again, and the file is now result.json.damaged") == 2
    assert [r.digests for r in again] == [r.digests for r in first]
    assert paths[2].read_bytes() == kept
    assert sorted(p.name for p in paths[0].parent.glob("result*")) == ["result.json", "result.json.damaged"]


def test_the_record_of_another_cell_is_no_result(tmp_path: Path) -> None:
    first, second = run(tmp_path, tiny(), tiny(seed=1))
    path = tmp_path / "probes" / second.key / "result.json"
    path.write_bytes((tmp_path / "probes" / first.key / "result.json").read_bytes())
    said = io.StringIO()
    again = run(tmp_path, tiny(), tiny(seed=1), resume=True, progress=Progress(said))
    assert f"it is the record of {first.cell.name}, {first.key}" in said.getvalue()
    assert [r.digests for r in again] == [first.digests, second.digests]


def test_a_torn_line_of_a_worker_is_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed while it wrote: found out at once, and not when the time is over."""
    fake = tmp_path / "fake"
    fake.write_text("""#!/bin/sh
echo '{"event": "ready"}'
read line
read line
printf '{"event": "do'
exit 3
""")
    fake.chmod(0o755)
    monkeypatch.setattr(process.sys, "executable", str(fake))
    (torn,) = run(tmp_path / "results", tiny(), timeout_s=50.0)
    assert (torn.outcome, torn.reason) == ("crash", "exit code 3: it printed nothing")


def test_a_dry_run_says_what_there_is_of_each_cell(tmp_path: Path) -> None:
    done, cut, new = run(tmp_path, tiny(), tiny(seed=1), tiny(seed=2))
    (tmp_path / "probes" / cut.key / "result.json").rename(tmp_path / "probes" / cut.key / checkpoint.NAME)
    (tmp_path / "probes" / new.key / "result.json").write_text("{")
    lines = list(listing.cells(plan(tiny(), tiny(seed=1), tiny(seed=2), tiny(seed=3)), tmp_path))
    assert [line.split("  ")[1].strip() for line in lines[:-1]] == ["ok", "cut off", "damaged", "not run"]
    assert lines[0].startswith(done.key)
    assert lines[-1] == "4 cells of plan probes: 1 ok, 1 cut off, 1 damaged, 1 not run"


def test_an_option_the_task_refuses_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="probe: fault is 'typo'"):
        run(tmp_path, tiny(), tiny("typo"))
    assert list(tmp_path.iterdir()) == []


def test_one_cell_from_a_file_and_again_from_its_record(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(tiny().as_json()))
    done = suite("cell", "spec.json", "--out", "one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = suite("cell", "one/result.json", "--out", "two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = (record.read(tmp_path / name / "result.json") for name in ("one", "two"))
    assert one.digests == two.digests
    (tmp_path / "bad.json").write_text(json.dumps(tiny("raise").as_json()))
    done = suite("cell", "bad.json", "--out", "three", cwd=tmp_path)
    assert done.returncode == 1
    assert "ValueError: the probe was told to fail" in done.stderr


def test_a_worker_serves_one_kind_of_cell(tmp_path: Path) -> None:
    lines = [json.dumps({"warm": tiny(threads=n).as_json()}) for n in (1, 2)]
    (tmp_path / "specs").write_text("\n".join(lines))
    command = ["sh", "-c", f"{os.sys.executable} -m suite worker < specs"]  # type: ignore[attr-defined]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["ready"]
    assert done.returncode == 1
    assert "start another one" in done.stderr
