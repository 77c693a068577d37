"""What speed depends on and no clock is needed for: how often PyTorch compiles, and the type whose values are read."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

from backends.pytorch.trainer import Trainer


def compiled(model: Trainer) -> Callable[[], int]:
    """How many graphs torch.compile has made in this process until it is asked; 0 where nothing is compiled."""
    dynamo = "torch._dynamo.utils"  # torch imports it itself, when something is compiled

    def graphs() -> int:
        return int(sys.modules[dynamo].counters["stats"]["unique_graphs"]) if dynamo in sys.modules else 0

    return graphs


def tensor() -> type:
    """The type whose values the host may read."""
    return torch.Tensor
