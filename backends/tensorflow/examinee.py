"""A user's Keras layer for ``suite.verify``: its own weights by Keras' names, restored afterwards."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from backends.tensorflow import layout
from suite.spec.archs import ARCHS
from suite.spec.contract import Array, Params, Sizes


class Examinee:
    """A layer, or a Bidirectional of two. It must be built, or be given its first input here: ``inputs`` is 5 then."""

    def __init__(self, layer: Any, arch: str) -> None:
        both = isinstance(layer, keras.layers.Bidirectional)
        parts = {"fwd/": layer.forward_layer, "bwd/": layer.backward_layer} if both else {"": layer}
        if not layer.built:
            layer.build((None, None, 5))
        self._layer, self.precision = layer, str(next(iter(parts.values())).compute_dtype)
        weights = {f"layer0/{way}": {w.name: w.value for w in one.weights} for way, one in parts.items()}
        first = next(iter(weights.values()))
        if not {"kernel", "recurrent_kernel"} <= set(first):
            raise TypeError(
                f"verify: {type(layer).__name__} has the weights {', '.join(first)}; it must have those of "
                "keras.layers.GRU: kernel, recurrent_kernel, bias"
            )
        self.inputs = int(first["kernel"].shape[0])
        self.sizes = Sizes(int(first["recurrent_kernel"].shape[0]), 1, both)
        self._layout: layout.Layout = {}
        for prefix in weights:
            self._layout |= layout.keras(ARCHS[arch], prefix)
        named = {keras_name: name for name, keras_name in layout.KERAS.items()}
        self._native = {prefix + named[n]: v for prefix, own in weights.items() for n, v in own.items() if n in named}
        self.missing = tuple(name for name, place in self._layout.items() if not self._has(place))
        self._kept = {name: v.numpy() for name, v in self._native.items()}

    def _has(self, place: layout.Place) -> bool:
        value = self._native.get(place.native)
        rank = 1 if place.native.endswith("/b") and place.row is None else 2
        return value is not None and len(value.shape) == rank

    def load(self, params: Params) -> None:
        """Canonical -> the layer's own variables."""
        if not self.missing:
            for name, value in layout.to_native(self._layout, params).items():
                self._native[name].assign(tf.constant(value, self._native[name].dtype))

    def outputs(self, x: Array) -> Array:
        """x (B, T, I) -> (B, T, F)."""
        return np.asarray(self._run(x).numpy(), dtype=np.float64)

    def vjp(self, x: Array, dy: Array) -> Params:
        """Gradients of sum(y dy) in canonical layout."""
        with tf.GradientTape() as tape:
            y = self._run(x)
        grads = tape.gradient(
            y, self._native, tf.constant(dy, y.dtype), unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return layout.to_canonical(self._layout, {name: g.numpy().astype(np.float64) for name, g in grads.items()})

    def restore(self) -> None:
        """Give the layer its own weights back."""
        for name, value in self._kept.items():
            self._native[name].assign(value)

    def _run(self, x: Array) -> tf.Tensor:
        y = self._layer(tf.constant(x, self.precision))
        return y[0] if isinstance(y, list | tuple) else y
