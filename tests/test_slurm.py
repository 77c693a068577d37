"""Slurm through submitit: its local cluster runs the same jobs as plain processes; what is missing is one line."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from suite import api
from suite.record import Record
from suite.spec.cell import Cell
from tests.probes import PLUGIN, ROOT, plan, suite, tiny

submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="submitit is not installed: recurbench[slurm]"
)


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the probe here and in every process started from here."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(PLUGIN))))


def run(results: Path, *cells: Cell, **options: Any) -> list[Record]:
    return api.run(plan(*cells), results, **({"tracking_uri": "none", "timeout_s": 60.0} | options))


@submitit
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of submitit's own code
def test_the_bits_of_local_runs(tmp_path: Path) -> None:
    cells = tiny(), tiny("raise"), tiny(arch="gru", flow_at=(0, 4))
    there = {"executor": "slurm", "slurm": {"cluster": "local"}}
    local, jobs = run(tmp_path / "local", *cells), run(tmp_path / "jobs", *cells, **there)
    assert [r.outcome for r in jobs] == ["ok", "crash", "ok"]
    for a, b in zip(local, jobs, strict=True):
        assert (a.cell, a.outcome, a.reason, a.digests, a.scores) == (b.cell, b.outcome, b.reason, b.digests, b.scores)


@submitit
@pytest.mark.skipif(bool(os.environ.get("SLURM_JOB_ID")), reason="this is a Slurm cluster")
def test_without_slurm_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no sbatch here; run on a login node"):
        run(tmp_path, tiny(), executor="slurm")


def scripts(folder: Path, monkeypatch: pytest.MonkeyPatch, **contents: str) -> None:
    """Stand-ins for Slurm's commands."""
    for name, text in contents.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@submitit
@pytest.mark.filterwarnings("ignore")  # of submitit's own code
def test_a_job_that_slurm_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = "echo 'sbatch: error: invalid partition specified: nonsense' >&2; exit 1"
    scripts(tmp_path, monkeypatch, sbatch=refusal, srun="exit 0", squeue="exit 0")
    with pytest.raises(ValueError, match=r"Slurm refuses the job: .*invalid partition specified: nonsense") as caught:
        run(tmp_path / "results", tiny(), executor="slurm", slurm={"partition": "nonsense"})
    assert "\n" not in str(caught.value)


@submitit
@pytest.mark.filterwarnings("ignore")  # of submitit's own code
def test_jobs_that_a_killed_runner_has_left_are_cancelled_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from suite.executors import Job, slurm

    name = slurm._name(Job(tiny(), tmp_path / "results" / "probes" / tiny().key, "probes"))
    queue = tmp_path / "queue"
    queue.write_text(f"{name}\nsomebody-elses\n")
    cancel = f"echo $3 >> {tmp_path}/cancelled; grep -v $3 {queue} > {queue}.new; mv {queue}.new {queue}"
    scripts(tmp_path, monkeypatch, sbatch="exit 1", srun="exit 0", squeue=f"cat {queue}", scancel=cancel)
    monkeypatch.setattr(slurm, "LOOK_S", 0.1)
    with pytest.raises(ValueError, match="Slurm refuses the job"):
        run(tmp_path / "results", tiny(), executor="slurm")
    assert (tmp_path / "cancelled").read_text() == f"{name}\n"
    assert queue.read_text() == "somebody-elses\n"


@submitit
def test_a_setting_that_is_a_list_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--slurm: setup is a list, which NAME=VALUE cannot say"):
        run(tmp_path, tiny(), executor="slurm", slurm={"cluster": "local", "setup": "module load x"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--slurm", "partition"), "--slurm: 'partition' must be NAME=VALUE, such as partition=cpu"),
        (("--packed",), "packed: cells of one machine take turns"),
        (("--executor", "slum"), "'slum' is not one of 'local', 'ray', 'slurm'"),
    ],
)
def test_a_wrong_word_is_one_line(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = suite("run", "quick", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
