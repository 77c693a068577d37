"""The only file that reads a clock: a monotonic one for durations, the calendar's for records."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

T = TypeVar("T")


def now_ns() -> int:
    """Nanoseconds on a monotonic clock; only differences mean anything."""
    return time.perf_counter_ns()


def since_s(start_ns: int) -> float:
    """Seconds since `now_ns` gave ``start_ns``."""
    return (time.perf_counter_ns() - start_ns) * 1e-9


def seconds(call: Callable[[], T]) -> tuple[T, float]:
    """What ``call`` returns, and the seconds it took."""
    start = time.perf_counter_ns()
    value = call()
    return value, (time.perf_counter_ns() - start) * 1e-9


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def wall_ms() -> int:
    """Milliseconds since 1970, for points of a curve."""
    return time.time_ns() // 1_000_000


def stamp() -> str:
    """The UTC date and time to the second: "2025-01-31T12:00:00Z"."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
