"""The masked scan over time around a cell, one Python iteration a step, and the same loop under torch.compile.

    s_t = where(valid_t, step(a_t, s_{t-1}) + tap_t, s_{t-1})      y_t = where(valid_t, s_t[0], 0)

The input's share a is computed for all steps at once. The taps are zeros to differentiate by: dL/dtap_t = dL/ds_t.
Time comes first inside a stack. Where every row is full the eager loop leaves the masks out: the numbers are the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backends.pytorch.cells import CELLS, State, Step, Weights, before_loop, inputs
from backends.pytorch.layout import identity
from suite.spec.contract import Net, Unsupported
from suite.spec.dropout import NONE, Masks, site
from suite.spec.params import link, of, shapes, stack

Named = dict[str, Tensor]  # "layer0/h" -> state (B, H), or taps (T, B, H)
Loop = Callable[..., tuple[Tensor, State]]


class Packing(NamedTuple):
    """Rows by falling length: lengths (B,) on the host; the order and its inverse (B,) on the device."""

    lengths: Tensor
    order: Tensor
    back: Tensor


class Valid(NamedTuple):
    """Which steps are real: mask (B, T) on the device, and how to pack them; no packing where every row is full."""

    mask: Tensor
    packing: Packing | None = None


def scan(
    step: Step, p: Weights, a: Tensor, valid: Tensor | None, state: State, reverse: bool, taps: State | None
) -> tuple[Tensor, State]:
    """a (T, B, GH), valid (T, B, 1) or None, state (B, H) each, taps (T, B, H) each -> y (T, B, H), final state."""
    a = a.unbind(0)
    masks = None if valid is None else valid.unbind(0)
    y = list(a)
    for t in reversed(range(len(a))) if reverse else range(len(a)):
        new = step(p, a[t], state)
        if taps is not None:
            new = tuple(n + tap[t] for n, tap in zip(new, taps, strict=True))
        if masks is not None:
            new = tuple(torch.where(masks[t], n, s) for n, s in zip(new, state, strict=True))
        state, y[t] = new, new[0]
    out = torch.stack(y)
    return out if valid is None else torch.where(valid, out, 0.0), state


ALONE = "single steps without a way back as scan"  # see `alone`


def alone(a: Tensor) -> bool:
    """Whether there is one step and no way back, as in a stream or in decoding: then nothing is to be kept.

    What keeps it costs more than that step: with `scan` in its place a GRU's at H64 takes 0.53 of the time of `fused`'s
    and 0.68 of `native`'s, and a word's decoding at H256 0.83 and 0.61.
    """
    return len(a) == 1 and not torch.is_grad_enabled()


class Scan:
    """A stack of layers of one or two directions, each a masked scan of the same cell."""

    def __init__(
        self,
        net: Net,
        prefix: str,
        dtype: torch.dtype,
        device: str,
        loop: Loop = scan,
        what: str = "torch eager loop",
        masked: bool = False,  # even where every row is full
    ) -> None:
        self._step, self._carried, self._layers = CELLS[net.arch.equations], net.arch.state, stack(net, prefix)
        self._loop, self._what, self._masked, self._residual = loop, what, masked, net.arch.residual
        own = {n: shape for n, shape in shapes(net).items() if n.startswith((f"{prefix}layer", f"{prefix}skip"))}
        self.layout = identity(own)
        self.params = {n: torch.zeros(s, dtype=dtype, device=device, requires_grad=True) for n, s in own.items()}
        self._weights = {d.prefix: of(self.params, d.prefix) for layer in self._layers for d in layer}

    def run(
        self, x: Tensor, valid: Valid, state: Named, taps: Named | None = None, masks: Masks = NONE
    ) -> tuple[Tensor, Named]:
        """x (B, T, I), state (B, H) each, taps (T, B, H) each -> y (B, T, F) and the final state."""
        x = x.transpose(0, 1).contiguous()  # (T, B, I)
        mask = valid.mask.t().unsqueeze(2) if self._masked or valid.packing is not None else None  # (T, B, 1)
        final: Named = {}
        for layer in self._layers:
            ys, read = [], x * masks[site(layer)] if site(layer) in masks else x
            for d in layer:
                names = [d.prefix + s for s in self._carried]
                first = tuple(state[name] for name in names)
                eps = tuple(taps[name] for name in names) if taps else None
                own = self._weights[d.prefix]
                a = inputs(self._step, own, read)
                y, last = self._loop(self._step, before_loop(self._step, own), a, mask, first, d.reverse, eps)
                final |= zip(names, last, strict=True)
                ys.append(y)
            y = ys[0] if len(ys) == 1 else torch.cat(ys, -1)
            if self._residual:
                kept, name = x if mask is None else torch.where(mask, x, 0.0), link(layer)
                y = y + (kept @ self.params[name] if name in self.params else kept)
            x = y
        return x.transpose(0, 1), final

    def ran(self) -> set[str]:
        """What executes."""
        return {self._what}


def make(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Scan:
    """The stack of layers below ``prefix``, as an eager loop."""
    return Scan(net, prefix, dtype, device)


def make_compiled(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Scan:
    """The same loop through torch.compile, one graph for each shape; Unsupported where nothing compiles for it."""
    # the masks stay: a batch that happens to be full must not compile anew
    return Scan(net, prefix, dtype, device, compiler(device)(scan), "torch.compile inductor loop", masked=True)


def compiler(device: str) -> Callable[..., Any]:
    """torch.compile, with one graph for each shape; Unsupported where nothing compiles for the device."""
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
    # every layer, direction, shape and mode of every model shares one function's cache; 8 graphs is the default
    config.recompile_limit, config.accumulated_recompile_limit = 256, 1024
    return partial(torch.compile, fullgraph=True, dynamic=False)
