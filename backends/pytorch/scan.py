"""The masked loop over time around a cell, one Python iteration a step, and the same loop under torch.compile.

    s_t = where(valid_t, step(a_t, s_{t-1}), s_{t-1})      y_t = where(valid_t, s_t[0], 0)

a = x W + b is computed for all steps at once. Where every row is full the eager loop leaves the masks out: the numbers
are the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from backends.pytorch.cells import CELLS, State, Step, Weights, affine, before_loop
from backends.pytorch.layout import IDENTITY
from suite.spec.contract import Net, Unsupported
from suite.spec.params import of, stack

Named = dict[str, Tensor]  # "layer0/h" -> (B, H), or parameters by canonical name


class Steps(NamedTuple):
    """Which steps of each row are real: valid (B, T) on the device; lengths (B,) on the host, None if all are full."""

    valid: Tensor
    lengths: Tensor | None


def scan(
    step: Step, p: Weights, x: Tensor, valid: Tensor | None, state: State, reverse: bool, taps: State | None
) -> tuple[Tensor, State]:
    """x (B, T, I) -> y (B, T, H), final state. valid (B, T), None = all; taps (T, B, H) are added to each new state."""
    a = affine(x, p["W"], p["b"]).unbind(1)
    p = before_loop(step, p)
    masks = None if valid is None else valid.t().unsqueeze(2).unbind(0)  # (B, 1) each
    y = list(a)
    for t in reversed(range(len(a))) if reverse else range(len(a)):
        new = step(p, a[t], state)
        if taps is not None:
            new = tuple(n + tap[t] for n, tap in zip(new, taps, strict=True))
        if masks is not None:
            new = tuple(torch.where(masks[t], n, s) for n, s in zip(new, state, strict=True))
        state, y[t] = new, new[0]
    out = torch.stack(y, 1)
    return out if valid is None else torch.where(valid.unsqueeze(2), out, 0.0), state


def compiled_scan(device: str) -> Callable[..., tuple[Tensor, State]]:
    """`scan` through torch.compile: one graph for each shape. Unsupported where nothing can compile for ``device``."""
    # imported here: it takes a second or more, which the eager loop need not wait
    from torch._dynamo import config
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    if device == "cuda" and importlib.util.find_spec("triton") is None:
        raise Unsupported("torch.compile needs triton on cuda, and it is not installed: use impl = scan")
    try:
        if device == "cpu":
            get_cpp_compiler()
    except InvalidCxxCompiler:
        raise Unsupported("torch.compile finds no C++ compiler: install g++ or set CXX; or use impl = scan") from None
    # every layer, direction, shape and mode of every model shares this one function's cache; 8 graphs is the default
    config.recompile_limit, config.accumulated_recompile_limit = 256, 1024
    return torch.compile(scan, fullgraph=True, dynamic=False)


class Scan:
    """A stack of layers as loops. It owns its parameters, canonical in name and layout."""

    layout = IDENTITY

    def __init__(self, net: Net, prefix: str, dtype: torch.dtype, device: str, compiled: bool) -> None:
        self._layers, self._names, self._hidden = stack(net, prefix), net.arch.state, net.sizes.hidden
        self._step, self._compiled = CELLS[net.arch.name], compiled
        self._loop: Callable[..., tuple[Tensor, State]] = compiled_scan(device) if compiled else scan
        self.params: Named = {
            d.prefix + name: torch.zeros(shape, dtype=dtype, device=device, requires_grad=True)
            for layer in self._layers
            for d in layer
            for name, shape in net.arch.shapes(d.inputs, self._hidden).items()
        }
        self._weights = {d.prefix: of(self.params, d.prefix) for layer in self._layers for d in layer}

    def run(self, x: Tensor, steps: Steps, state: Named | None, taps: Named | None = None) -> tuple[Tensor, Named]:
        """x (B, T, I) -> top outputs (B, T, F), final states. ``state`` None starts from zero."""
        final: Named = {}
        # compiled, the masks stay: a batch that happens to be full must not compile anew
        valid = None if steps.lengths is None and not self._compiled else steps.valid
        for layer in self._layers:
            ys = []
            for d in layer:
                names = [d.prefix + s for s in self._names]
                first = tuple(x.new_zeros(len(x), self._hidden) if state is None else state[n] for n in names)
                eps = None if taps is None else tuple(taps[n] for n in names)
                y, last = self._loop(self._step, self._weights[d.prefix], x, valid, first, d.reverse, eps)
                final |= dict(zip(names, last, strict=True))
                ys.append(y)
            x = ys[0] if len(ys) == 1 else torch.cat(ys, 2)
        return x, final

    def ran(self) -> set[str]:
        """What executes."""
        return {"torch.compile inductor loop" if self._compiled else "torch eager loop"}


def make(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Scan:
    """The stack below ``prefix`` as an eager loop."""
    return Scan(net, prefix, dtype, device, compiled=False)


def make_compiled(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Scan:
    """The stack below ``prefix`` as a compiled loop; Unsupported where there is no compiler."""
    return Scan(net, prefix, dtype, device, compiled=True)
