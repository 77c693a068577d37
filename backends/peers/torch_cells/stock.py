"""PyTorch's own cells in a Python loop, as people write it: ``for x_t in x.unbind(): h = cell(x_t, h)``.

The loop and its masks are those of ``backends.pytorch.scan``; a cell takes the place of the step and reads the input
itself. The one bias of RNN and LSTM is bias_ih; bias_hh stays zero.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from backends.pytorch.cells import State, Weights
from backends.pytorch.layout import NATIVE, transposed
from backends.pytorch.scan import Named, Valid, scan
from suite.spec.contract import Net
from suite.spec.dropout import NONE, Masks, site
from suite.spec.params import stack


def rnn(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Cells:
    """nn.RNNCell, tanh."""
    return Cells(nn.RNNCell, net, prefix, dtype, device)


def rnn_relu(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Cells:
    """nn.RNNCell, rectified linear."""
    return Cells(nn.RNNCell, net, prefix, dtype, device, nonlinearity="relu")


def gru(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Cells:
    """nn.GRUCell, which resets after the product and trains both biases, as the specification does."""
    return Cells(nn.GRUCell, net, prefix, dtype, device)


def lstm(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Cells:
    """nn.LSTMCell, gates i, f, g, o."""
    return Cells(nn.LSTMCell, net, prefix, dtype, device)


class Cells:
    """A stack of layers, a cell for each direction. ``params`` are the cells' own tensors, trained in place."""

    def __init__(
        self, cell: type[nn.RNNCellBase], net: Net, prefix: str, dtype: torch.dtype, device: str, **options: str
    ) -> None:
        self._cell, self._carried, self._layers = cell.__name__, net.arch.state, stack(net, prefix)
        self._steps = {}
        self.params: Weights = {}
        for d in (d for layer in self._layers for d in layer):
            module = cell(d.inputs, net.sizes.hidden, dtype=dtype, device=device, **options)
            names = net.arch.shapes(d.inputs, net.sizes.hidden)
            self.params |= {d.prefix + name: getattr(module, NATIVE[name]) for name in names}
            if "c" not in names:
                nn.init.zeros_(module.bias_hh).requires_grad_(False)
            self._steps[d.prefix] = partial(_step, module)
        self.layout = transposed(self.params)

    def run(
        self, x: Tensor, valid: Valid, state: Named, taps: Named | None = None, masks: Masks = NONE
    ) -> tuple[Tensor, Named]:
        """x (B, T, I), state (B, H) each, taps (T, B, H) each -> y (B, T, F) and the final state."""
        x = x.transpose(0, 1)  # (T, B, I)
        mask = None if valid.packing is None else valid.mask.t().unsqueeze(2)  # (T, B, 1)
        final: Named = {}
        for layer in self._layers:
            ys, read = [], x * masks[site(layer)] if site(layer) in masks else x
            for d in layer:
                names = [d.prefix + s for s in self._carried]
                first = tuple(state[name] for name in names)
                eps = tuple(taps[name] for name in names) if taps else None
                y, last = scan(self._steps[d.prefix], {}, read, mask, first, d.reverse, eps)
                final |= zip(names, last, strict=True)
                ys.append(y)
            x = ys[0] if len(ys) == 1 else torch.cat(ys, -1)
        return x.transpose(0, 1), final

    def ran(self) -> set[str]:
        """What executes."""
        return {f"torch.nn.{self._cell} in a Python loop"}


def _step(cell: nn.RNNCellBase, p: Weights, x: Tensor, state: State) -> State:
    new = cell(x, state if len(state) > 1 else state[0])
    return new if isinstance(new, tuple) else (new,)
