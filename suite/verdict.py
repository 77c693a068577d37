"""What became of a cell whose process left no record: the only place where the end of a process is interpreted."""

from __future__ import annotations

import re
import signal

from suite.executors import Exit, Job
from suite.record import Outcome

EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exhausted\w*)\b")
MEMORY = re.compile(r"MemoryError|out of memory|can't allocate memory|RESOURCE_EXHAUSTED|ResourceExhausted")


def verdict(ended: Exit, job: Job) -> tuple[Outcome, str]:
    """The outcome and its reason: which limit was passed, the signal, or the last line that was printed."""
    last = _reason(ended.said)
    if ended.how == "timeout":
        return "timeout", f"no result in {job.timeout_s:g} s; raise --timeout or ask for fewer steps"
    if ended.how == "memory":
        return "oom", f"its processes held {last}, more than the limit of {job.memory_bytes / 2**20:.0f} MiB"
    if ended.how == "lost":
        return "crash", last
    if ended.code == -signal.SIGKILL:
        return "oom", "killed by signal 9, most likely because memory ran out"
    if ended.code < 0:
        name = {s.value: s.name for s in signal.Signals}.get(-ended.code, f"signal {-ended.code}")
        return "crash", f"killed by {name}; last printed: {last}"
    return ("oom" if MEMORY.search(last) else "crash"), f"exit code {ended.code}: {last}"


def _reason(said: tuple[str, ...]) -> str:
    """The last line that names an exception, for some libraries add hints below it; else the last line."""
    named = [line for line in said if EXCEPTION.match(line)]
    return (named or said or ("it printed nothing",))[-1]
