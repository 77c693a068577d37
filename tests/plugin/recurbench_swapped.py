"""A backend from outside with one mistake: its GRU reads the blocks of r and z in each other's place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from backends.reference.trainer import Trainer
from suite.spec.contract import Model, Net, Optim, Params, Precision, Snapshot

NAME = "swapped"
REQUIRES = "numpy"
EXTRA = "all"
TABLE = {("gru", "scan"): "recurbench_swapped:build"}
GAPS: dict[tuple[str, str], str] = {}


def setup(precision: Precision, device: str, threads: int) -> None:
    """Nothing to set up."""


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The oracle around the wrong cell."""
    arch = net.arch

    def step(p: Params, x: Any, state: Any) -> Any:
        return arch.step(_swap(p), x, state)

    def step_vjp(p: Params, tape: Any, dstate: Any) -> Any:
        dx, before, dp = arch.step_vjp(_swap(p), tape, dstate)
        return dx, before, _swap(dp)

    return Trainer(replace(net, arch=replace(arch, step=step, step_vjp=step_vjp)), optim, snapshot)


def versions() -> dict[str, str]:
    """What decides the numbers."""
    return {"numpy": np.__version__}


def _swap(p: Params) -> Params:
    out = {}
    for name, v in p.items():
        r, z, n = np.split(v, 3, axis=-1)
        out[name] = np.concatenate([z, r, n], axis=-1)
    return out
