"""What speed depends on and no clock is needed for: how often PyTorch compiles, what it runs, whose values are read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from backends.pytorch.network import Data
from backends.pytorch.trainer import Trainer


def compiled(model: Trainer) -> Callable[[], int]:
    """How many graphs torch.compile has made in this process until it is asked; 0 where nothing is compiled."""
    dynamo = "torch._dynamo.utils"  # torch imports it itself, when something is compiled

    def graphs() -> int:
        return int(sys.modules[dynamo].counters["stats"]["unique_graphs"]) if dynamo in sys.modules else 0

    return graphs


class _Dispatched(TorchDispatchMode):
    """Counts what is dispatched while it is entered."""

    count = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to skip it imports it, which takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run it as it is."""
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(model: Trainer, handle: Data, lr: float) -> int | None:
    """How many operations an update dispatches, which it makes; None where torch.compile runs some unseen."""
    if compiled(model)():
        return None
    with _Dispatched() as seen:
        model.step(handle, lr)
    return seen.count


def tensor() -> type:
    """The type whose values the host may read."""
    return torch.Tensor
