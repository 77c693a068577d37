"""A network on its device behind the Model protocol: parameters and slots stay there, donated from update to update."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backends.jax import network
from backends.jax.cells import Params as Native
from backends.jax.layout import to_canonical, to_native
from backends.jax.network import Handle, Runner, Runners
from backends.jax.optim import Slots, norms, update
from backends.jax.scan import Named
from suite.spec.contract import Array, Batch, Net, Optim, Params, Precision, Snapshot, State, StepResult
from suite.spec.optim import SLOTS, corrections, init_slots
from suite.spec.params import shapes, stacks, state_shapes


class Trainer:
    """One network: five jitted functions, compiled once for a shape of batch. ``step`` returns before it has run."""

    _params: Native
    _slots: Slots

    def __init__(
        self,
        net: Net,
        make: Callable[[Net, str], Runner],
        optim: Optim,
        snapshot: Snapshot,
        precision: Precision,
        device: Any,
    ) -> None:
        self._net, self._optim, self._dtype, self._device = net, optim, np.dtype(precision), device
        self._names = list(shapes(net))
        runners = {prefix: make(net, prefix) for prefix in stacks(net)}
        self._update = jax.jit(partial(_update, net, runners, optim, self._names), donate_argnums=(0, 1))
        self._grads = jax.jit(partial(_gradients, net, runners))
        self._forward = jax.jit(partial(network.forward, net, runners))
        self._decode = jax.jit(partial(network.decode, net, runners))
        self._flow = jax.jit(partial(_flow, net, runners))
        self.load(snapshot)

    def put(self, batch: Batch) -> Handle:
        """Host to device, features cast once. An id outside its vocabulary is a ValueError: JAX would clamp it."""
        sig = self._net.signature
        for name, ids, size in (("x", batch.x if sig.tokens else None, sig.inputs), ("y_in", batch.y_in, sig.outputs)):
            if ids is not None and not (ids.min() >= 0 and ids.max() < size):
                raise ValueError(f"batch: {name} holds ids {ids.min()}..{ids.max()}; they must lie in 0..{size - 1}")
        return Handle(
            x=self._send(batch.x, np.int32 if sig.tokens else self._dtype),
            lengths=self._send(batch.lengths, np.int32),
            y=self._send(batch.y, self._dtype if sig.loss == "mse" else np.int32),
            scored=self._send(batch.scored, np.bool_),
            scale=self._send(1.0 / batch.count, self._dtype),
            y_in=None if batch.y_in is None else self._send(batch.y_in, np.int32),
            y_lengths=None if batch.y_lengths is None else self._send(batch.y_lengths, np.int32),
        )

    def step(self, handle: Handle, lr: float) -> jax.Array:
        """One update, dispatched."""
        self._step += 1
        scalars = np.array((lr, *corrections(self._optim, self._step)), self._dtype)
        self._params, self._slots, report = self._update(self._params, self._slots, handle, scalars)
        return report

    def wait(self, pending: jax.Array) -> StepResult:
        """Block until that update is done: one transfer; the sums are float64 on the host."""
        rows, each = np.split(np.asarray(pending, np.float64), [-len(self._names)])
        return StepResult(
            float(rows.sum()), float(np.linalg.norm(each)), dict(zip(self._names, each.tolist(), strict=True))
        )

    def grads(self, handle: Handle) -> tuple[float, Params]:
        """Loss and gradients, no update."""
        grads, rows = self._grads(self._params, handle)
        return float(np.asarray(rows, np.float64).sum()), self._fetch(grads)

    def outputs(self, handle: Handle, state: State | None = None) -> tuple[Array, State]:
        """Logits or values, and the final state, in the compute dtype."""
        rows = len(handle.x)
        if state is None:
            state = {name: np.zeros(shape) for name, shape in state_shapes(self._net, rows).items()}
        first = {name: self._send(s, self._dtype) for name, s in state.items()}
        outputs, final = self._forward(self._params, handle, first)
        return np.array(outputs), {name: np.array(s) for name, s in final.items()}

    def decode(self, handle: Handle) -> Array:
        """Greedy decoding."""
        return np.array(self._decode(self._params, handle))

    def flow(self, handle: Handle) -> dict[str, Array]:
        """Gradient flow of every carried state."""
        return {name: np.array(f, np.float64) for name, f in self._flow(self._params, handle).items()}

    def snapshot(self) -> Snapshot:
        """A copy of step, parameters and slots."""
        slots = {slot: self._fetch(values) for slot, values in self._slots.items()}
        return Snapshot(self._step, self._fetch(self._params), slots)

    def load(self, snapshot: Snapshot) -> None:
        """Continue from ``snapshot``; missing slots start at zero."""
        slots = snapshot.slots or init_slots(self._optim, snapshot.params)
        self._step, self._params = snapshot.step, self._native(snapshot.params)
        self._slots = {slot: self._native(slots[slot]) for slot in SLOTS[self._optim.name]}

    def ran(self) -> str:
        """What really executes."""
        flushed = ", subnormal numbers flushed to zero" if self._device.platform == "cpu" else ""
        return f"jax.jit of lax.scan, {self._device.platform} {self._dtype}{flushed}"

    def _send(self, value: Any, dtype: Any) -> jax.Array:
        """To the device, from a copy: JAX may keep the host's memory, and a donated buffer is written to."""
        return jax.device_put(np.array(value, dtype), self._device)

    def _native(self, params: Params) -> Native:
        return {name: self._send(p, self._dtype) for name, p in to_native(params).items()}

    def _fetch(self, native: Native) -> Params:
        params = to_canonical({name: np.array(native[name], np.float64) for name in native})
        return {name: params[name] for name in self._names}


def _gradients(net: Net, runners: Runners, p: Native, batch: Handle) -> tuple[Native, jax.Array]:
    """dL/dp and the rows of the loss (B,)."""

    def loss(p: Native) -> tuple[jax.Array, jax.Array]:
        outputs, _ = network.forward(net, runners, p, batch, network.zero_state(net, p, len(batch.x)))
        rows = network.loss_rows(net.signature, outputs, batch)
        return rows.sum(), rows

    return jax.grad(loss, has_aux=True)(p)


def _update(
    net: Net,
    runners: Runners,
    optim: Optim,
    names: list[str],
    p: Native,
    slots: Slots,
    batch: Handle,
    scalars: jax.Array,
) -> tuple[Native, Slots, jax.Array]:
    """One update; scalars are (lr, c1, c2). The report: rows of the loss, norms of ``names``."""
    grads, rows = _gradients(net, runners, p, batch)
    each = norms(names, grads)
    p, slots = update(optim, p, grads, slots, jnp.linalg.norm(each), *scalars)
    return p, slots, jnp.concatenate([rows, each])


def _flow(net: Net, runners: Runners, p: Native, batch: Handle) -> Named:
    """||dL/ds_t|| for each carried state, (T,) or for a decoder (S,): the gradient of zeros added to the states."""
    rows, steps = batch.x.shape[:2]
    first = network.zero_state(net, p, rows)

    def loss(taps: Named) -> jax.Array:
        outputs, _ = network.forward(net, runners, p, batch, first, taps)
        return network.loss_rows(net.signature, outputs, batch).sum()

    def tap(name: str, s: jax.Array) -> jax.Array:
        return jnp.zeros((batch.y.shape[1] if name.startswith("dec/") else steps, *s.shape), s.dtype)

    taps = jax.grad(loss)({name: tap(name, s) for name, s in first.items()})
    return {name: jnp.sqrt(jnp.sum(jnp.square(d), axis=(1, 2))) for name, d in taps.items()}
