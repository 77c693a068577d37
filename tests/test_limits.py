"""A cell that passes a limit is ended with its children, recorded with the reason, and the next one runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from suite import api, record
from suite.executors import Exit, Job
from suite.options import Size
from suite.record import Record
from suite.spec.cell import Cell
from suite.verdict import verdict
from tests.probes import PLUGIN, ROOT, plan, suite, tiny
from tests.processes import PLAN, children_of_the_probe


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Install the probe here and in every process started from here; its gate stays shut."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(PLUGIN))))
    monkeypatch.setenv("PROBE_GATE", str(tmp_path / "gate"))


def run(results: Path, *cells: Cell, **options: object) -> list[Record]:
    return api.run(plan(*cells), results, **({"tracking_uri": "none", "timeout_s": 60.0} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["child", "strays"])
def test_out_of_time_with_children(fault: str, tmp_path: Path) -> None:
    slow, quick = run(tmp_path, tiny(fault), tiny(), timeout_s=4.0)
    assert (slow.outcome, quick.outcome) == ("timeout", "ok")
    assert slow.reason == "no result in 4 s; raise --timeout or ask for fewer steps"
    assert children_of_the_probe() == []


def test_out_of_memory(tmp_path: Path) -> None:
    hog, quick = run(tmp_path, tiny("hog"), tiny(), memory_bytes=400 << 20)
    assert (hog.outcome, quick.outcome) == ("oom", "ok")
    assert "more than the limit of 400 MiB" in hog.reason
    assert hog.scores == {}
    assert not (tmp_path / "probes" / hog.key / "weights.safetensors").exists()


def test_a_budget_leaves_the_rest_as_skipped(tmp_path: Path) -> None:
    cells = tiny(), tiny(seed=1), tiny(seed=2)
    first, *rest = run(tmp_path, *cells, budget_s=0.01)
    assert first.outcome == "ok"
    assert [r.outcome for r in rest] == ["skipped", "skipped"]
    assert "0.01 s of the whole run were spent" in rest[0].reason
    assert api.exit_code([first, *rest]) == 0
    again = run(tmp_path, *cells, resume=True)
    assert [r.outcome for r in again] == ["ok"] * 3


def test_a_budget_does_not_take_a_record_away(tmp_path: Path) -> None:
    cells = tiny(), tiny(seed=1)
    before = run(tmp_path, *cells)
    run(tmp_path, *cells, budget_s=0.01)
    kept = record.read(tmp_path / "probes" / before[1].key / "result.json")
    assert kept == before[1]


@pytest.mark.parametrize(
    ("ended", "outcome", "said"),
    [
        (Exit("timeout", -15), "timeout", "no result in 3600 s"),
        (Exit("memory", -15, ("700 MiB",)), "oom", "its processes held 700 MiB, more than the limit of 1 MiB"),
        (Exit("died", -9), "oom", "killed by signal 9"),
        (Exit("died", -11, ("Fatal Python error",)), "crash", "killed by SIGSEGV; last printed: Fatal Python error"),
        (Exit("died", 1, ("a", "ValueError: no")), "crash", "exit code 1: ValueError: no"),
        (Exit("died", 1, ("MemoryError",)), "oom", "exit code 1: MemoryError"),
        (
            Exit(
                "died", 1, ("Traceback", "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: no", "For simplicity, a hint")
            ),
            "oom",
            "exit code 1: jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED",
        ),
        (Exit("died", -40, ("a",)), "crash", "killed by signal 40; last printed: a"),
        (Exit("died", 1, ()), "crash", "exit code 1: it printed nothing"),
        (Exit("lost", 1, ("the node is gone",)), "crash", "the node is gone"),
    ],
)
def test_what_an_end_means(ended: Exit, outcome: str, said: str, tmp_path: Path) -> None:
    got, reason = verdict(ended, Job(tiny(), tmp_path, "p", memory_bytes=1 << 20))
    assert got == outcome
    assert said in reason


def test_a_crash_keeps_the_last_lines(tmp_path: Path) -> None:
    (bad,) = run(tmp_path, tiny("raise"))
    assert bad.log[-1] == "ValueError: the probe was told to fail"
    assert any("recurbench_probe.py" in line for line in bad.log)
    assert len(bad.log) == 20


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 << 30), ("500MB", 500_000_000), ("1024", 1024), ("1.5 KiB", 1536)]
)
def test_sizes(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "0", "4 giraffes"])
def test_what_is_no_size_is_one_line(text: str, tmp_path: Path) -> None:
    done = suite("run", "quick", "--memory", text, cwd=tmp_path)
    assert done.returncode == 2
    assert "is no size; write a number of bytes, or as 500MB or 4GiB" in done.stderr


@pytest.mark.parametrize("option", ["--timeout", "--budget", "--checkpoint"])
def test_no_number_of_seconds(option: str, tmp_path: Path) -> None:
    done = suite("run", "quick", option, "nan", cwd=tmp_path)
    assert done.returncode == 2
    assert "is no number of seconds" in done.stderr


def test_a_budget_that_is_spent_leaves_failures_as_they_are(tmp_path: Path) -> None:
    cells = tiny(), tiny("raise")
    run(tmp_path, *cells)
    (tmp_path / "probes" / cells[0].key / "result.json").unlink()
    first, bad = run(tmp_path, *cells, resume=True, budget_s=0.01)
    assert (first.outcome, bad.outcome) == ("ok", "crash")
    assert api.exit_code([first, bad]) == 1


def test_a_full_disk_in_a_cell_is_a_crash_with_its_name(tmp_path: Path) -> None:
    full, quick = run(tmp_path, tiny("full"), tiny())
    assert (full.outcome, quick.outcome) == ("crash", "ok")
    assert "No space left on device: 'metrics.jsonl'" in full.reason


def test_results_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(PLAN.format(fault="print"))
    (tmp_path / "file").write_text("in the way")
    done = suite("run", "p.toml", "--out", "file", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("recurbench: file/probes: Not a directory; choose another --out\n")
    assert "Traceback" not in done.stderr
