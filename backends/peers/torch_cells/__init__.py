"""A Python loop over PyTorch's own cells: nn.RNNCell, nn.GRUCell, nn.LSTMCell. `setup` is what imports PyTorch."""

from __future__ import annotations

from backends import pytorch
from suite.spec.contract import Model, Net, Optim, Precision, Snapshot
from suite.spec.offer import offered

NAME = "torch_cells"
REQUIRES = "torch"
EXTRA = "torch"
TABLE = {(arch, "stock"): f"backends.peers.torch_cells.stock:{arch}" for arch in ("rnn", "rnn_relu", "gru", "lstm")}
GAPS = {
    ("*", "stock"): "PyTorch ships no cell of this architecture; use backend = pytorch",
    **dict.fromkeys(
        (("gru_before", "stock"), ("gru4rec", "stock")),
        "torch.nn.GRUCell resets after the recurrent product only; use backend = pytorch, or arch = gru",
    ),
}

setup = pytorch.setup
versions = pytorch.versions


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network on its device, or Unsupported with its reason."""
    return pytorch.made(offered(NAME, TABLE, GAPS, net.arch.name, impl), net, optim, snapshot, precision, device)
