"""Ctrl-C once: what runs is finished and recorded, and nothing more begins. Twice, or SIGTERM: the run ends now.

The handlers only take note; whoever waits looks here at least every `executors.TICK_S`. So an interruption never lands
in the middle of a lock or of a file.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """``soon``: begin nothing more. ``now``: end what runs. ``asked``: by a signal."""

    def __init__(self) -> None:
        self.soon = self.now = self.asked = False

    def ask(self) -> None:
        """What the first Ctrl-C does, and the second."""
        self.soon, self.now, self.asked = True, self.asked, True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM for the time being; only the main thread may."""
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.ask()
        self.now |= number == signal.SIGTERM
