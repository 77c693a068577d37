"""Equinox on JAX: its GRUCell and LSTMCell in the usual vmap and scan. `setup` imports JAX, `build` imports equinox."""

from __future__ import annotations

from importlib.metadata import version

from backends import jax
from suite.spec.contract import Model, Net, Optim, Precision, Snapshot
from suite.spec.offer import offered

NAME = "equinox"
REQUIRES = "equinox"
EXTRA = "peers"
TABLE = {(arch, "stock"): f"backends.peers.equinox.stock:{arch}" for arch in ("gru", "lstm")}
GAPS = {
    ("*", "stock"): "equinox.nn ships GRUCell and LSTMCell alone; use backend = jax",
    **dict.fromkeys(
        (("gru_before", "stock"), ("gru4rec", "stock")),
        "equinox.nn.GRUCell resets after the recurrent product only; use backend = haiku, or arch = gru",
    ),
}

setup = jax.setup


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network on its device, or Unsupported with its reason. RuntimeError if `setup` was for another precision."""
    return jax.made(offered(NAME, TABLE, GAPS, net.arch.name, impl), net, optim, snapshot, precision, device)


def versions() -> dict[str, str]:
    """What decides the numbers."""
    return jax.versions() | {"equinox": version("equinox")}
