"""A group's file of plan speed with planted seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from suite.perf import speed


def measured(times: dict[str, float], shape: str = "small", sets: int = 3, rounds: int = 4) -> dict[str, Any]:
    """A group's file with planted seconds; every set and round is slowed by the same drift in all candidates."""
    asked = speed.group(shape, "gru", "step", ["jax"], ["scan", "stock"], [], threads=1)
    drift = 1 + 0.3 * np.random.default_rng(0).random((sets, rounds))
    found = {}
    for name, seconds in times.items():
        backend, _, impl = name.partition(" ")
        cell = replace(asked.candidates["jax scan"], backend=backend, impl=impl or "scan")
        one = {"calls": 4, "accounted": 0.99, "cpu_per_s": 1.0, "foreign_per_s": 0.02, "p99": 5e-3}
        several = [one | {"min": (seconds * d).tolist(), "median": 1.1 * seconds} for d in drift]
        found[name] = {
            "cell": cell.as_json(),
            "key": cell.key,
            "told": {"losses": [2.3], "first_s": 1.0, "import_s": 0.5, "build_s": 0.1, "environment": {"OMP": "1"}},
            "sets": several,
        }
    facts = {"cpu": "a cpu", "machine_id": "a", "cores_usable": 2, "versions": {"python": "3.12"}, "git": "0123"}
    head = {
        "schema": 1,
        "shape": shape,
        "arch": "gru",
        "subject": "step",
        "facts": facts,
        "started": "2026-01-02",
    }
    return head | {"candidates": found, "unsupported": {"pytorch fused": "not there"}}


GOOD = {"products": 1e-3, "flax stock": 4e-3, "jax scan": 2e-3}
