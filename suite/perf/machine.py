"""How quiet the machine was: what a reader of a speed wants to know of it, before and after."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from suite import facts

STAT = Path("/proc/stat")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


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


def describe(before: tuple[float, tuple[int, int]], cpu_share: float | None) -> dict[str, Any]:
    """The machine, its load before and now, and the share of stolen time since ``before`` (see `state`).

    cpu_share   the processor seconds a second of the timed calls; None where none was timed
    """
    load, (stolen, total) = before
    now, (stolen_now, total_now) = state()
    known = facts.machine()
    return {
        **{name: known[name] for name in ("machine_id", "cpu", "cores", "cores_usable", "platform")},
        "governor": GOVERNOR.read_text(encoding="ascii").strip() if GOVERNOR.exists() else "unknown",
        "load_before": load,
        "load_after": now,
        "steal": (stolen_now - stolen) / max(1, total_now - total),
        "cpu_per_s": cpu_share,
        "versions": facts.installed(),
    }


def state() -> tuple[float, tuple[int, int]]:
    """The load of the last minute, and `ticks`."""
    return round(os.getloadavg()[0], 2), ticks()
