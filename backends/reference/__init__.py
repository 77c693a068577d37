"""The oracle, ``suite.spec.network`` in float64 NumPy, behind the same interface as every other backend."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from suite.spec.archs import ARCHS
from suite.spec.contract import Model, Net, Optim, Precision, Snapshot, Unsupported
from suite.spec.offer import offered

if TYPE_CHECKING:
    from backends.reference.trainer import Trainer

NAME = "reference"
REQUIRES = "numpy"
EXTRA = "all"
TABLE = {(arch, "scan"): "backends.reference.trainer:Trainer" for arch in ARCHS}
GAPS = {
    ("*", "stock"): "NumPy ships no recurrent layer",
    ("*", "scan-compiled"): "NumPy has no compiler",
    ("*", "fused"): "scan is derived by hand already",
    ("*", "native"): "the C++ kernel is written for PyTorch alone; use backend = pytorch",
}


def setup(precision: Precision, device: str, threads: int) -> None:
    """Refuse what NumPy cannot do; its BLAS threads are set by the process's environment."""
    if precision != "float64":
        raise Unsupported("reference computes in float64 only: it is what float32 is compared with")
    if device != "cpu":
        raise Unsupported(f"reference runs on the cpu only, not on {device!r}")


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The oracle as a Model, or Unsupported with the reason."""
    offered(NAME, TABLE, GAPS, net.arch.name, impl)
    setup(precision, device, threads=1)
    trainer: type[Trainer] = importlib.import_module("backends.reference.trainer").Trainer
    return trainer(net, optim, snapshot)


def versions() -> dict[str, str]:
    """What decides the numbers."""
    return {"numpy": importlib.import_module("numpy").__version__}
