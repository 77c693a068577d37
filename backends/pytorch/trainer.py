"""A network on its device behind the Model protocol: parameters and slots stay there, changed in place.

Eager PyTorch queues work on cuda and returns; on the cpu it has run when it returns. `step` never asks for a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backends.pytorch import network
from backends.pytorch.cells import Weights
from backends.pytorch.layout import Layout, identity, to_canonical, to_native
from backends.pytorch.loss import loss_rows
from backends.pytorch.network import Data, Runner
from backends.pytorch.optim import Slots, norms, update
from backends.pytorch.scan import Named, Packing, Valid
from suite.spec.contract import Array, Batch, Net, Optim, Params, Precision, Snapshot, State, StepResult, Unsupported
from suite.spec.loss import counted
from suite.spec.optim import SLOTS, corrections, init_slots
from suite.spec.params import shapes, stacks, state_shapes


class Trainer:
    """One network in PyTorch; the promises are those of ``suite.spec.contract.Model``."""

    def __init__(
        self,
        net: Net,
        make: Callable[..., Runner],
        optim: Optim,
        snapshot: Snapshot,
        precision: Precision,
        device: str,
    ) -> None:
        self._net, self._optim, self._precision, self._device = net, optim, precision, device
        self._dtype: torch.dtype = getattr(torch, precision)
        self._stacks = {prefix: make(net, prefix, self._dtype, device) for prefix in stacks(net)}
        self._layout: Layout = identity(shapes(net))
        self._params: Weights = {name: self._zeros(shape).requires_grad_() for name, shape in shapes(net).items()}
        for runner in self._stacks.values():
            self._layout |= runner.layout
            self._params |= runner.params
        self._slots: Slots = {
            slot: {name: torch.zeros_like(p, requires_grad=False) for name, p in self._params.items()}
            for slot in SLOTS[optim.name]
        }
        self.load(snapshot)

    def put(self, batch: Batch) -> Data:
        """Host to device. What only the host can know is decided here: which rows are full, and how to pack."""
        sig = self._net.signature
        batch.check(sig)
        batch = counted(sig, batch)
        return Data(
            x=self._send(batch.x, torch.int64 if sig.tokens else self._dtype),
            valid=self._valid(batch.valid),
            y=self._send(batch.y, self._dtype if sig.loss == "mse" else torch.int64),
            scored=self._send(batch.scored, torch.bool),
            scale=1.0 / (batch.count * (sig.outputs if sig.loss == "mse" else 1)),
            y_in=None if batch.y_in is None else self._send(batch.y_in, torch.int64),
            y_valid=None if batch.y_in is None else self._valid(batch.y_valid),
            masks={site: self._send(m, self._dtype) for site, m in batch.masks.items()},
        )

    def step(self, handle: Data, lr: float) -> Tensor:
        """One update, in place; what it reports is still on the device."""
        self._step += 1
        rows, grads = self._gradients(handle)
        each = norms(grads)
        report = torch.cat([rows, each])
        c1, c2 = corrections(self._optim, self._step)
        update(self._optim, self._params, grads, self._slots, torch.linalg.vector_norm(each), lr, c1, c2)
        return report

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        """Unsupported."""
        raise Unsupported(
            "PyTorch makes an update of many calls, so that several at once save none; set steps_per_call = 1"
        )

    def wait(self, pending: Tensor) -> StepResult:
        """Block until that update is done: one transfer; the sums are float64 on the host."""
        rows, each = np.split(_host(pending), [-len(self._layout)])
        return StepResult(
            float(rows.sum()), float(np.linalg.norm(each)), dict(zip(self._layout, each.tolist(), strict=True))
        )

    def grads(self, handle: Data) -> tuple[float, Params]:
        """Loss and gradients, no update."""
        rows, grads = self._gradients(handle)
        return float(_host(rows).sum()), self._canonical(grads)

    @torch.inference_mode()
    def outputs(self, handle: Data, state: State | None = None) -> tuple[Array, State]:
        """Logits or values, and the final state, in the compute dtype."""
        first = self._zero_state(handle)
        if state is not None:
            first = {name: self._send(s, self._dtype) for name, s in state.items()}
        outputs, final = network.forward(self._net, self._stacks, self._params, handle, first)
        return outputs.cpu().numpy(), {name: s.cpu().numpy() for name, s in final.items()}

    @torch.inference_mode()
    def decode(self, handle: Data) -> Array:
        """Greedy decoding."""
        return network.decode(self._net, self._stacks, self._params, handle).to(torch.int32).cpu().numpy()

    def flow(self, handle: Data) -> dict[str, Array]:
        """Gradient flow of every carried state, by zeros added to it; Unsupported for stock layers."""
        taps: Named = {}
        for name, shape in state_shapes(self._net, len(handle.x)).items():
            read = handle.y_in if name.startswith("dec/") and handle.y_in is not None else handle.x
            taps[name] = self._zeros(()).expand(read.shape[1], *shape).requires_grad_()  # one zero, spread
        if not taps:
            return {}
        towards = torch.autograd.grad(self._rows(handle, taps).sum(), list(taps.values()), materialize_grads=True)
        return {name: _host(torch.linalg.vector_norm(d, dim=(1, 2))) for name, d in zip(taps, towards, strict=True)}

    def snapshot(self) -> Snapshot:
        """A copy of step, parameters and slots."""
        slots = {slot: self._canonical(values) for slot, values in self._slots.items()}
        return Snapshot(self._step, self._canonical(self._params), slots)

    @torch.no_grad()
    def load(self, snapshot: Snapshot) -> None:
        """Continue from ``snapshot``; missing slots start at zero."""
        self._step = snapshot.step
        slots = snapshot.slots or init_slots(self._optim, snapshot.params)
        for tensors, values in [(self._params, snapshot.params), *((self._slots[s], slots[s]) for s in self._slots)]:
            for name, value in to_native(self._layout, values).items():
                tensors[name].copy_(torch.tensor(value))

    def ran(self) -> str:
        """What really executes."""
        what = " + ".join(sorted(set().union(*(runner.ran() for runner in self._stacks.values()))))
        return f"{what}, {self._device} {self._precision}"

    def _gradients(self, batch: Data) -> tuple[Tensor, Weights]:
        """The rows of the loss (B,), and dL/dp in native layout."""
        rows = self._rows(batch)
        grads = torch.autograd.grad(rows.sum(), list(self._params.values()))
        return rows.detach(), dict(zip(self._params, grads, strict=True))

    def _rows(self, batch: Data, taps: Named | None = None) -> Tensor:
        outputs, _ = network.forward(self._net, self._stacks, self._params, batch, self._zero_state(batch), taps)
        return loss_rows(self._net.signature, outputs, batch)

    def _zero_state(self, batch: Data) -> Named:
        return network.zero_state(self._net, len(batch.x), self._dtype, self._device)

    def _zeros(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=self._dtype, device=self._device)

    def _send(self, value: Any, dtype: torch.dtype) -> Tensor:
        return torch.tensor(value, dtype=dtype, device=self._device)

    def _valid(self, mask: Array) -> Valid:
        sent = self._send(mask, torch.bool)
        if mask.all():
            return Valid(sent)
        lengths = mask.sum(1)
        order = np.argsort(-lengths, kind="stable")
        return Valid(
            sent,
            Packing(
                torch.tensor(lengths[order]),
                self._send(order, torch.int64),
                self._send(np.argsort(order), torch.int64),
            ),
        )

    def _canonical(self, native: Weights) -> Params:
        return to_canonical(self._layout, {name: _host(value) for name, value in native.items()})


def _host(value: Tensor) -> Array:
    """A float64 copy on the host."""
    return value.detach().cpu().to(torch.float64, copy=True).numpy()
