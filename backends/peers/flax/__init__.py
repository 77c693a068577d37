"""Flax on JAX: linen's own recurrent cells in ``flax.linen.RNN``. `setup` imports JAX, `build` imports flax."""

from __future__ import annotations

from importlib.metadata import version

from backends import jax
from suite.spec.contract import Model, Net, Optim, Precision, Snapshot
from suite.spec.offer import offered

NAME = "flax"
REQUIRES = "flax"
EXTRA = "peers"
TABLE = {(arch, "stock"): f"backends.peers.flax.stock:{arch}" for arch in ("rnn", "rnn_relu", "gru", "lstm")}
GAPS = {
    ("*", "stock"): "flax.linen ships no layer of this architecture; use backend = jax",
    **dict.fromkeys(
        (("gru_before", "stock"), ("gru4rec", "stock")),
        "flax.linen.GRUCell resets after the recurrent product only; use backend = haiku, or arch = gru",
    ),
    ("mgu", "stock"): "flax.linen.MGUCell forgets after the recurrent product only; use backend = jax",
}

setup = jax.setup


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network on its device, or Unsupported with its reason. RuntimeError if `setup` was for another precision."""
    return jax.made(offered(NAME, TABLE, GAPS, net.arch.name, impl), net, optim, snapshot, precision, device)


def versions() -> dict[str, str]:
    """What decides the numbers."""
    return jax.versions() | {"flax": version("flax")}
