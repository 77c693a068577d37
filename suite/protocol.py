"""What a worker process owes its parent: JSON lines alone on standard output, and an end when the parent ends."""

from __future__ import annotations

import os
import sys
import threading
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
    """From now on this process ends soon after its parent, however that ended: nobody waits for its work any more."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        clock.sleep(WATCH_S)
    os._exit(1)
