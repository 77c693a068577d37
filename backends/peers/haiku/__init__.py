"""Haiku on JAX: its own recurrent cores under ``hk.dynamic_unroll``. `setup` imports JAX, `build` imports haiku."""

from __future__ import annotations

from importlib.metadata import version

from backends import jax
from suite.spec.contract import Model, Net, Optim, Precision, Snapshot
from suite.spec.offer import offered

NAME = "haiku"
REQUIRES = "haiku"
EXTRA = "peers"
TABLE = {
    **{(arch, "stock"): f"backends.peers.haiku.stock:{arch}" for arch in ("rnn_relu", "gru_before", "lstm")},
    ("gru4rec", "stock"): "backends.peers.haiku.stock:gru_before",
}
GAPS = {
    ("*", "stock"): "haiku ships no layer of this architecture; use backend = jax",
    ("rnn", "stock"): "hk.VanillaRNN is rectified linear, not tanh; use backend = flax, or arch = rnn_relu",
    ("gru", "stock"): "hk.GRU resets before the recurrent product only; use backend = flax, or arch = gru_before",
}

setup = jax.setup


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network on its device, or Unsupported with its reason. RuntimeError if `setup` was for another precision."""
    return jax.made(offered(NAME, TABLE, GAPS, net.arch.name, impl), net, optim, snapshot, precision, device)


def versions() -> dict[str, str]:
    """What decides the numbers."""
    return jax.versions() | {"dm-haiku": version("dm-haiku")}
