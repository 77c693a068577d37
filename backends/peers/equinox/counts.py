"""What speed depends on and no clock is needed for: as in JAX."""

from __future__ import annotations

from backends.jax.counts import compiled, operations, tensor

__all__ = ["compiled", "operations", "tensor"]
