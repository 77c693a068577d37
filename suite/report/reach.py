"""The recorded gradient flow of a group: ||dL/dh_t|| of its first layer, step by step of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from suite.report.groups import Group, folder


def reach(g: Group, results: Path) -> dict[int, np.ndarray]:
    """Step -> mean over seeds of the first layer's output, (T,), as far as the shortest seed's batch reaches."""
    found: dict[int, list[np.ndarray]] = {}
    for path in (folder(results, r) / "flow.npz" for r in g.ok):
        if path.exists():
            with np.load(path) as arrays:
                names = [name.partition("/") for name in arrays.files]
                first = min((state for _, _, state in names), key=lambda s: (not s.endswith("/h"), s[:4] != "enc/", s))
                for step, slash, state in names:
                    if state == first:
                        found.setdefault(int(step), []).append(arrays[step + slash + state])
    shortest = {step: min(map(len, several)) for step, several in found.items()}
    return {step: np.mean([a[: shortest[step]] for a in found[step]], 0) for step in sorted(found)}
