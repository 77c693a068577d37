"""Keras' own layers with the whole update compiled by XLA, as ``jit_compile=True`` does. `setup` imports TensorFlow."""

from __future__ import annotations

from backends import tensorflow
from suite.spec.contract import Model, Net, Optim, Precision, Snapshot
from suite.spec.offer import offered

NAME = "keras_jit"
REQUIRES = "tensorflow"
EXTRA = "tf"
_ARCHS = ("rnn", "rnn_relu", "gru", "gru_before", "lstm")
TABLE = {(arch, "stock"): f"backends.peers.keras_jit.stock:{arch}" for arch in _ARCHS}
GAPS = {("*", "stock"): "Keras ships no layer of this architecture; use backend = tensorflow"}

setup = tensorflow.setup
versions = tensorflow.versions


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network on its device, or Unsupported with its reason."""
    return tensorflow.made(offered(NAME, TABLE, GAPS, net.arch.name, impl), net, optim, snapshot, precision, device)
