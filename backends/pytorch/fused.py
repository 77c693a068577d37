"""The masked scan with a derivative by hand: a torch.autograd.Function around one loop each way.

    s_t = where(valid_t, step(a_t, s_{t-1}) + tap_t, s_{t-1})      y_t = where(valid_t, s_t[0], 0)

and back, from the cotangents of y and of the last state:

    d_t = dL/ds_t + dL/dy_t      dL/ds_{t-1} = where(valid_t, d_t ds_t/ds_{t-1}, dL/ds_t)      dL/dtap_t = valid_t d_t

The loop back has nothing in it but the recurrence: products with the d_t and with U^T. Their factors are made for a
slab of steps at once, as many as stay in the cache; at a pad they are 0, and 1 where the state is carried on. Each
weight's gradient is one product over all time steps after the loop. A step's functions are in ``fused_cells``.

Where there are pads, what is real is 1.0 and what is a pad 0.0: a lerp is exact at both and takes a quarter of a
where's time. A pad's input must be finite, as it must for the weights' gradients, in which it is multiplied by 0.

The gradients dL/da take the place of the gates: a second way back over the same tape is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from backends.pytorch.cells import State, Step, Weights, before_loop
from backends.pytorch.fused_cells import CELLS, Cell, Parts
from backends.pytorch.scan import ALONE, Scan, alone, scan
from suite.spec.contract import Net

SLAB = 2**16  # numbers of one gate whose factors are computed at once, on a CPU


class Recurrence(torch.autograd.Function):
    """The loop as one operation: (step, reverse, valid, a, *weights, *state, *taps) -> y, *final state."""

    @staticmethod
    def forward(ctx: Any, step: Step, reverse: bool, valid: Tensor | None, a: Tensor, *given: Tensor) -> State:
        """Shapes as in `loop`."""
        cell = CELLS[step]
        weights, state, taps = split(cell, given)
        p, steps, (rows, width) = _read(step, cell, weights), len(a), state[0].shape
        tape = a.new_empty(steps, rows, len(cell.columns) * width)
        stacks = [s.new_empty(steps + 1, rows, width) for s in state]
        for stack, s in zip(stacks, state, strict=True):
            stack[-1 if reverse else 0] = s
        olds, nows = neighbours(_each(stacks), reverse)
        ctx.added = bool(taps) and not _nothing(taps)
        added = _each(taps) if ctx.added else ()
        reads, writes = cell.forward_cuts
        shares, gates = _each(cut(a, cell.inputs, reads)), _each(cut(tape, cell.columns, writes))
        real = None if valid is None else valid.to(a.dtype)
        masks = None if real is None else real.unbind(0)
        for t in reversed(range(steps)) if reverse else range(steps):
            cell.forward(p, shares[t], olds[t], gates[t], nows[t])
            if added:
                for s, tap in zip(nows[t], added[t], strict=True):
                    s.add_(tap)
            if masks is not None:
                for s, old in zip(nows[t], olds[t], strict=True):
                    torch.lerp(old, s, masks[t], out=s)
        ctx.step, ctx.reverse = step, reverse
        ctx.save_for_backward(real, tape, *weights, *stacks, *taps)
        _, y = neighbours(stacks[0], reverse)
        y = y if real is None else y * real
        return y, *(stack[0 if reverse else -1] for stack in stacks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *dlast: Tensor) -> tuple[Tensor | None, ...]:
        """dy (T, B, H), dlast (B, H) each -> the gradients of what `forward` took."""
        cell, reverse = CELLS[ctx.step], ctx.reverse
        real, tape, *saved = ctx.saved_tensors
        weights, stacks, taps = split(cell, saved)
        p, pairs = _read(ctx.step, cell, weights), [neighbours(s, reverse) for s in stacks]
        before, after = zip(*pairs, strict=True)
        new = [s - tap for s, tap in zip(after, taps, strict=True)] if ctx.added else after
        through = None  # dL/dh on its way over pads, unless a gate of 1 is its way
        if real is not None:
            dy = dy * real
            through = None if cell.kept[0] else (1 - real).unbind(0)
        dys, nothing = dy.unbind(0), torch.zeros_like(dy[0])
        earlier = [*dys[1:], nothing] if reverse else [nothing, *dys[:-1]]
        ways = [torch.empty_like(s) for s in stacks] if taps else [s.new_empty(2, *s.shape[1:]) for s in stacks]
        places = _each(ways) if taps else _each(ways) * (len(stacks[0]) // 2 + 1)  # of dL/ds: every one, or in turn
        towards, ds = neighbours(places[: len(stacks[0])], reverse)
        torch.add(dlast[0], dys[0 if reverse else -1], out=ds[0 if reverse else -1][0])
        for d, last in zip(ds[0 if reverse else -1][1:], dlast[1:], strict=True):
            d.copy_(last)
        gates = _each(cut(tape, cell.columns, cell.backward_cuts[1]))
        for t, k in _factors(cell, p, tape, before, new, real, reverse):
            dh = earlier[t] if through is None else torch.addcmul(earlier[t], ds[t][0], through[t])
            cell.backward(p, k, gates[t], ds[t], dh, towards[t])
        dtaps = [neighbours(way, reverse)[1] for way in ways] if taps else []
        if real is not None:
            dtaps = [d * real for d in dtaps]
        (da,) = cut(tape, cell.columns, cell.inputs)
        dfirst = towards[-1 if reverse else 0]
        return None, None, None, da, *cell.weights(da, tape, before, new), *dfirst, *dtaps


def loop(
    step: Step, p: Weights, a: Tensor, valid: Tensor | None, state: State, reverse: bool, taps: State | None
) -> tuple[Tensor, State]:
    """As `scan`: a (T, B, GH), valid (T, B, 1) or None, state (B, H) each, taps (T, B, H) each -> y and final state."""
    if alone(a):
        return scan(step, p, a, valid, state, reverse, taps)
    cell = CELLS[step]
    weights = [p[name] for name in cell.names]
    if cell.turned:
        weights = [w.roll(state[0].shape[1], -1) for w in weights]
    y, *final = Recurrence.apply(step, reverse, valid, a, *weights, *state, *(taps or ()))
    return y, tuple(final)


def make(net: Net, prefix: str, dtype: torch.dtype, device: str) -> Scan:
    """The stack of layers below ``prefix``, each a loop with a derivative by hand."""
    return Scan(net, prefix, dtype, device, loop, f"torch.autograd.Function around an eager loop, {ALONE}")


def cut(v: Tensor, columns: str, cuts: str) -> list[Tensor]:
    """Views of the blocks of v's columns: v (T, B, .) -> "rz" (T, B, 2H), "r|z" (T, 2, B, H)."""
    width, out = v.shape[2] // len(columns), []
    for name in cuts.split():
        letters = name.replace("|", "")
        part = v.narrow(2, columns.index(letters) * width, len(letters) * width)
        out.append(part.unflatten(2, (-1, width)).transpose(1, 2) if "|" in name else part)
    return out


def _factors(
    cell: Cell, p: Weights, tape: Tensor, before: Parts, new: Parts, real: Tensor | None, reverse: bool
) -> Iterator[tuple[int, State]]:
    """(t, its factors) for every step from the loop's last to its first."""
    steps, blocks = len(tape), len(cell.columns)
    length = steps if tape.is_cuda else min(steps, max(1, SLAB // before[0][0].numel()))
    k = tape.new_empty(length, *tape.shape[1:])
    ks, one = _each(cut(k, cell.columns, cell.backward_cuts[0])), tape.new_ones(())
    for start in range(0, steps, length) if reverse else reversed(range(0, steps, length)):
        slab = slice(start, min(start + length, steps))
        gates, made = tape[slab], k[: slab.stop - start]
        old, now = [s[slab] for s in before], [s[slab] for s in new]
        cell.factors(p, gates.chunk(blocks, 2), old, now, made.chunk(blocks, 2))
        if real is not None:
            made.mul_(real[slab])
            for kept in cut(gates, cell.columns, " ".join(cell.kept)):
                torch.lerp(one, kept, real[slab], out=kept)
        for t in range(start, slab.stop) if reverse else reversed(range(start, slab.stop)):
            yield t, ks[t - start]


def split(cell: Cell, given: Sequence[Tensor]) -> tuple[Parts, Parts, Parts]:
    """The weights, what there is of each part of the state, and what there may be of it besides."""
    weights, state = len(cell.names), len(cell.names) + len(cell.kept)
    return given[:weights], given[weights:state], given[state:]


def _read(step: Step, cell: Cell, weights: Parts) -> Weights:
    """The weights as a step reads them, the matrices turned too."""
    p = before_loop(step, dict(zip(cell.names, weights, strict=True)))
    return p | {f"{name}_T": w.t() for name, w in p.items() if name.startswith("U")}


def _nothing(taps: Parts) -> bool:
    """Whether each is one zero spread over its shape, as in `flow`: to be differentiated by, and not worth adding."""
    return all(max(tap.stride()) == 0 and float(tap[0, 0, 0]) == 0 for tap in taps)


def neighbours(states: Any, reverse: bool) -> tuple[Any, Any]:
    """T + 1 states -> those before and those after each step, T each."""
    return (states[1:], states[:-1]) if reverse else (states[:-1], states[1:])


def _each(views: Parts) -> list[State]:
    """What each step has of the views (T, ...)."""
    return list(zip(*(v.unbind(0) for v in views), strict=True))
