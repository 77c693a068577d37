"""A user's torch.nn.Module for ``suite.verify``: a copy of it, its parameters by PyTorch's own names.

A canonical parameter that torch.nn has no name for is looked up by its canonical name: "layer0/P" as P_l0.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from backends.pytorch.layout import NATIVE, suffixes, to_canonical, to_native, transposed
from suite.spec.arch import Arch
from suite.spec.contract import Array, Net, Params, Signature, Sizes, State
from suite.spec.params import shapes, stack

OWN_FORWARDS = (nn.RNN.forward, nn.GRU.forward, nn.LSTM.forward)  # these take a PackedSequence

WAYS = {
    "final state": "returned as (y, h) or (y, (h, c))",
    "lengths": "a parameter `lengths` of forward",
    "first state": "a parameter `hx` of forward",
}


class Examinee:
    """A copy of the module; the original is not touched. RNN and LSTM get b as bias_ih and zero as bias_hh."""

    ways = WAYS

    def __init__(self, module: nn.Module, arch: Arch) -> None:
        self._module = copy.deepcopy(module).cpu().eval().requires_grad_()  # frozen ones have gradients too
        own = dict(self._module.named_parameters())
        if "weight_hh_l0" not in own or "weight_ih_l0" not in own:
            raise TypeError(
                f"verify: {type(module).__name__} has the parameters {', '.join(own)}; it must have those of "
                "torch.nn.GRU: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0"
            )
        self._batch_first = getattr(module, "batch_first", True)
        first, dtype = own["weight_ih_l0"], own["weight_ih_l0"].dtype
        layers = sum(name.startswith("weight_hh_l") and "reverse" not in name for name in own)
        self.inputs, self.precision = first.shape[1], str(dtype).removeprefix("torch.")
        self.sizes = Sizes(own["weight_hh_l0"].shape[1], layers, "weight_hh_l0_reverse" in own)
        net = Net(arch, Signature("label", "xent", self.inputs, 1, tokens=False), self.sizes)
        self._dtype, self._arch, self._scans = dtype, arch, [d.prefix for d, _ in suffixes(stack(net))]
        wanted = {name: shape for name, shape in shapes(net).items() if name.startswith("layer")}
        self._layout = transposed(wanted)
        self._places = {name: own.get(_native(name)) for name in wanted}
        self._second = [t for name, t in own.items() if name.startswith(NATIVE["c"]) and "c" not in arch.shapes(1, 1)]
        self.missing = tuple(name for name, tensor in self._places.items() if tensor is None)
        for name, tensor in self._places.items():
            want = wanted[name][:: -1 if self._layout[name] else 1]
            if tensor is not None and tuple(tensor.shape) != want:
                raise TypeError(
                    f"verify: {type(module).__name__} has {_native(name)} of shape {tuple(tensor.shape)}; "
                    f"{arch.name} with {self.inputs} inputs and H = {self.sizes.hidden} needs {want}"
                )
        arguments = inspect.signature(self._module.forward).parameters
        required = {name: one.default is inspect.Parameter.empty for name, one in arguments.items()}
        self._packs = getattr(type(module), "forward", None) in OWN_FORWARDS
        named = {"lengths": "lengths", "first state": "hx"}
        self.takes = {what: required[name] for what, name in named.items() if name in required}
        self.takes |= {"lengths": False} if self._packs else {}
        self._flat = False  # states are (B, H), and not (layers * directions, B, H)

    @torch.no_grad()
    def load(self, params: Params) -> None:
        """Canonical -> the module's own tensors."""
        native = to_native(self._layout, params)
        for name, tensor in self._places.items():
            if tensor is not None:
                tensor.copy_(torch.tensor(native[name]))
        for tensor in self._second:
            tensor.zero_()

    def run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State, str]:
        """x (B, T, I) -> y (B, T, F), the states that the module returns, and the dtype of both."""
        with torch.no_grad():
            y, final = self._run(self._tensors({"x": x, **(state or {})}), lengths)
        dtypes = {str(part.dtype).removeprefix("torch.") for part in (y, *final.values())}
        numbers = {name: part.to(torch.float64).numpy() for name, part in final.items()}
        return y.to(torch.float64).numpy(), numbers, " and ".join(sorted(dtypes))

    def vjp(self, x: Array, lengths: Array | None, state: State | None, dy: Array, dstate: State) -> Params:
        """Gradients of sum(y dy) + sum(state dstate) in canonical layout, towards x and a given state too."""
        given = self._tensors({"x": x, **(state or {})})
        sources = {name: tensor for name, tensor in self._places.items() if tensor is not None} | given
        y, final = self._run(given, lengths)
        pairs = [(y, dy), *((final[name], d) for name, d in dstate.items())]
        total = sum((part * torch.tensor(d, dtype=part.dtype)).sum() for part, d in pairs)
        tensors: list[Any] = list(sources.values())
        grads = torch.autograd.grad(total, tensors, allow_unused=True) if total.requires_grad else [None] * len(tensors)
        found = {
            name: np.zeros(tuple(t.shape)) if g is None else g.to(torch.float64).numpy()
            for (name, t), g in zip(sources.items(), grads, strict=True)
        }
        return to_canonical(self._layout, found) | {name: found[name] for name in given}

    def restore(self) -> None:
        """The original was never touched."""

    def _tensors(self, arrays: Params) -> dict[str, Tensor]:
        return {name: torch.tensor(a, dtype=self._dtype, requires_grad=True) for name, a in arrays.items()}

    def _run(self, given: dict[str, Tensor], lengths: Array | None) -> tuple[Tensor, dict[str, Tensor]]:
        """ "x" and perhaps the first states -> y, and the states that the module returns, canonical."""
        steps, first = given["x"].shape[1], self._batch_first
        batch: Any = given["x"] if first else given["x"].transpose(0, 1)
        arguments: dict[str, Any] = {}
        if len(given) > 1:
            parts = tuple(self._first(given, name) for name in self._arch.state)
            arguments["hx"] = parts if len(parts) > 1 else parts[0]
        if lengths is not None and self._packs:
            batch = pack_padded_sequence(batch, torch.tensor(lengths), batch_first=first, enforce_sorted=False)
        elif lengths is not None:
            arguments["lengths"] = torch.tensor(lengths)
        answer = self._module(batch, **arguments)
        y, *rest = answer if isinstance(answer, tuple | list) else (answer,)
        if isinstance(y, PackedSequence):
            y, _ = pad_packed_sequence(y, batch_first=first, total_length=steps)
        return y if first else y.transpose(0, 1), self._states(rest)

    def _states(self, rest: list[Any]) -> dict[str, Tensor]:
        """What follows y, h or (h, c) or h, c -> canonical states; a part of another shape stays whole."""
        parts = [
            part for one in rest for part in (one if isinstance(one, tuple | list) else (one,)) if part is not None
        ]
        if len(parts) > len(self._arch.state):
            raise TypeError(
                f"verify: the module returns {len(parts)} states; {self._arch.name} has {len(self._arch.state)}"
            )
        final: dict[str, Tensor] = {}
        for name, part in zip(self._arch.state, parts, strict=False):
            self._flat = part.ndim == 2
            scans = part[None] if self._flat else part
            whole = len(scans) != len(self._scans)
            final |= {prefix + name: part if whole else scans[k] for k, prefix in enumerate(self._scans)}
        return final

    def _first(self, given: dict[str, Tensor], name: str) -> Tensor:
        parts = [given[prefix + name] for prefix in self._scans]
        return parts[0] if self._flat else torch.stack(parts)


def _native(name: str) -> str:
    """ "layer1/bwd/W" -> "weight_ih_l1_reverse"."""
    layer, *way, last = name.split("/")
    return f"{NATIVE.get(last, last)}_l{layer.removeprefix('layer')}" + "_reverse" * (way == ["bwd"])
