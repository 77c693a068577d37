"""Cells on this machine: one warm worker process a (backend, precision, device, threads), one cell at a time.

All workers import their frameworks before the first cell starts, so no import runs beside a timed cell. A worker that
crashes or passes a limit is ended, with its process group, and the next cell gets a new one; so it is when it has
compiled so much that it would soon crash. Processes are spawned, never forked, with their thread pools' sizes in the
environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from suite.executors import Begun, Ended, Event, Job, Ready
from suite.executors.process import GRACE_S, Waiting, Worker
from suite.stop import Stop
from suite.worker import Kind, kind


class Local:
    """Workers on this machine.

    logs     where workers print before their first cell
    isolate  a fresh process for every cell
    held     descriptors that the workers inherit: the lock
    """

    def __init__(self, logs: Path, isolate: bool = False, held: Sequence[int] = ()) -> None:
        self._logs, self._isolate, self._held = logs, isolate, held
        self._workers: dict[Kind, Worker] = {}

    def run(self, jobs: Sequence[Job], stop: Stop) -> Iterator[Event]:
        """See `suite.executors.Executor`."""
        firsts = {kind(job.cell): job for job in reversed(jobs)}
        lasts = {kind(job.cell): k for k, job in enumerate(jobs)}
        for job in firsts.values() if not self._isolate else ():
            self._workers[kind(job.cell)] = Worker(job.cell, self._logs, self._held)
        for which, worker in self._workers.items():
            worker.ready(firsts[which], stop)
        yield Ready()
        for k, job in enumerate(jobs):
            if stop.soon:
                return
            yield Begun(job)
            ended = yield from self._one(job, stop)
            if lasts[kind(job.cell)] == k:  # no cell is left for it
                self._end(job)
            yield Ended(job, ended)

    def close(self) -> None:
        """End every worker."""
        while self._workers:
            self._workers.popitem()[1].end()

    def _one(self, job: Job, stop: Stop) -> Waiting:
        if kind(job.cell) not in self._workers:  # where `close` ends it, whatever happens here
            self._workers[kind(job.cell)] = Worker(job.cell, self._logs, self._held)
        worker = self._workers[kind(job.cell)]
        worker.ready(job, stop)
        ended = yield from worker.run(job, stop)
        if ended.how != "done" or self._isolate or worker.crowded():
            self._end(job, GRACE_S if ended.how == "timeout" else 0.0)
        return ended

    def _end(self, job: Job, grace_s: float = 0.0) -> None:
        if worker := self._workers.pop(kind(job.cell), None):
            worker.end(grace_s)
