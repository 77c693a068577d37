"""A network on its device: five functions traced once for each shape of input, over variables in native layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from backends.tensorflow import network, optim
from backends.tensorflow.layout import Layout, identity, to_canonical, to_native
from backends.tensorflow.network import Named, Runner
from suite.spec.contract import Array, Batch, Net, Optim, Params, Precision, Snapshot, State, StepResult
from suite.spec.optim import SLOTS, corrections, init_slots
from suite.spec.params import shapes, stacks, state_shapes


class Trainer:
    """One network in TensorFlow. On a CPU ``step`` returns when the update is done, on a GPU before it has run."""

    def __init__(
        self,
        net: Net,
        make: Callable[..., Runner],
        settings: Optim,
        snapshot: Snapshot,
        precision: Precision,
        device: str,
    ) -> None:
        self._net, self._optim, self._device = net, settings, device
        self._dtype = tf.as_dtype(precision)
        self._stacks = {prefix: make(net, prefix, self._dtype, device) for prefix in stacks(net)}
        places: Layout = {}
        self._params: Named = {}
        for runner in self._stacks.values():
            places |= runner.layout
            self._params |= runner.params
        for name, shape in shapes(net).items():
            if name not in places:  # embeddings and head
                places |= identity([name])
                self._params[name] = tf.Variable(tf.zeros(shape, self._dtype))
        self._layout: Layout = {name: places[name] for name in shapes(net)}
        self._slots = {
            slot: {name: tf.Variable(tf.zeros_like(p)) for name, p in self._params.items()}
            for slot in SLOTS[settings.name]
        }
        self._compiled = any(runner.compiled for runner in self._stacks.values())
        self._run_step = self._function(self._graph_step)
        self._run_grads = self._function(self._graph_grads)
        self._run_outputs = self._function(self._graph_outputs)
        self._run_decode = self._function(self._graph_decode)
        self._run_flow = self._function(self._graph_flow)
        self.load(snapshot)

    def put(self, batch: Batch) -> Named:
        """Tensors of the compute dtype. Tokens are int64, because TensorFlow keeps int32 on the host."""
        sig = self._net.signature
        values = sig.outputs if sig.loss == "mse" else 1
        out = {
            "x": tf.constant(batch.x, tf.int64 if sig.tokens else self._dtype),
            "valid": tf.constant(batch.valid),
            "y": tf.constant(batch.y, self._dtype if sig.loss == "mse" else tf.int64),
            "scored": tf.constant(batch.scored),
            "scale": tf.constant(1.0 / (batch.count * values), self._dtype),
        }
        if batch.y_in is not None and batch.y_lengths is not None:
            out["y_in"] = tf.constant(batch.y_in, tf.int64)
            out["y_valid"] = tf.constant(np.arange(batch.y_in.shape[1]) < batch.y_lengths[:, None])
        return out

    def step(self, handle: Named, lr: float) -> tf.Tensor:
        """One update, as one call of one function."""
        self._step += 1
        host = tf.constant((lr, *corrections(self._optim, self._step)), self._dtype)
        return self._run_step(handle, host)

    def wait(self, pending: tf.Tensor) -> StepResult:
        """What that update reports, in one transfer."""
        flat = _host(pending)
        rows, norms = np.split(flat, [len(flat) - len(self._layout)])
        return StepResult(
            float(rows.sum()), float(np.linalg.norm(norms)), dict(zip(self._layout, norms.tolist(), strict=True))
        )

    def grads(self, handle: Named) -> tuple[float, Params]:
        """Loss and gradients, no update."""
        rows, grads = self._run_grads(handle)
        return float(_host(rows).sum()), to_canonical(self._layout, {name: _host(g) for name, g in grads.items()})

    def outputs(self, handle: Named, state: State | None = None) -> tuple[Array, State]:
        """Logits or values in the compute dtype, and the final state."""
        first = network.zero_state(self._net, handle["x"].shape[0], self._dtype)
        if state is not None:
            first = {name: tf.constant(state[name], self._dtype) for name in first}
        outputs, final = self._run_outputs(handle, first)
        return outputs.numpy(), {name: s.numpy() for name, s in final.items()}

    def decode(self, handle: Named) -> Array:
        """Greedy decoding."""
        return self._run_decode(handle).numpy().astype(np.int32)

    def flow(self, handle: Named) -> dict[str, Array]:
        """Gradient flow of every carried state; Unsupported for stock layers."""
        return {name: _host(norms) for name, norms in self._run_flow(handle).items()}

    def snapshot(self) -> Snapshot:
        """A copy of step, parameters and slots."""
        slots = {slot: self._canonical(values) for slot, values in self._slots.items()}
        return Snapshot(self._step, self._canonical(self._params), slots)

    def load(self, snapshot: Snapshot) -> None:
        """Continue from ``snapshot``; missing slots start at zero."""
        self._step = snapshot.step
        slots = snapshot.slots or init_slots(self._optim, snapshot.params)
        for variables, values in [(self._params, snapshot.params), *((self._slots[s], slots[s]) for s in self._slots)]:
            for name, value in to_native(self._layout, values).items():
                variables[name].assign(tf.constant(value, self._dtype))

    def ran(self) -> str:
        """What really executes."""
        kernels = " + ".join(dict.fromkeys(runner.kernel for runner in self._stacks.values()))
        how = "tf.function compiled by XLA" if self._compiled else "tf.function"
        flushed = ", subnormal numbers flushed to zero" if self._device == "cpu" else ""
        return f"{kernels} in a {how}, {self._device} {self._dtype.name}{flushed}"

    def _function(self, graph: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(graph, autograph=False, jit_compile=self._compiled)

    def _canonical(self, variables: Named) -> Params:
        return to_canonical(self._layout, {name: _host(v) for name, v in variables.items()})

    def _graph_step(self, batch: Named, host: tf.Tensor) -> tf.Tensor:
        rows, grads = self._graph_grads(batch)
        norms = optim.norms(self._layout, grads)
        optim.update(self._optim, self._layout, self._params, grads, self._slots, norms, host)
        return tf.concat([rows, norms], axis=0)

    def _graph_grads(self, batch: Named) -> tuple[tf.Tensor, Named]:
        with tf.GradientTape() as tape:
            rows = self._graph_rows(batch)
        grads = tape.gradient(rows, self._params)
        return rows, {name: tf.convert_to_tensor(g) for name, g in grads.items()}  # an embedding's is sparse until here

    def _graph_flow(self, batch: Named) -> Named:
        rows = batch["x"].shape[0]
        taps = {
            name: tf.zeros((batch["y_in" if name.startswith("dec/") else "x"].shape[1], *shape), self._dtype)
            for name, shape in state_shapes(self._net, rows).items()
        }
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(taps)
            loss = self._graph_rows(batch, taps)
        return {name: tf.sqrt(tf.reduce_sum(g**2, axis=(1, 2))) for name, g in tape.gradient(loss, taps).items()}

    def _graph_rows(self, batch: Named, taps: Named | None = None) -> tf.Tensor:
        state = network.zero_state(self._net, batch["x"].shape[0], self._dtype)
        outputs, _ = network.forward(self._net, self._params, self._stacks, batch, state, taps)
        return network.loss_rows(self._net.signature, outputs, batch)

    def _graph_outputs(self, batch: Named, state: Named) -> tuple[tf.Tensor, Named]:
        return network.forward(self._net, self._params, self._stacks, batch, state)

    def _graph_decode(self, batch: Named) -> tf.Tensor:
        return network.decode(self._net, self._params, self._stacks, batch)


def _host(tensor: tf.Tensor) -> Array:
    """A float64 copy on the host."""
    return tensor.numpy().astype(np.float64)
