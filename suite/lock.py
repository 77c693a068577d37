"""One runner a folder: a lock that the system itself takes back when its last owner has ended, however that ended.

The file names its owner as <host>:<process>:<boot>. What it says of a dead owner is stale and harms nobody: the lock is
the system's (flock), not the file. Workers inherit it, so a new runner waits until those of a killed one are gone too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from suite import clock

WAIT_S = 10.0  # for the workers of a runner that was killed
POLL_S = 0.05


class Taken(ValueError):
    """Somebody else holds the lock; the message says who."""


def runner() -> str:
    """This process as <host>:<process>:<boot>."""
    return f"{socket.gethostname()}:{os.getpid()}:{_boot()}"


def dead(name: str) -> bool:
    """Whether a runner of this host is gone; of other hosts' runners nothing is known."""
    host, pid, boot = name.split(":", 2)
    return host == socket.gethostname() and not (boot == _boot() and psutil.pid_exists(int(pid)))


@contextmanager
def held(path: Path, wait_s: float = 0.0) -> Iterator[int]:
    """Hold the lock at ``path``; yields its descriptor, which child processes may inherit.

    `Taken`, which names the owner, if a living runner has it for more than ``wait_s`` seconds; OSError for a
    folder that cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; choose another --out", str(path.parent)) from error
    try:
        _take(descriptor, path, wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, runner().encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, wait_s: float) -> None:
    start_ns = clock.now_ns()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        owner = re.fullmatch(r"([^:]+):(\d{1,9}):.*", os.pread(descriptor, 500, 0).decode(errors="replace"))
        gone = bool(owner) and dead(owner[0])  # type: ignore[index]
        if clock.since_s(start_ns) >= (WAIT_S if gone else wait_s):
            who = f"process {owner[2]} on {owner[1]}" if owner else "another process"
            who = f"a worker that {who} has left behind; end it" if gone else f"{who}, which runs there; wait for it"
            raise Taken(f"{path.parent} belongs to {who}, or choose another --out")
        clock.sleep(POLL_S)


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else str(int(psutil.boot_time()))
