"""A user's Keras layer for ``suite.verify``: its own weights by Keras' names, restored afterwards.

A canonical parameter that Keras' layers have no name for is looked up by its canonical name.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from backends.tensorflow import layout
from suite.spec.arch import Arch
from suite.spec.contract import Array, Net, Params, Signature, Sizes, State
from suite.spec.params import directions, shapes

WAYS = {
    "final state": "returned after y: return_state=True",
    "lengths": "a parameter `mask` of call",
    "first state": "a parameter `initial_state` of call",
}


class Examinee:
    """A built layer, or a Bidirectional of two."""

    ways = WAYS

    def __init__(self, layer: Any, arch: Arch) -> None:
        both = isinstance(layer, keras.layers.Bidirectional)
        parts = {"fwd/": layer.forward_layer, "bwd/": layer.backward_layer} if both else {"": layer}
        kind = type(layer).__name__
        if not layer.built:
            raise TypeError(f"verify: this {kind} has no weights yet; say layer.build((None, None, inputs)) first")
        if any(getattr(one, "stateful", False) for one in parts.values()):
            raise TypeError(f"verify: this {kind} carries its state from call to call; it must have stateful=False")
        self._layer, self.precision = layer, str(next(iter(parts.values())).compute_dtype)
        weights = {f"layer0/{way}": {w.name: w.value for w in one.weights} for way, one in parts.items()}
        first = next(iter(weights.values()))
        if not {"kernel", "recurrent_kernel"} <= set(first):
            raise TypeError(
                f"verify: {kind} has the weights {', '.join(first)}; it must have those of "
                "keras.layers.GRU: kernel, recurrent_kernel, bias"
            )
        self.inputs = int(first["kernel"].shape[0])
        self.sizes = Sizes(int(first["recurrent_kernel"].shape[0]), 1, both)
        net = Net(arch, Signature("label", "xent", self.inputs, 1, tokens=False), self.sizes)
        self._layout: layout.Layout = {}
        for prefix in weights:
            self._layout |= layout.keras(arch, prefix)
        wanted = {name: np.zeros(shape) for name, shape in shapes(net).items() if name.startswith("layer")}
        self._layout |= layout.identity(name for name in wanted if name not in self._layout)
        named = {keras_name: name for name, keras_name in layout.KERAS.items()}
        places = {place.native for place in self._layout.values()}
        own = {prefix + named.get(n, n): v for prefix, ws in weights.items() for n, v in ws.items()}
        self._native = {name: v for name, v in own.items() if name in places}
        self.missing = tuple(name for name, place in self._layout.items() if not self._has(place))
        needs = layout.to_native(self._layout, wanted)
        for name, v in self._native.items():
            if not self.missing and tuple(v.shape) != needs[name].shape:
                raise TypeError(
                    f"verify: {kind} has {name} of shape {tuple(v.shape)}; {arch.name} with {self.inputs} inputs "
                    f"and H = {self.sizes.hidden} needs {needs[name].shape}"
                )
        self._states = [d.prefix + s for d in directions(net) for s in arch.state]
        self._kept = {name: v.numpy() for name, v in self._native.items()}
        arguments = inspect.signature(layer.call).parameters
        required = {name: one.default is inspect.Parameter.empty for name, one in arguments.items()}
        given = {"lengths": "mask", "first state": "initial_state"}
        self.takes = {what: required[name] for what, name in given.items() if name in required}

    def _has(self, place: layout.Place) -> bool:
        """A bias of one row holds b alone."""
        value = self._native.get(place.native)
        return value is not None and (place.row in (None, 0) or len(value.shape) > 1)

    def load(self, params: Params) -> None:
        """Canonical -> the layer's own variables."""
        for name, value in layout.to_native(self._layout, params).items():
            self._native[name].assign(tf.constant(value, self._native[name].dtype))

    def run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State, str]:
        """x (B, T, I) -> y (B, T, F), the states that the layer returns, and the dtype of both."""
        y, final = self._run(self._tensors({"x": x, **(state or {})}), lengths)
        dtypes = {part.dtype.name for part in (y, *final.values())}
        numbers = {name: part.numpy().astype(np.float64) for name, part in final.items()}
        return y.numpy().astype(np.float64), numbers, " and ".join(sorted(dtypes))

    def vjp(self, x: Array, lengths: Array | None, state: State | None, dy: Array, dstate: State) -> Params:
        """Gradients of sum(y dy) + sum(state dstate) in canonical layout, towards x and a given state too."""
        given = self._tensors({"x": x, **(state or {})})
        with tf.GradientTape() as tape:
            tape.watch(given)
            y, final = self._run(given, lengths)
        pairs = [(y, dy), *((final[name], d) for name, d in dstate.items())]
        grads = tape.gradient(
            [part for part, _ in pairs],
            self._native | given,
            [tf.constant(d, part.dtype) for part, d in pairs],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        found = {name: g.numpy().astype(np.float64) for name, g in grads.items()}
        return layout.to_canonical(self._layout, found) | {name: found[name] for name in given}

    def restore(self) -> None:
        """Give the layer its own weights back."""
        for name, value in self._kept.items():
            self._native[name].assign(value)

    def _tensors(self, arrays: Params) -> dict[str, tf.Tensor]:
        return {name: tf.constant(a, self.precision) for name, a in arrays.items()}

    def _run(self, given: dict[str, tf.Tensor], lengths: Array | None) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """ "x" and perhaps the first states -> y, and the states that the layer returns, canonical."""
        x, arguments = given["x"], dict[str, Any]()
        if lengths is not None:
            arguments["mask"] = tf.constant(np.arange(x.shape[1]) < lengths[:, None])
        if len(given) > 1:
            arguments["initial_state"] = [given[name] for name in self._states]
        answer = self._layer(x, **arguments)
        y, *rest = answer if isinstance(answer, list | tuple) else (answer,)
        if len(rest) > len(self._states):
            raise TypeError(f"verify: the layer returns {len(rest)} states; there are {', '.join(self._states)}")
        return y, dict(zip(self._states, rest, strict=False))
