"""How quiet the machine was: what a reader of a speed wants to know of it, before and after."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suite import clock, facts

STAT = Path("/proc/stat")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True, slots=True)
class Around:
    """What the machine was like while two processes were timed in turn.

    cpu_per_s   processor seconds a second of timed calls: below the number of threads where others ran
    switches    how often the system took a processor away from them
    product_s   `product_s` before them, and after them
    """

    cpu_per_s: float
    switches: int
    product_s: tuple[float, float]


def product_s() -> float:
    """Seconds of a fixed matrix product, (512, 512) by itself in float32, done here: the fastest of eight."""
    a = np.ones((512, 512), np.float32)
    return min(clock.seconds(lambda: a @ a)[1] for _ in range(8))


def ticks() -> tuple[int, int]:
    """(stolen by other guests of the same host, all) since the machine started; zeros where it is not told."""
    if not STAT.exists():
        return 0, 0
    counts = [int(word) for word in STAT.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return counts[7], sum(counts)


def busy_s() -> float | None:
    """Processor seconds of every process since the machine started, waiting for disks left out; None where untold."""
    if not STAT.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, *_ = STAT.read_text(encoding="ascii").splitlines()[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq))) / os.sysconf("SC_CLK_TCK")


def describe(before: tuple[float, tuple[int, int]], around: Sequence[Around]) -> dict[str, Any]:
    """The machine, its load before and now, and the share of stolen time since ``before`` (see `state`).

    around   what it was like around each pair of processes; where none was timed, None stands in place of each number
    """
    products = [s for one in around for s in one.product_s]
    load, (stolen, total) = before
    now, (stolen_now, total_now) = state()
    known = facts.machine()
    return {
        **{name: known[name] for name in ("machine_id", "cpu", "cores", "cores_usable", "platform")},
        "governor": GOVERNOR.read_text(encoding="ascii").strip() if GOVERNOR.exists() else "unknown",
        "load_before": load,
        "load_after": now,
        "steal": (stolen_now - stolen) / max(1, total_now - total),
        "cpu_per_s": statistics.median(one.cpu_per_s for one in around) if around else None,
        "switches": sum(one.switches for one in around) if around else None,
        "product_ms": [1e3 * min(products), 1e3 * max(products)] if around else None,
        "versions": facts.installed(),
    }


def state() -> tuple[float, tuple[int, int]]:
    """The load of the last minute, and `ticks`."""
    return round(os.getloadavg()[0], 2), ticks()
