"""The recorded gradient flow of a group: ||dL/dh_t|| of its first layer, step by step of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from suite import record
from suite.report.groups import Group, folder


def reach(g: Group, results: Path) -> dict[int, np.ndarray]:
    """Step -> mean over seeds of the first layer's output, (T,), as far as the shortest seed's batch reaches."""
    found: dict[int, list[np.ndarray]] = {}
    for arrays in filter(None, (record.flow(folder(results, r)) for r in g.ok)):
        states = {name.partition("/")[2] for name in arrays}
        first = min(states, key=lambda s: (not s.endswith("/h"), s[:4] != "enc/", s))
        for name, flow in arrays.items():
            step, _, state = name.partition("/")
            if state == first:
                found.setdefault(int(step), []).append(flow)
    shortest = {step: min(map(len, several)) for step, several in found.items()}
    return {step: np.mean([a[: shortest[step]] for a in found[step]], 0) for step in sorted(found)}
