"""What a worker process owes its parent: JSON lines alone on standard output, and an end when the parent ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from suite import clock

WATCH_S = 0.2


def private_stdout() -> TextIO:
    """The real standard output; from now on everything else that writes there reaches standard error."""
    sys.stdout.flush()
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def end_with_parent() -> None:
    """From now on this process ends soon after its parent, however that ended: nobody waits for its work any more.

    Its own children end with it where it leads a process group, as a runner's workers do.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def end_first() -> None:
    """When the machine runs out of memory, Linux is to end this process, and not the one that keeps its record."""
    with contextlib.suppress(OSError):  # no Linux, or it is not allowed: then the system chooses
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        clock.sleep(WATCH_S)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
