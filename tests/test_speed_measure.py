"""Measuring a group: what is timed, how often, beside whom; and that nothing is written which cannot be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from suite import cli
from suite.perf import plausible, speed
from suite.perf.driver import Block, ProbeFailed, ProbeRefused
from suite.report import speed_page
from suite.spec.cell import Cell

PUBLISHED = Path(__file__).parents[1] / "results" / "published" / "speed"
SECONDS = {"gemm": 1e-3, "scan": 8e-3, "fused": 2e-3, "stock": 4e-3}  # a call, by subject or implementation


class Planted:
    """A probe whose calls take what `SECONDS` says; ``asked`` holds every question to any of them, in order."""

    asked: ClassVar[list[tuple[str, int]]]

    def __init__(self, cell: Cell, what: str, check: bool = False, of: str = "") -> None:
        self.name = what if what == "gemm" else cell.impl
        self.told: dict[str, Any] = {}
        self.asked.append((f"start {self.name}{f' of {of}' if of else ''}", int(check)))

    def __enter__(self) -> Planted:
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.append((f"end {self.name}", 0))

    def ready(self) -> None:
        if self.name == "stock":
            raise ProbeRefused("there is no such layer")
        self.asked.append((f"warm {self.name}", 0))
        about = {
            "thread_pools": [{"internal_api": "openmp", "num_threads": 2}],
            "environment": {"OMP_NUM_THREADS": "2"} | ({"PJRT_NPROC": "2"} if self.name == "fused" else {}),
        }
        self.told = {"ran": self.name, "parameters": 7, "losses": [2.3], "facts": about}
        self.told |= dict.fromkeys(("import_s", "build_s", "first_s"), 1.0)
        self.told["versions"] = {"jax": "0.10", "xla_cpu_threads": "2"}

    def run(self, count: int) -> Block:
        self.asked.append((self.name, count))
        seconds = count * (SECONDS[self.name],)
        return Block(seconds, sum(seconds), 0, 0, sum(seconds))


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> type[Planted]:
    class Own(Planted):
        asked: ClassVar[list[tuple[str, int]]] = []

    monkeypatch.setattr(speed, "Probe", Own)
    monkeypatch.setattr(speed.machine, "busy_s", lambda: 0.0)
    monkeypatch.setattr(speed.registry, "installed", lambda module: True)
    return Own


def measure(out: Path, subject: str = "step") -> Path:
    group = speed.group("small", "gru", subject, ["jax"], ["scan", "fused"], ["flax"], threads=2)
    return speed.measure(group, out, lambda line: None, sets=2, rounds=2)


def test_candidates_run_in_turn_there_and_back_and_as_often_as_each_other(
    planted: type[Planted], tmp_path: Path
) -> None:
    data = json.loads(measure(tmp_path).read_text())
    assert data["unsupported"] == {"flax stock": "there is no such layer"}
    first = planted.asked[: planted.asked.index(("end fused", 0))]
    began = [name for name, _ in first if name.startswith(("start", "warm"))]
    assert began[:2] == ["start gemm of step", "warm gemm"]
    assert began[2:] == ["start scan", "warm scan", "start fused", "warm fused", "start stock"]
    assert {name: check for name, check in first if name.startswith("start")} == {
        "start gemm of step": 0,
        **dict.fromkeys(("start scan", "start fused", "start stock"), 1),  # only the first set is examined
    }
    assert [check for name, check in planted.asked[len(first) :] if name == "start scan"] == [0]
    runs = [(name, count) for name, count in first if name in SECONDS and count != speed.FEWEST]
    there = ["gemm", "gemm", "scan", "scan", "fused", "fused"]  # each once untimed
    assert [name for name, _ in runs] == there + there[::-1]
    assert {count for _, count in runs} == {30}, "0.06 s of the candidate in the middle, which takes 2 ms"
    assert {s["calls"] for c in data["candidates"].values() for s in c["sets"]} == {30}


def test_calls_of_several_updates_are_compared_with_as_many_in_a_row() -> None:
    """One update alone may be fast by luck, of which a call of four would have a fourth."""
    assert speed._shared([1.0, 3.0, 2.0, 2.0, 4.0, 4.0, 4.0, 8.0], 4) == [2.0, 5.0]
    assert speed._shared([1.0, 3.0], 1) == [1.0, 3.0]


def test_every_candidate_makes_whole_calls(
    planted: type[Planted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slowest makes eight updates in a call: a block is made of such."""
    ready = Planted.ready

    def several(self: Planted) -> None:
        ready(self)
        self.told["updates_per_call"] = 8 if self.name == "scan" else 1

    monkeypatch.setattr(Planted, "ready", several)
    data = json.loads(measure(tmp_path).read_text())
    assert {s["calls"] for c in data["candidates"].values() for s in c["sets"]} == {32}, "30 are no eights"


def test_threads_and_variables_of_each_process_are_kept(planted: type[Planted], tmp_path: Path) -> None:
    data = json.loads(measure(tmp_path).read_text())
    scan, fused = (data["candidates"][f"jax {impl}"]["told"] for impl in ("scan", "fused"))
    assert scan["pools"] == {"openmp": 2, "xla_cpu_threads": "2"}
    assert data["environment"] == {"OMP_NUM_THREADS": "2"}, "what all have is told once"
    assert (scan["environment"], fused["environment"]) == ({}, {"PJRT_NPROC": "2"})


def test_what_cannot_be_believed_is_not_written(
    planted: type[Planted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SECONDS, "fused", 1e-4)
    command = "speed --shape small --arch gru --subject step --backend jax --impl fused --impl scan --sets 2 --rounds 2"
    result = CliRunner().invoke(cli.main, [*command.split(), "--results", str(tmp_path)])
    assert "FAILED: speed: small.gru.step is not written: jax fused took 0.1 ms, its matrix products" in result.output
    assert (result.exit_code, list(tmp_path.rglob("*.json"))) == (1, [])
    with pytest.raises(RuntimeError, match=r"jax fused took 0\.1 ms, its matrix products alone 1 ms"):
        measure(tmp_path)


def test_ctrl_c_is_exit_code_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(speed, "measure", interrupted)
    command = ["speed", "--shape", "small", "--arch", "gru", "--results", str(tmp_path)]
    assert CliRunner().invoke(cli.main, command).exit_code == 130


def test_others_on_the_machine_are_found(
    planted: type[Planted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = iter(range(10**6))
    monkeypatch.setattr(speed.machine, "busy_s", lambda: float(next(passed)))
    with pytest.raises(RuntimeError, match=r"other processes used .* processors meanwhile; leave the machine alone"):
        measure(tmp_path)


def test_where_nobody_tells_what_others_do_nothing_is_told(
    planted: type[Planted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed.machine, "busy_s", lambda: None)
    data = json.loads(measure(tmp_path).read_text())
    assert {s["foreign_per_s"] for c in data["candidates"].values() for s in c["sets"]} == {None}
    assert "| 0.00 |" not in "\n".join(speed_page.markdown([data]))


@pytest.mark.parametrize("subject", ["decode", "step"])  # products alone are no candidate
def test_a_group_of_which_nothing_runs_is_not_written(subject: str, planted: type[Planted], tmp_path: Path) -> None:
    group = speed.group("small", "gru", subject, [], [], ["flax"], threads=2)
    with pytest.raises(RuntimeError, match=f"{subject}: nothing of it runs here: flax stock: there is no such layer"):
        speed.measure(group, tmp_path, lambda line: None, sets=2, rounds=2)


@pytest.mark.parametrize("when", ["ready", "run"])
def test_a_probe_that_fails_ends_all_of_them(
    when: str, planted: type[Planted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(probe: Planted, count: int = 0) -> Block:
        raise ProbeFailed("jax fused: was killed")

    monkeypatch.setattr(planted, when, fail)
    with pytest.raises(ProbeFailed, match="was killed"):
        measure(tmp_path)
    begun, ended = ([n.split()[1] for n, _ in planted.asked if n.startswith(w)] for w in ("start", "end"))
    assert sorted(begun) == sorted(ended) != []


@pytest.mark.parametrize("more", ["step", "gradients"])
def test_outputs_that_take_longer_than_what_computes_them_too_are_refused(
    more: str, planted: type[Planted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = measure(tmp_path, more)
    monkeypatch.setitem(SECONDS, "scan", 9e-3)
    with pytest.raises(RuntimeError, match=f"jax scan: forward took 9 ms, {more} 8 ms, and it does more"):
        measure(tmp_path, "forward")
    told = json.loads(other.read_text())
    other.write_text(json.dumps(told | {"facts": told["facts"] | {"git": "another"}}))  # then it may be so
    assert measure(tmp_path, "forward").exists()


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_published_can_be_believed(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    assert [*plausible.gates(data), *speed._beside(data, PUBLISHED.parent)] == []
