"""The oracle as a Model: every call is plain NumPy in float64, synchronous, and slow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from suite.spec import network, optim
from suite.spec.contract import Array, Batch, Net, Optim, Params, Snapshot, State, StepResult, Unsupported


class Trainer:
    """One network in float64 NumPy. ``put`` and ``step`` do their work at once; ``wait`` only hands it over."""

    def __init__(self, net: Net, settings: Optim, snapshot: Snapshot) -> None:
        self._net, self._optim = net, settings
        self._step = 0
        self._params: Params = {}
        self._slots: dict[str, Params] = {}
        self.load(snapshot)

    def put(self, batch: Batch) -> Batch:
        """The batch itself: there is no device."""
        batch.check(self._net.signature)
        return batch

    def step(self, handle: Batch, lr: float) -> StepResult:
        """One update."""
        g = network.gradients(self._net, self._params, handle)
        self._step += 1
        self._params, self._slots, norm = optim.update(self._optim, lr, self._step, self._params, g.params, self._slots)
        norms = {name: math.sqrt(float(np.sum(d**2))) for name, d in g.params.items()}
        return StepResult(g.loss, norm, norms)

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        """Unsupported."""
        raise Unsupported("NumPy has no call of an update to save; set steps_per_call = 1")

    def wait(self, pending: StepResult) -> StepResult:
        """What `step` returned."""
        return pending

    def grads(self, handle: Batch) -> tuple[float, Params]:
        """Loss and gradients, no update."""
        g = network.gradients(self._net, self._params, handle)
        return g.loss, g.params

    def outputs(self, handle: Batch, state: State | None = None) -> tuple[Array, State]:
        """Logits or values, and the final state."""
        outputs, final, _ = network.forward(self._net, self._params, handle, state)
        return outputs, final

    def decode(self, handle: Batch) -> Array:
        """Greedy decoding."""
        return network.decode(self._net, self._params, handle)

    def flow(self, handle: Batch) -> dict[str, Array]:
        """Gradient flow of every carried state."""
        return network.gradients(self._net, self._params, handle).flow

    def snapshot(self) -> Snapshot:
        """A copy of step, parameters and slots."""
        slots = {slot: {n: v.copy() for n, v in values.items()} for slot, values in self._slots.items()}
        return Snapshot(self._step, {n: p.copy() for n, p in self._params.items()}, slots)

    def load(self, snapshot: Snapshot) -> None:
        """Continue from ``snapshot``; missing slots start at zero."""
        self._step, self._params = snapshot.step, dict(snapshot.params)
        self._slots = dict(snapshot.slots) or optim.init_slots(self._optim, self._params)

    def ran(self) -> str:
        """What really executes."""
        return f"numpy {np.__version__}, hand-derived VJP, cpu float64"
