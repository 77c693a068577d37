"""Cross-resume: training stopped in one implementation goes on in another, with the oracle as the hub.

Each model trains 20 updates and exports its snapshot. Every partner loads it and trains 20 more; so does the oracle,
in float64 from the same snapshot, and the losses are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from suite import weights
from suite.exam import twin
from suite.exam.cases import hub
from suite.exam.checks import run
from suite.exam.compare import Check, l2_error, rel_error
from suite.spec.arch import Arch
from suite.spec.contract import Model, Snapshot

UPDATES = 20


def export(model: Model, arch: Arch, precision: str, path: Path) -> Iterator[Check]:
    """Train 20 updates from the exam's parameters, compare with the oracle, and write the snapshot."""
    case = hub(arch)
    start = Snapshot(0, case.params(arch))
    *_, (_, want) = twin.train(case, arch, start, UPDATES)
    model.load(start)
    run(model, case, 0, UPDATES)
    got = model.snapshot()
    yield Check("resume/step count", abs(got.step - UPDATES), 0.0)
    yield Check(
        "resume/export", l2_error(got.params, want.params), twin.limits(precision, arch, case, UPDATES)["trajectory"]
    )
    weights.save(path, got)


def resume(model: Model, arch: Arch, precision: str, path: Path, partner: str) -> Iterator[Check]:
    """Load a partner's snapshot, train 20 more updates, and compare with the oracle doing the same."""
    case, start = hub(arch), weights.load(path)
    model.load(start)
    got = np.array(run(model, case, start.step, UPDATES))
    want = np.array([g.loss for g, _ in twin.train(case, arch, start, UPDATES)])
    limits = twin.limits(precision, arch, case, 2 * UPDATES)
    yield Check(f"resume from {partner}/first loss", rel_error(got[0], want[0]), limits["resume"])
    error = float(np.max(np.abs(got - want) / np.abs(want)))
    yield Check(f"resume from {partner}/{UPDATES} losses", error, limits["trajectory"])


def partners(backend: str, impl: str, exported: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Whose snapshots (backend, impl) continues: its backend's others, and scan from scan across backends."""
    return [
        (b, i) for b, i in exported if (b == backend and i != impl) or (b != backend and i == "scan" and impl == "scan")
    ]
