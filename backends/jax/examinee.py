"""A user's JAX function for ``suite.verify``: f(params, x) with parameters by canonical names."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suite.spec.archs import ARCHS
from suite.spec.contract import Array, Net, Params, Signature, Sizes
from suite.spec.params import directions


class Examinee:
    """A pure function; it runs in float64 where the process has x64 on, else in float32."""

    missing: tuple[str, ...] = ()

    def __init__(self, function: Any, arch: str) -> None:
        self._f = function.f
        self.inputs = function.inputs
        self.sizes = Sizes(function.hidden, function.layers, function.bidirectional)
        self.precision = "float64" if jax.config.jax_enable_x64 else "float32"
        net = Net(ARCHS[arch], Signature("label", "xent", self.inputs, 1, tokens=False), self.sizes)
        self._names = [d.prefix + n for d in directions(net) for n in net.arch.shapes(d.inputs, self.sizes.hidden)]
        self._params: dict[str, jax.Array] = {}

    def load(self, params: Params) -> None:
        """Canonical numbers in the compute dtype."""
        self._params = {name: jnp.asarray(params[name], self.precision) for name in self._names}

    def outputs(self, x: Array) -> Array:
        """x (B, T, I) -> (B, T, F)."""
        return np.asarray(self._f(self._params, jnp.asarray(x, self.precision)), dtype=np.float64)

    def vjp(self, x: Array, dy: Array) -> Params:
        """Gradients of sum(y dy)."""
        _, back = jax.vjp(lambda p: self._f(p, jnp.asarray(x, self.precision)), self._params)
        (grads,) = back(jnp.asarray(dy, self.precision))
        return {name: np.asarray(g, dtype=np.float64) for name, g in grads.items()}

    def restore(self) -> None:
        """There is nothing to restore: the function is pure."""
