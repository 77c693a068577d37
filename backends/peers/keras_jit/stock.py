"""The layers of ``backends.tensorflow.stock``, compiled by XLA with everything around them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from backends.tensorflow import stock
from backends.tensorflow.stock import Stock
from suite.spec.contract import Net

Make = Callable[[Net, str, tf.DType, str], Stock]


def _compiled(make: Make) -> Make:
    def made(net: Net, prefix: str, dtype: tf.DType, device: str) -> Stock:
        layers = make(net, prefix, dtype, device)
        layers.compiled = True
        return layers

    return made


rnn, rnn_relu, gru = map(_compiled, (stock.rnn, stock.rnn_relu, stock.gru))
gru_before, lstm = map(_compiled, (stock.gru_before, stock.lstm))
