"""Keras' own recurrent layers, carrying the specification: SimpleRNN, GRU (reset_after or not), LSTM.

One layer object for each layer of the stack, in keras.layers.Bidirectional where both ways are read. The mask carries
the state through pads and ``zero_output_for_mask`` writes zeros there. On a CPU Keras runs its generic while loop; on a
GPU its GRU (reset after) and LSTM are told to use cuDNN and fail if they cannot, and the others run the generic loop.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from backends.tensorflow import layout
from backends.tensorflow.network import Named, Runner
from suite.spec.contract import Net, Unsupported
from suite.spec.params import stack

COMMON = {  # the weights are loaded: nothing is drawn at random
    "return_sequences": True,
    "return_state": True,
    "zero_output_for_mask": True,
    "kernel_initializer": "zeros",
    "recurrent_initializer": "zeros",
}


def rnn(net: Net, prefix: str, dtype: tf.DType, device: str) -> Runner:
    """keras.layers.SimpleRNN, tanh."""
    return _runner(net, prefix, dtype, keras.layers.SimpleRNN, {})


def gru(net: Net, prefix: str, dtype: tf.DType, device: str) -> Runner:
    """keras.layers.GRU, reset after the product: two biases, both trained."""
    return _runner(net, prefix, dtype, keras.layers.GRU, {"reset_after": True, "use_cudnn": device == "cuda"})


def gru_before(net: Net, prefix: str, dtype: tf.DType, device: str) -> Runner:
    """keras.layers.GRU, reset before the product."""
    return _runner(net, prefix, dtype, keras.layers.GRU, {"reset_after": False, "use_cudnn": False})


def lstm(net: Net, prefix: str, dtype: tf.DType, device: str) -> Runner:
    """keras.layers.LSTM, gates i, f, g, o."""
    return _runner(net, prefix, dtype, keras.layers.LSTM, {"use_cudnn": device == "cuda"})


def _runner(net: Net, prefix: str, dtype: tf.DType, layer: type[keras.layers.RNN], options: dict[str, Any]) -> Runner:
    layers, names, modules = stack(net, prefix), net.arch.state, []
    params: Named = {}
    places: layout.Layout = {}
    for directions in layers:
        module = layer(net.sizes.hidden, dtype=dtype.name, **COMMON, **options)
        parts = [module]
        if len(directions) > 1:
            module = keras.layers.Bidirectional(module, dtype=dtype.name)
            parts = [module.forward_layer, module.backward_layer]
        module.build((None, None, directions[0].inputs))
        modules.append(module)
        for d, one in zip(directions, parts, strict=True):
            places |= layout.keras(net.arch, d.prefix)
            for native in ("kernel", "recurrent_kernel", "bias"):
                params[d.prefix + native] = getattr(one.cell, native).value  # the layer's own tf.Variable

    def run(x: tf.Tensor, valid: tf.Tensor, state: Named, taps: Named | None = None) -> tuple[tf.Tensor, Named]:
        if taps is not None:
            raise Unsupported(f"keras.layers.{layer.__name__} hides its inner states; use impl = scan")
        final: Named = {}
        for directions, module in zip(layers, modules, strict=True):
            own = [d.prefix + s for d in directions for s in names]
            x, *last = module(x, mask=valid, initial_state=[state[n] for n in own])
            final |= zip(own, last, strict=True)
        return x, final

    kernel = "cuDNN" if options.get("use_cudnn") else "Keras' tf.while_loop"
    return Runner(params, places, run, f"keras.layers.{layer.__name__}, {kernel}")
