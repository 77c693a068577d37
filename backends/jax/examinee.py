"""A user's JAX function for ``suite.verify``: f(params, x) with parameters and states by canonical names."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suite.spec.arch import Arch
from suite.spec.contract import Array, Net, Params, Signature, Sizes, State
from suite.spec.params import shapes

WAYS = {
    "final state": 'returned as (y, state), state = {"layer0/h": (B, H), ...}',
    "lengths": "a parameter `lengths` of f",
    "first state": "a parameter `state` of f",
}


class Examinee:
    """A pure function; it runs in float64 where the process has x64 on, else in float32."""

    missing: tuple[str, ...] = ()
    ways = WAYS

    def __init__(self, function: Any, arch: Arch) -> None:
        self._f = function.f
        self.inputs = function.inputs
        self.sizes = Sizes(function.hidden, function.layers, function.bidirectional)
        self.precision = "float64" if jax.config.jax_enable_x64 else "float32"
        net = Net(arch, Signature("label", "xent", self.inputs, 1, tokens=False), self.sizes)
        self._names = [name for name in shapes(net) if name.startswith("layer")]
        self._params: dict[str, jax.Array] = {}
        arguments = inspect.signature(self._f).parameters
        required = {name: one.default is inspect.Parameter.empty for name, one in arguments.items()}
        named = {"lengths": "lengths", "first state": "state"}
        self.takes = {what: required[name] for what, name in named.items() if name in required}

    def load(self, params: Params) -> None:
        """Canonical numbers in the compute dtype."""
        self._params = {name: jnp.asarray(params[name], self.precision) for name in self._names}

    def run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State, str]:
        """x (B, T, I) -> y (B, T, F), the states that the function returns, and the dtype of both."""
        y, final = self._run(self._params, jnp.asarray(x, self.precision), lengths, state)
        dtypes = {str(part.dtype) for part in (y, *final.values())}
        numbers = {name: np.asarray(part, dtype=np.float64) for name, part in final.items()}
        return np.asarray(y, dtype=np.float64), numbers, " and ".join(sorted(dtypes))

    def vjp(self, x: Array, lengths: Array | None, state: State | None, dy: Array, dstate: State) -> Params:
        """Gradients of sum(y dy) + sum(state dstate), and towards x."""

        def total(p: Any, features: jax.Array) -> jax.Array:
            y, final = self._run(p, features, lengths, state)
            return jnp.vdot(y, dy) + sum(jnp.vdot(final[name], d) for name, d in dstate.items())

        grads, dx = jax.grad(total, argnums=(0, 1))(self._params, jnp.asarray(x, self.precision))
        return {name: np.asarray(g, dtype=np.float64) for name, g in (grads | {"x": dx}).items()}

    def restore(self) -> None:
        """There is nothing to restore: the function is pure."""

    def _run(self, p: Any, x: jax.Array, lengths: Array | None, state: State | None) -> tuple[jax.Array, Any]:
        arguments: dict[str, Any] = {}
        if lengths is not None:
            arguments["lengths"] = jnp.asarray(lengths, jnp.int32)
        if state is not None:
            arguments["state"] = {name: jnp.asarray(s, self.precision) for name, s in state.items()}
        answer = self._f(p, x, **arguments)
        y, final = answer if isinstance(answer, tuple) else (answer, {})
        if not isinstance(final, dict):
            raise TypeError(
                f"verify: f returned a {type(final).__name__} as its state; it must be {self.ways['final state']}"
            )
        return y, final
