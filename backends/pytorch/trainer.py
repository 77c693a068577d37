"""A PyTorch network as a Model. Parameters and slots live on the device in the native layout and are changed in place.

Eager PyTorch queues work on cuda and returns; on the cpu it has run when it returns. `step` never asks for a value, and
`wait` fetches one vector: the loss of each row, then the norm of each gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backends.pytorch import network
from backends.pytorch.network import Data, Runner
from backends.pytorch.optim import norms, update
from backends.pytorch.scan import Named
from suite.spec.contract import Array, Batch, Net, Optim, Params, Precision, Snapshot, State, StepResult
from suite.spec.optim import SLOTS, corrections, init_slots
from suite.spec.params import shapes, stacks, state_shapes

Maker = Callable[[Net, str, torch.dtype, str], Runner]


@dataclass(frozen=True, slots=True)
class Pending:
    """An update under way: how many rows the batch had, and row losses and gradient norms in one vector (B + P,)."""

    rows: int
    report: Tensor


class Trainer:
    """One network on its device; the promises are those of ``suite.spec.contract.Model``."""

    def __init__(
        self, net: Net, maker: Maker, settings: Optim, snapshot: Snapshot, precision: Precision, device: str
    ) -> None:
        self._net, self._optim, self._device = net, settings, device
        self._dtype: torch.dtype = getattr(torch, precision)
        self._stacks = {prefix: maker(net, prefix, self._dtype, device) for prefix in stacks(net)}
        self._layout = next(iter(self._stacks.values())).layout
        owned = {name: p for runner in self._stacks.values() for name, p in runner.params.items()}
        self._params: Named = {
            name: owned[name] if name in owned else self._zeros(shape).requires_grad_()
            for name, shape in shapes(net).items()
        }
        self._slots: dict[str, Named] = {
            slot: {name: torch.zeros_like(p, requires_grad=False) for name, p in self._params.items()}
            for slot in SLOTS[settings.name]
        }
        self.load(snapshot)

    def put(self, batch: Batch) -> Data:
        """Host to device."""
        return network.put(self._net.signature, batch, self._dtype, self._device)

    def step(self, handle: Data, lr: float) -> Pending:
        """One update, in place."""
        self._step += 1
        rows, grads = self._gradients(handle)
        each = norms(grads)
        report = torch.cat([rows, each])
        c1, c2 = corrections(self._optim, self._step)
        update(self._optim, self._params, grads, self._slots, torch.linalg.vector_norm(each), lr, c1, c2)
        return Pending(len(rows), report)

    def wait(self, pending: Pending) -> StepResult:
        """Loss and norms of one update: one transfer; the sums are float64 on the host."""
        report = pending.report.cpu().numpy().astype(np.float64)
        rows, each = report[: pending.rows], report[pending.rows :]
        return StepResult(
            float(rows.sum()), float(np.linalg.norm(each)), dict(zip(self._params, each.tolist(), strict=True))
        )

    def grads(self, handle: Data) -> tuple[float, Params]:
        """Loss and gradients in canonical layout, no update."""
        rows, grads = self._gradients(handle)
        return float(_host(rows).sum()), self._canonical(grads)

    @torch.inference_mode()
    def outputs(self, handle: Data, state: State | None = None) -> tuple[Array, State]:
        """Logits or values, and the final state, in the compute dtype."""
        first = None
        if state is not None:
            first = {name: torch.tensor(s, dtype=self._dtype, device=self._device) for name, s in state.items()}
        outputs, final = network.forward(self._net, self._stacks, self._params, handle, first)
        return outputs.cpu().numpy(), {name: s.cpu().numpy() for name, s in final.items()}

    @torch.inference_mode()
    def decode(self, handle: Data) -> Array:
        """Greedy decoding: (B, longest_target) int32."""
        return network.decode(self._net, self._stacks, self._params, handle).to(torch.int32).cpu().numpy()

    def flow(self, handle: Data) -> dict[str, Array]:
        """||dL/ds_t|| of each carried state, as the gradient towards a zero that is added to each new state."""
        taps = {}
        for name, shape in state_shapes(self._net, len(handle.x)).items():
            steps = handle.y_in if name.startswith("dec/") and handle.y_in is not None else handle.x
            taps[name] = self._zeros((steps.shape[1], *shape)).requires_grad_()
        outputs, _ = network.forward(self._net, self._stacks, self._params, handle, taps=taps)
        loss = network.loss_rows(self._net.signature, outputs, handle).sum()
        towards = torch.autograd.grad(loss, list(taps.values()), materialize_grads=True)
        return {name: _host(torch.linalg.vector_norm(d, dim=(1, 2))) for name, d in zip(taps, towards, strict=True)}

    def snapshot(self) -> Snapshot:
        """A canonical float64 copy of step, parameters and slots."""
        slots = {slot: self._canonical(values) for slot, values in self._slots.items()}
        return Snapshot(self._step, self._canonical(self._params), slots)

    @torch.no_grad()
    def load(self, snapshot: Snapshot) -> None:
        """Continue from ``snapshot``; missing slots start at zero."""
        self._step = snapshot.step
        self._fill(self._params, snapshot.params)
        slots = snapshot.slots or init_slots(self._optim, snapshot.params)
        for slot, values in self._slots.items():
            self._fill(values, slots[slot])

    def ran(self) -> str:
        """What really executes."""
        return " + ".join(sorted(set().union(*(runner.ran() for runner in self._stacks.values()))))

    def _gradients(self, data: Data) -> tuple[Tensor, Named]:
        """Row losses (B,) and the gradients in native layout."""
        outputs, _ = network.forward(self._net, self._stacks, self._params, data)
        rows = network.loss_rows(self._net.signature, outputs, data)
        grads = torch.autograd.grad(rows.sum(), list(self._params.values()))
        return rows.detach(), dict(zip(self._params, grads, strict=True))

    def _canonical(self, native: Named) -> Params:
        return self._layout.to_canonical({name: _host(value) for name, value in native.items()})

    def _fill(self, native: Named, canonical: Params) -> None:
        for name, value in self._layout.to_native(canonical).items():
            native[name].copy_(torch.tensor(value))

    def _zeros(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=self._dtype, device=self._device)


def _host(value: Tensor) -> Array:
    """A float64 copy."""
    return value.detach().cpu().to(torch.float64, copy=True).numpy()
