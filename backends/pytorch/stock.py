"""PyTorch's own recurrent layers, carrying the specification: nn.RNN (tanh or ReLU), nn.GRU, nn.LSTM.

Layers and directions are the module's own (num_layers, bidirectional); padded batches are packed, which stops each row
at its length in both directions and writes zeros at pads. The one bias of RNN and LSTM is bias_ih; bias_hh stays zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from backends.pytorch.cells import Weights
from backends.pytorch.layout import NATIVE, suffixes, transposed
from backends.pytorch.scan import Named, Valid
from suite.spec.contract import Net, Unsupported
from suite.spec.dropout import NONE, Masks, drop, site
from suite.spec.params import stack


def rnn(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Stock:
    """nn.RNN, tanh."""
    return Stock(nn.RNN, net, prefix, dtype, device)


def rnn_relu(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Stock:
    """nn.RNN, rectified linear."""
    return Stock(nn.RNN, net, prefix, dtype, device, nonlinearity="relu")


def gru(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Stock:
    """nn.GRU, which resets after the product and trains both biases, as the specification does."""
    return Stock(nn.GRU, net, prefix, dtype, device)


def lstm(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Stock:
    """nn.LSTM, gates i, f, g, o."""
    return Stock(nn.LSTM, net, prefix, dtype, device)


class Stock:
    """A stack of layers as one module. ``params`` are the module's own tensors by canonical name, trained in place."""

    def __init__(
        self, layer: type[nn.RNNBase], net: Net, prefix: str, dtype: torch.dtype, device: str, **options: str
    ) -> None:
        layers, sizes = stack(net, prefix), net.sizes
        self._layer, self._layers = layer.__name__, layers
        self._module = layer(
            layers[0][0].inputs,
            sizes.hidden,
            sizes.layers,
            batch_first=True,
            bidirectional=sizes.bidirectional,
            dtype=dtype,
            device=device,
            **options,
        )
        self._names = [[d.prefix + s for d, _ in suffixes(layers)] for s in net.arch.state]
        self._packed: set[bool] = set()  # the paths taken so far
        self.params: Weights = {}
        for d, suffix in suffixes(layers):
            names = net.arch.shapes(d.inputs, sizes.hidden)
            self.params |= {d.prefix + name: getattr(self._module, NATIVE[name] + suffix) for name in names}
            if "c" not in names:
                nn.init.zeros_(getattr(self._module, NATIVE["c"] + suffix)).requires_grad_(False)
        self.layout = transposed(self.params)

    def run(
        self, x: Tensor, valid: Valid, state: Named, taps: Named | None = None, masks: Masks = NONE
    ) -> tuple[Tensor, Named]:
        """x (B, T, I), state (B, H) each -> y (B, T, F) and the final state; taps are refused."""
        if taps is not None:
            raise Unsupported(f"torch.nn.{self._layer}: a stock layer hides its inner states; use impl = scan")
        if len(self._layers) > 1 and masks:
            raise Unsupported(f"torch.nn.{self._layer}: takes no masks between its layers; use impl = scan")
        x = drop(masks, site(self._layers[0]), x)
        parts = tuple(torch.stack([state[n] for n in names]) for names in self._names)
        first = parts if len(parts) > 1 else parts[0]
        if valid.packing is None:
            y, last = self._module(x, first)
        else:  # sorted here and not in pack_padded_sequence, whose inverse looks at lengths that are on the device
            lengths, order, back = valid.packing
            packed = pack_padded_sequence(x.index_select(0, order), lengths, batch_first=True)
            y, last = self._module(PackedSequence(packed.data, packed.batch_sizes, order, back), first)
            y = PackedSequence(y.data, y.batch_sizes)
            y = pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0].index_select(0, back)
        self._packed.add(valid.packing is not None)
        last = last if isinstance(last, tuple) else (last,)
        final: Named = {}
        for names, part in zip(self._names, last, strict=True):
            final |= zip(names, part, strict=True)
        return y, final

    def ran(self) -> set[str]:
        """The layer and the kernels its batches went to so far, such as "torch.nn.LSTM packed, ATen"."""
        return {self._path(packed) for packed in self._packed} or {f"torch.nn.{self._layer}"}

    def _path(self, packed: bool) -> str:
        """Where ATen sends a call. On a CPU only a float32 LSTM goes to oneDNN, and only if it is not packed."""
        w, cpu, kernels = next(iter(self.params.values())), torch.backends.mkldnn, "ATen"
        if w.is_cuda and torch.backends.cudnn.is_acceptable(w):
            kernels = "cuDNN"
        elif self._layer == "LSTM" and w.dtype == torch.float32 and not (w.is_cuda or packed) and cpu.is_available():
            kernels = "oneDNN" if cpu.enabled else "ATen"
        return f"torch.nn.{self._layer}{' packed' * packed}, {kernels}"
