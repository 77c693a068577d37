"""A task from outside, found by its entry point: name the symbol read one step ago, and misbehave on request."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream

SYMBOLS, STEPS = 4, 5
CHILD = "a child of the probe"  # what tests look for among the processes
FAULTS = ("", "raise", "memory", "kill", "segv", "wait", "print", "child", "hog", "full", "strays")


class Probe:
    """``fault`` happens before training batch ``at``: an exception, an end of the process, or a wait for a file.

    wait    until the file that the environment's PROBE_GATE names is there
    print   noise on both streams, from Python and from below it
    child   a child process that never ends, and then as wait
    strays  one child that leaves the process group, and one whose parent ends at once; and then as wait
    hog     half a gigabyte, and then as wait
    full    the exception of a full disk
    """

    name, metric, better = "probe", "accuracy", "higher"

    def __init__(self, fault: str = "", at: int = 2) -> None:
        if fault not in FAULTS:
            raise ValueError(f"probe: fault is {fault!r}; use one of {', '.join(FAULTS)}")
        self.signature = Signature("label", "xent", SYMBOLS, SYMBOLS)
        self._fault, self._at = fault, at

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Random symbols; the last of them are pads."""
        if split == "train" and step == self._at and self._fault:
            misbehave(self._fault)
        x = Stream(f"probe/{split}/{seed}/{step}").integers(SYMBOLS, (size, STEPS)).astype(np.int32)
        y = np.roll(x, 1, axis=1)
        lengths = np.full(size, STEPS - 1, np.int32)
        scored = np.broadcast_to((np.arange(STEPS) > 0) & (np.arange(STEPS) < STEPS - 1), x.shape).copy()
        return Batch(x, lengths, y, scored)

    def batches(self, split: str, size: int) -> int:
        """Two."""
        return 2

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """Share of scored targets that the largest output names."""
        hits = [(p.argmax(-1) == b.y)[b.scored] for p, b in zip(predictions, batches, strict=True)]
        right = np.concatenate(hits)
        return {"accuracy": float(right.mean()), "accuracy_se": float(right.std() / len(right) ** 0.5)}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Chance and perfection."""
        return Bound("floor", 1 / SYMBOLS, "a guess"), Bound("ceiling", 1.0, "every symbol")

    def digest(self) -> str:
        """It has one version."""
        return "1"


def misbehave(fault: str) -> None:
    """Do what ``fault`` says."""
    if fault == "raise":
        raise ValueError("the probe was told to fail")
    if fault == "memory":
        raise MemoryError("the probe was told to ask for too much")
    if fault in ("kill", "segv"):
        os.kill(os.getpid(), signal.SIGKILL if fault == "kill" else signal.SIGSEGV)
    if fault == "print":
        sys.stdout.write('{"event": "done"}\n')
        os.write(1, b"noise from below\n")
        sys.stderr.write("a warning\n")
    if fault == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")
    if fault == "child":
        subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(600)  # {CHILD}"])
    if fault == "strays":
        sleep = f"import time; time.sleep(600)  # {CHILD}"
        subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True)
        subprocess.run(["sh", "-c", '"$0" -c "$1" &', sys.executable, sleep], check=True)
    hogged = np.ones(1 << 26) if fault == "hog" else None
    if fault in ("wait", "child", "hog", "strays"):
        gate = Path(os.environ["PROBE_GATE"])
        gate.with_suffix(".reached").touch()
        while not gate.exists():
            time.sleep(0.05)
    del hogged
