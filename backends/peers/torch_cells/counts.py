"""What speed depends on and no clock is needed for: as in PyTorch."""

from __future__ import annotations

from backends.pytorch.counts import compiled, operations, tensor

__all__ = ["compiled", "operations", "tensor"]
