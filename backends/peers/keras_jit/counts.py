"""What speed depends on and no clock is needed for: as in TensorFlow."""

from __future__ import annotations

from backends.tensorflow.counts import compiled, operations, tensor

__all__ = ["compiled", "operations", "tensor"]
