"""A user's torch.nn.Module for ``suite.verify``: a copy of it, its parameters by PyTorch's own names."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from backends.pytorch.layout import NATIVE, suffixes, to_canonical, to_native, transposed
from suite.spec.archs import ARCHS
from suite.spec.contract import Array, Net, Params, Signature, Sizes
from suite.spec.params import stack


class Examinee:
    """A copy of the module; the original is not touched. RNN and LSTM get b as bias_ih and zero as bias_hh."""

    def __init__(self, module: nn.Module, arch: str) -> None:
        self._module = copy.deepcopy(module).cpu().eval().requires_grad_()  # frozen ones have gradients too
        own = dict(self._module.named_parameters())
        if "weight_hh_l0" not in own:
            raise TypeError(
                f"verify: {type(module).__name__} has the parameters {', '.join(own)}; it must have those of "
                "torch.nn.GRU: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0"
            )
        self._batch_first = getattr(module, "batch_first", True)
        first, dtype = own["weight_ih_l0"], own["weight_ih_l0"].dtype
        layers = sum(name.startswith("weight_hh_l") and "reverse" not in name for name in own)
        self.inputs, self.precision = first.shape[1], str(dtype).removeprefix("torch.")
        self.sizes = Sizes(own["weight_hh_l0"].shape[1], layers, "weight_hh_l0_reverse" in own)
        net = Net(ARCHS[arch], Signature("label", "xent", self.inputs, 1, tokens=False), self.sizes)
        self._dtype, self._arch = dtype, net.arch
        self._places = {
            d.prefix + name: (own.get(NATIVE[name] + suffix), own.get(NATIVE["c"] + suffix))
            for d, suffix in suffixes(stack(net))
            for name in net.arch.shapes(d.inputs, self.sizes.hidden)
        }
        self._layout = transposed(self._places)
        self.missing = tuple(name for name, (tensor, _) in self._places.items() if tensor is None)

    @torch.no_grad()
    def load(self, params: Params) -> None:
        """Canonical -> the module's own tensors."""
        native = to_native(self._layout, params)
        for name, (tensor, second) in self._places.items():
            if tensor is not None:
                tensor.copy_(torch.tensor(native[name]))
            if second is not None and "c" not in self._arch.shapes(1, 1):
                second.zero_()

    def outputs(self, x: Array) -> Array:
        """x (B, T, I) -> (B, T, F)."""
        with torch.no_grad():
            return np.asarray(self._run(x).numpy(), dtype=np.float64)

    def vjp(self, x: Array, dy: Array) -> Params:
        """Gradients of sum(y dy) in canonical layout."""
        tensors = {name: tensor for name, (tensor, _) in self._places.items() if tensor is not None}
        y = self._run(x)
        grads = torch.autograd.grad(y, list(tensors.values()), torch.tensor(dy, dtype=self._dtype), allow_unused=True)
        native = {
            name: np.zeros(tuple(t.shape)) if g is None else g.to(torch.float64).numpy()
            for (name, t), g in zip(tensors.items(), grads, strict=True)
        }
        return to_canonical(self._layout, native)

    def restore(self) -> None:
        """The original was never touched."""

    def _run(self, x: Array) -> Tensor:
        batch = torch.tensor(x, dtype=self._dtype)
        y = self._module(batch if self._batch_first else batch.transpose(0, 1))
        y = y[0] if isinstance(y, tuple) else y
        return y if self._batch_first else y.transpose(0, 1)
