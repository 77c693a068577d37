"""Cells under Slurm, through submitit: one job a cell, in the results folder itself, which all nodes share.

``settings`` are sbatch's, such as {"partition": "cpu", "account": "me"}; "cluster" = "local" runs the jobs as plain
processes here, and is what the tests use. Unless ``packed``, a job has its node to itself. Jobs that a killed runner
has left behind are cancelled before their cells run again.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite import clock
from suite.executors import TICK_S, Begun, Ended, Event, Exit, Job, News
from suite.executors.command import command, spec
from suite.files import whole
from suite.stop import Stop

AHEAD = 64  # jobs that are submitted at a time
LOOK_S = 2.0  # between two looks at them
MARGIN_S = 600.0  # for starting up, beside a cell's own limit
YEAR_S = 365 * 86400.0
CANCEL_S = 30.0
SHARED_S = 30.0  # until a file of another machine shows itself here
LISTS = ("setup", "srun_args", "additional_parameters")  # what a NAME=VALUE cannot say


class Slurm:
    """The scheduler of this machine. ValueError if submitit or Slurm is not there, or refuses a setting."""

    def __init__(self, logs: Path, settings: Mapping[str, str]) -> None:
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise ValueError("--executor slurm needs submitit: pip install 'recurbench[slurm]'") from error
        cluster = settings.get("cluster", "slurm")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise ValueError("--executor slurm: there is no sbatch here; run on a login node of the cluster")
        self._local = cluster != "slurm"
        self._ahead = 2 if self._local else AHEAD
        self._command = submitit.helpers.CommandFunction
        self._refusals = (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError)
        self._executor: Any = submitit.AutoExecutor(folder=logs.absolute() / "slurm", cluster=cluster)
        self._running: dict[Any, Job] = {}
        own = {
            name: int(value) if value.isdecimal() else value for name, value in settings.items() if name != "cluster"
        }
        try:
            if wrong := [name for name in own if name in LISTS]:
                raise ValueError(f"{wrong[0]} is a list, which NAME=VALUE cannot say")
            self._executor.update_parameters(**{f"slurm_{name}": value for name, value in own.items()})
        except (NameError, TypeError, ValueError) as error:
            raise ValueError(f"--slurm: {error}") from error

    def run(self, jobs: Sequence[Job], stop: Stop) -> Iterator[Event]:
        """See `suite.executors.Executor`."""
        self._cancel_left(jobs)
        waiting = list(reversed(jobs))
        while waiting or self._running:
            if stop.now:
                raise KeyboardInterrupt
            while waiting and not stop.soon and len(self._running) < self._ahead:
                job = waiting.pop()
                yield Begun(job)
                try:
                    self._running[self._submit(job)] = job
                except self._refusals as error:
                    if not self._running:
                        raise ValueError(f"Slurm refuses the job: {_line(error)}") from error
                    waiting.append(job)  # a limit of jobs, most likely: once more when one has ended
                    break
            if not self._running:
                return
            clock.sleep(TICK_S if self._local else LOOK_S)
            yield News(next(iter(self._running.values())), {})
            for submitted in [s for s in self._running if s.done()]:
                job = self._running.pop(submitted)
                yield Ended(job, _exit(submitted, job))

    def close(self) -> None:
        """Cancel what is still there, and wait for its end, `CANCEL_S` at most."""
        for submitted in self._running:
            submitted.cancel(check=False)
        start_ns = clock.now_ns()
        while clock.since_s(start_ns) < CANCEL_S and not all(s.done(force_check=True) for s in self._running):
            clock.sleep(TICK_S if self._local else LOOK_S)
        self._running.clear()

    def _cancel_left(self, jobs: Sequence[Job]) -> None:
        """End jobs of these cells in these folders that an earlier runner has submitted."""
        if self._local or shutil.which("squeue") is None:
            return
        ours, start_ns = {_name(job) for job in jobs}, clock.now_ns()
        while (left := ours & _queued()) and clock.since_s(start_ns) < CANCEL_S:
            for name in left:
                subprocess.run(["scancel", "--me", "--name", name], check=False, capture_output=True)
            clock.sleep(LOOK_S)
        if left:
            raise ValueError(f"Slurm still runs {len(left)} jobs of an earlier run, such as {min(left)}; scancel them")

    def _submit(self, job: Job) -> Any:
        job.folder.mkdir(parents=True, exist_ok=True)
        path = job.folder / "spec.json"
        with whole(path) as part:
            part.write_text(spec(job), encoding="utf-8")
        asked: dict[str, Any] = {"name": _name(job), "cpus_per_task": job.cell.threads}
        asked["timeout_min"] = math.ceil((min(job.timeout_s, YEAR_S) + MARGIN_S) / 60)
        asked["gpus_per_node"] = int(job.cell.device == "cuda")
        asked |= {"mem_gb": math.ceil(job.memory_bytes / 1e9) + 1} if job.memory_bytes else {}
        if not job.packed and not self._local:
            asked["slurm_exclusive"] = True
        self._executor.update_parameters(**asked)
        return self._executor.submit(self._command(command(job, path.absolute(), job.folder.absolute())))


def _name(job: Job) -> str:
    """A job's name, the same for the same cell in the same folder alone."""
    return f"recurbench-{job.cell.key}-{hashlib.sha256(str(job.folder.absolute()).encode()).hexdigest()[:8]}"


def _queued() -> set[str]:
    command = ["squeue", "--me", "--noheader", "--format", "%j"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return set(done.stdout.split())


def _exit(submitted: Any, job: Job) -> Exit:
    start_ns = clock.now_ns()
    while True:
        list(job.folder.iterdir())  # makes the file system of a network look again
        if (job.folder / "result.json").exists():
            return Exit("done")
        if submitted.state in ("FAILED", "CANCELLED", "NODE_FAIL", "INTERRUPTED") or clock.since_s(start_ns) > SHARED_S:
            break
        clock.sleep(1.0)
    said = (submitted.stderr() or "").strip().splitlines()[-20:]
    return Exit("lost", 1, (*said, f"the Slurm job {submitted.job_id} ended as {submitted.state} without a record"))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
