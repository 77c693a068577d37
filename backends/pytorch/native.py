"""The masked scan as one C++ kernel each way: fused.py's mathematics and tape, with no Python between the steps.

native.cpp runs all the steps of a loop, native_build.py compiles it. What remains here is what PyTorch must know of a
loop, and the gradients of the weights: products over all time steps, after ``fused_cells``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import increment_version

from backends.pytorch.cells import State, Step, Weights
from backends.pytorch.fused import cut, neighbours, split
from backends.pytorch.fused_cells import CELLS
from backends.pytorch.native_build import built
from backends.pytorch.scan import ALONE, Scan, alone, scan
from suite.spec.contract import Net, Unsupported

_ADDRESS, _PAIR, _SIZE = ctypes.c_void_p, ctypes.c_void_p * 2, ctypes.c_int64


class Loop(ctypes.Structure):
    """What a loop is given, as in native.cpp."""

    _fields_ = (
        *((name, _SIZE) for name in ("steps", "rows", "width", "reverse", "threads")),
        *(("valid", _ADDRESS), ("weights", _PAIR), ("a", _ADDRESS), ("tape", _ADDRESS)),
        *(("states", _PAIR), ("made", _PAIR), ("taps", _PAIR), ("y", _ADDRESS), ("dstate", _PAIR)),
    )


class Recurrence(torch.autograd.Function):
    """The loop as one operation: (step, reverse, valid, a, *weights, *state, *taps) -> y, *final state."""

    @staticmethod
    def forward(ctx: Any, step: Step, reverse: bool, valid: Tensor | None, a: Tensor, *given: Tensor) -> State:
        """Shapes as in `loop`."""
        cell = CELLS[step]
        weights, state, taps = split(cell, [v.contiguous() for v in given])
        steps, (rows, width) = len(a), state[0].shape
        tape = a.new_empty(steps, rows, len(cell.columns) * width)
        stacks = [s.new_empty(steps + 1, rows, width) for s in state]
        for stack, s in zip(stacks, state, strict=True):
            stack[-1 if reverse else 0] = s
        new = [s.new_empty(steps, rows, width) for s in state] if taps else []  # before the taps are added
        _, y = neighbours(stacks[0], reverse)
        y = y if valid is None else torch.empty_like(y)
        out = None if valid is None else y
        _run("forward", step, reverse, valid, tape, weights, stacks, new, taps, out, a=a.contiguous())
        ctx.step, ctx.reverse = step, reverse
        ctx.save_for_backward(valid, tape, *weights, *stacks, *new)
        return y, *(stack[0 if reverse else -1] for stack in stacks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *dlast: Tensor) -> tuple[Tensor | None, ...]:
        """dy (T, B, H), dlast (B, H) each -> the gradients of what `forward` took."""
        cell, reverse = CELLS[ctx.step], ctx.reverse
        valid, tape, *saved = ctx.saved_tensors
        weights, stacks, new = split(cell, saved)
        ds, dtaps = [d.clone(memory_format=torch.contiguous_format) for d in dlast], [torch.empty_like(s) for s in new]
        _run("backward", ctx.step, reverse, valid, tape, weights, stacks, new, dtaps, dy.contiguous(), ds=ds)
        increment_version(tape)  # what it was is gone: a second way back is an error
        before, after = zip(*(neighbours(s, reverse) for s in stacks), strict=True)
        (da,) = cut(tape, cell.columns, cell.inputs)
        dweights = list(cell.weights(da, tape, before, new or after))
        if cell.turned:
            dweights = [d.roll(-ds[0].shape[1], -1) for d in dweights]
        return None, None, None, da, *dweights, *ds, *dtaps


def loop(
    step: Step, p: Weights, a: Tensor, valid: Tensor | None, state: State, reverse: bool, taps: State | None
) -> tuple[Tensor, State]:
    """As `scan`: a (T, B, GH), valid (T, B, 1) or None, state (B, H) each, taps (T, B, H) each -> y and final state."""
    if alone(a):
        return scan(step, p, a, valid, state, reverse, taps)
    mask = None if valid is None else valid.contiguous()
    weights = [p[name] for name in CELLS[step].names]
    y, *final = Recurrence.apply(step, reverse, mask, a, *weights, *state, *(taps or ()))
    return y, tuple(final)


def make(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Scan:
    """The stack of layers below ``prefix``, each a loop in C++. Unsupported where that does not build or run."""
    if device != "cpu":
        raise Unsupported(f"native is C++ for a CPU, and the device is {device!r}: set device = 'cpu' or impl = fused")
    return Scan(net, prefix, dtype, device, loop, f"C++ loop over time ({built().by}), {ALONE}")


def _run(
    way: str,
    step: Step,
    reverse: bool,
    valid: Tensor | None,
    tape: Tensor,
    weights: Sequence[Tensor],
    stacks: Sequence[Tensor],
    new: Sequence[Tensor],
    taps: Sequence[Tensor],
    y: Tensor | None,
    a: Tensor | None = None,
    ds: Sequence[Tensor] = (),
) -> None:
    """All steps one way; shapes as in native.cpp. The other threads of Python run meanwhile."""
    rows, width = stacks[0].shape[1:]
    call = getattr(built().library, f"{step.__name__}_{way}_{str(tape.dtype).removeprefix('torch.')}")
    sizes = (len(tape), rows, width, reverse, torch.get_num_threads())
    before = (_address(valid), _addresses(weights), _address(a), _address(tape))
    call(ctypes.byref(Loop(*sizes, *before, *map(_addresses, (stacks, new, taps)), _address(y), _addresses(ds))))


def _address(v: Tensor | None) -> int | None:
    if v is None:
        return None
    assert v.is_contiguous() and v.device.type == "cpu", "the kernel reads rows one after the other"
    return v.data_ptr()


def _addresses(views: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return _PAIR(*map(_address, views))
