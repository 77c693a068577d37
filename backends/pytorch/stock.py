"""PyTorch's own recurrent layers, carrying the specification: nn.RNN, nn.GRU, nn.LSTM.

Layers and directions are the module's own (num_layers, bidirectional); padded batches are packed, which stops each row
at its length in both directions and writes zeros at pads. The one bias of RNN and LSTM is bias_ih; bias_hh stays zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from backends.pytorch.layout import NATIVE, TRANSPOSED, suffixes
from backends.pytorch.scan import Named, Steps
from suite.spec.contract import Net, Unsupported
from suite.spec.params import stack


def rnn(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Stock:
    """nn.RNN, tanh."""
    return Stock(nn.RNN, net, prefix, dtype, device)


def gru(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Stock:
    """nn.GRU, which resets after the product and trains both biases, as the specification does."""
    return Stock(nn.GRU, net, prefix, dtype, device)


def lstm(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Stock:
    """nn.LSTM, gates i, f, g, o."""
    return Stock(nn.LSTM, net, prefix, dtype, device)


class Stock:
    """A stack of layers as one module. ``params`` are the module's own tensors by canonical name, trained in place."""

    layout = TRANSPOSED

    def __init__(self, layer: type[nn.RNNBase], net: Net, prefix: str, dtype: torch.dtype, device: str) -> None:
        layers, sizes = stack(net, prefix), net.sizes
        self._layer = layer.__name__
        self._module = layer(
            layers[0][0].inputs,
            sizes.hidden,
            sizes.layers,
            batch_first=True,
            bidirectional=sizes.bidirectional,
            dtype=dtype,
            device=device,
        )
        self._names = {s: [d.prefix + s for d, _ in suffixes(layers)] for s in net.arch.state}
        self._seen: set[str] = set()
        self.params: Named = {}
        for d, suffix in suffixes(layers):
            for name in net.arch.shapes(d.inputs, sizes.hidden):
                self.params[d.prefix + name] = getattr(self._module, NATIVE[name] + suffix)
            if "c" not in net.arch.shapes(d.inputs, sizes.hidden):
                nn.init.zeros_(getattr(self._module, NATIVE["c"] + suffix)).requires_grad_(False)

    def run(self, x: Tensor, steps: Steps, state: Named | None, taps: Named | None = None) -> tuple[Tensor, Named]:
        """x (B, T, I) -> top outputs (B, T, F), final states. ``state`` None starts from zero; taps are refused."""
        if taps is not None:
            raise Unsupported(f"torch.nn.{self._layer}: a stock layer hides its inner states; use impl = scan")
        first = None
        if state is not None:
            parts = tuple(torch.stack([state[n] for n in names]) for names in self._names.values())
            first = parts if len(parts) > 1 else parts[0]
        if steps.lengths is None:
            y, last = self._module(x, first)
        else:
            packed = pack_padded_sequence(x, steps.lengths, batch_first=True, enforce_sorted=False)
            y, last = self._module(packed, first)
            y, _ = pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
        self._seen.add(self._path(x, packed=steps.lengths is not None))
        last = last if isinstance(last, tuple) else (last,)
        final = {
            n: s
            for names, part in zip(self._names.values(), last, strict=True)
            for n, s in zip(names, part, strict=True)
        }
        return y, final

    def ran(self) -> set[str]:
        """The layer and the kernels its batches went to so far, such as "torch.nn.LSTM packed, ATen"."""
        return self._seen or {f"torch.nn.{self._layer}"}

    def _path(self, x: Tensor, packed: bool) -> str:
        """Where ATen sends this call. On a CPU only a float32 LSTM goes to oneDNN, and only if it is not packed."""
        cpu = torch.backends.mkldnn
        if x.is_cuda:
            kernels = "cuDNN" if torch.backends.cudnn.is_acceptable(x) else "ATen"
        elif self._layer == "LSTM" and x.dtype == torch.float32 and not packed and cpu.is_available() and cpu.enabled:
            kernels = "oneDNN"
        else:
            kernels = "ATen"
        return f"torch.nn.{self._layer}{' packed' * packed}, {kernels}"
