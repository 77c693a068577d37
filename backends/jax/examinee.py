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
        self._params = self._arrays({name: params[name] for name in self._names})

    def run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State, str]:
        """x (B, T, I) -> y (B, T, F), the states that the function returns, and the dtype of both."""
        y, final = self._run(self._params, self._arrays({"x": x, **(state or {})}), lengths)
        dtypes = {str(part.dtype) for part in (y, *final.values())}
        numbers = {name: np.asarray(part, dtype=np.float64) for name, part in final.items()}
        return np.asarray(y, dtype=np.float64), numbers, " and ".join(sorted(dtypes))

    def vjp(self, x: Array, lengths: Array | None, state: State | None, dy: Array, dstate: State) -> Params:
        """Gradients of sum(y dy) + sum(state dstate), towards x and a given state too."""

        def total(p: Any, given: Any) -> jax.Array:
            y, final = self._run(p, given, lengths)
            return jnp.vdot(y, dy) + sum(jnp.vdot(final[name], d) for name, d in dstate.items())

        given = self._arrays({"x": x, **(state or {})})
        grads, dgiven = jax.grad(total, argnums=(0, 1))(self._params, given)
        return {name: np.asarray(g, dtype=np.float64) for name, g in (grads | dgiven).items()}

    def restore(self) -> None:
        """There is nothing to restore: the function is pure."""

    def _arrays(self, arrays: Params) -> dict[str, jax.Array]:
        return {name: jnp.asarray(a, self.precision) for name, a in arrays.items()}

    def _run(self, p: Any, given: dict[str, jax.Array], lengths: Array | None) -> tuple[jax.Array, Any]:
        """ "x" and perhaps the first states -> y, and the states that the function returns."""
        first = {name: a for name, a in given.items() if name != "x"}
        arguments: dict[str, Any] = {"state": first} if first else {}
        if lengths is not None:
            arguments["lengths"] = jnp.asarray(lengths, jnp.int32)
        answer = self._f(p, given["x"], **arguments)
        y, final = answer if isinstance(answer, tuple) else (answer, {})
        if not isinstance(final, dict):
            kind = type(final).__name__
            raise TypeError(f"verify: the state that f returns is {kind}; it must be a dict by names like 'layer0/h'")
        return y, final
