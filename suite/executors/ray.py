"""Cells in a Ray cluster: each is the command ``python -m suite cell`` on some node, and its files come back as bytes.

Nothing needs to be shared but the network; every node has the same Python, Ray and recurbench. A cell asks for as many
CPUs as it has threads, for a GPU where its device is one, and for {"timing": 1}, which a node offers once: so timed
cells have a node to themselves.

    ray start --head --resources='{"timing": 1}'        and on each other node, with --address

``packed`` cells share nodes, and report no speed. Ray runs a cell again whose node or process was lost, twice at most;
what the cell itself came to is a result and is never run again.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from suite.executors import TICK_S, Begun, Ended, Event, Exit, Job, News
from suite.executors.command import SENT, Files, bring, command, elsewhere, spec
from suite.stop import Stop

RETRIES = 2
LOOK = 40  # ticks without an end before the nodes are looked at again
AHEAD = 2  # jobs that are begun for every one that the cluster has room for


class Ray:
    """The cluster that RAY_ADDRESS names, or one on this machine.

    ValueError if Ray is not installed, or if no node of the cluster has what a job asks for: it would wait for ever.
    """

    def __init__(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ValueError("--executor ray needs Ray: pip install 'recurbench[ray]'") from error
        self._ray: Any = ray
        before = signal.getsignal(signal.SIGTERM)
        ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level="warning")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own would end this process in the middle of a record
        self._remote = ray.remote(max_calls=1, max_retries=RETRIES)(elsewhere)  # a fresh process every time

    def run(self, jobs: Sequence[Job], stop: Stop) -> Iterator[Event]:
        """See `suite.executors.Executor`."""
        for job in {tuple(_needs(job).items()): job for job in jobs}.values():
            if why := self._lacks(job):
                raise ValueError(f"ray: {why}")
        waiting, running, idle = list(reversed(jobs)), dict[Any, Job](), 0
        while waiting or running:
            if stop.now:
                raise KeyboardInterrupt
            while waiting and not stop.soon and len(running) < self._room(waiting[-1]):
                job = waiting.pop()
                yield Begun(job)
                running[self._submit(job)] = job
            if not running:
                return
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=TICK_S)
            idle = 0 if done else idle + 1
            if idle:
                yield News(next(iter(running.values())), {})
            if idle % LOOK == LOOK - 1:  # a job would wait for ever for a node that is gone
                for ref, why in [(ref, why) for ref, job in running.items() if (why := self._lacks(job))]:
                    self._ray.cancel(ref, force=True)
                    yield Ended(running.pop(ref), Exit("lost", 1, (f"ray: {why}",)))
            for ref in done:
                job = running.pop(ref)
                yield Ended(job, self._collect(ref, job))

    def close(self) -> None:
        """Leave the cluster; what this driver runs there ends."""
        self._ray.shutdown()

    def _submit(self, job: Job) -> Any:
        files: Files = {}
        if job.resume:
            files = {name: (job.folder / name).read_bytes() for name in SENT if (job.folder / name).exists()}
        needs = _needs(job)
        cpus, gpus = needs.pop("CPU"), needs.pop("GPU", 0)
        asked = self._remote.options(num_cpus=cpus, num_gpus=gpus, resources=needs, name=job.cell.name)
        return asked.remote(spec(job), command(job, Path("SPEC"), Path("OUT")), files)

    def _collect(self, ref: Any, job: Job) -> Exit:
        errors = self._ray.exceptions
        try:
            code, said, files = self._ray.get(ref)
        except errors.OutOfMemoryError as error:
            return Exit("died", -9, (_line(error),))
        except errors.RayTaskError as error:
            return Exit("lost", 1, (f"Ray could not run it: {str(error).strip().splitlines()[-1][:300]}",))
        except errors.RayError as error:
            return Exit("lost", 1, (f"Ray lost it {RETRIES + 1} times: {_line(error)}",))
        bring(files, job.folder)
        return Exit("done" if "result.json" in files else "died", code, tuple(said.splitlines()))

    def _lacks(self, job: Job) -> str:
        """What no node has that the job needs, and what to do; empty if one has it all."""
        needs = _needs(job)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
            return ""
        asked = ", ".join(f"{name} {amount:g}" for name, amount in needs.items())
        timed = "start one with ray start --resources='{\"timing\": 1}', or say --packed"
        how = timed if "timing" in needs else "ask for fewer threads, or start a larger node"
        return f"none of {len(nodes)} nodes has {asked}; {how}"

    def _room(self, job: Job) -> float:
        """How many such jobs may be under way."""
        have = self._ray.cluster_resources()
        return AHEAD * max(1.0, min(have.get(name, 0) // amount for name, amount in _needs(job).items()))


def _needs(job: Job) -> dict[str, float]:
    needs: dict[str, float] = {"CPU": job.cell.threads}
    needs |= {"GPU": 1} if job.cell.device == "cuda" else {}
    return needs if job.packed else needs | {"timing": 1}


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
