"""Keras' own recurrent layers, carrying the specification: SimpleRNN (tanh or ReLU), GRU (reset_after or not), LSTM.

One layer object for each layer of the stack, in keras.layers.Bidirectional where both ways are read. The mask carries
the state through pads and ``zero_output_for_mask`` writes zeros there. On a CPU Keras runs its generic while loop; on a
GPU its GRU (reset after) and LSTM are told to use cuDNN and fail if they cannot, and the others run the generic loop.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from backends.tensorflow import layout
from backends.tensorflow.cells import Weights
from backends.tensorflow.scan import Named
from suite.spec.contract import Net, Unsupported
from suite.spec.dropout import NONE, Masks, drop, site
from suite.spec.params import stack

COMMON = {  # the weights are loaded: nothing is drawn at random
    "return_sequences": True,
    "return_state": True,
    "zero_output_for_mask": True,
    "kernel_initializer": "zeros",
    "recurrent_initializer": "zeros",
}


def rnn(net: Net, prefix: str, dtype: tf.DType, device: str) -> Stock:
    """keras.layers.SimpleRNN, tanh."""
    return Stock(net, prefix, dtype, keras.layers.SimpleRNN)


def rnn_relu(net: Net, prefix: str, dtype: tf.DType, device: str) -> Stock:
    """keras.layers.SimpleRNN, rectified linear."""
    return Stock(net, prefix, dtype, keras.layers.SimpleRNN, activation="relu")


def gru(net: Net, prefix: str, dtype: tf.DType, device: str) -> Stock:
    """keras.layers.GRU, reset after the product: two biases, both trained."""
    return Stock(net, prefix, dtype, keras.layers.GRU, reset_after=True, use_cudnn=device == "cuda")


def gru_before(net: Net, prefix: str, dtype: tf.DType, device: str) -> Stock:
    """keras.layers.GRU, reset before the product."""
    return Stock(net, prefix, dtype, keras.layers.GRU, reset_after=False, use_cudnn=False)


def lstm(net: Net, prefix: str, dtype: tf.DType, device: str) -> Stock:
    """keras.layers.LSTM, gates i, f, g, o."""
    return Stock(net, prefix, dtype, keras.layers.LSTM, use_cudnn=device == "cuda")


class Stock:
    """A stack of Keras' layers. ``params`` are the layers' own variables by canonical name, b and c in one."""

    compiled = False  # by XLA, with everything around it

    def __init__(self, net: Net, prefix: str, dtype: tf.DType, layer: type[keras.layers.RNN], **options: Any) -> None:
        self._layer, self._cudnn = layer.__name__, options.get("use_cudnn", False)
        self._carried, self._layers, self._modules = net.arch.state, stack(net, prefix), []
        self.params: Weights = {}
        self.layout: layout.Layout = {}
        for directions in self._layers:
            module = layer(net.sizes.hidden, dtype=dtype.name, **COMMON, **options)
            parts = [module]
            if len(directions) > 1:
                module = keras.layers.Bidirectional(module, dtype=dtype.name)
                parts = [module.forward_layer, module.backward_layer]
            module.build((None, None, directions[0].inputs))
            self._modules.append(module)
            for d, one in zip(directions, parts, strict=True):
                self.layout |= layout.keras(net.arch, d.prefix)
                self.params |= {d.prefix + n: getattr(one.cell, own).value for n, own in layout.KERAS.items()}

    def run(
        self, x: tf.Tensor, valid: tf.Tensor, state: Named, taps: Named | None = None, masks: Masks = NONE
    ) -> tuple[tf.Tensor, Named]:
        """x (B, T, I), valid (B, T), state (B, H) each -> y (B, T, F) and the final state; taps are refused."""
        if taps is not None:
            raise Unsupported(f"keras.layers.{self._layer}: a stock layer hides its inner states; use impl = scan")
        final: Named = {}
        for directions, module in zip(self._layers, self._modules, strict=True):
            names = [d.prefix + s for d in directions for s in self._carried]
            x, *last = module(
                drop(masks, site(directions), x), mask=valid, initial_state=[state[name] for name in names]
            )
            final |= zip(names, last, strict=True)
        return x, final

    def reader(self) -> Stock:
        """These layers: they read as they train."""
        return self

    def ran(self) -> set[str]:
        """The layer and its kernels."""
        kernels = "cuDNN" if self._cudnn else "Keras' tf.while_loop"
        jit = " under XLA" if self.compiled else ""
        return {f"keras.layers.{self._layer}, {kernels} in a tf.function{jit}"}
