"""Wrong models for the exam to find: the oracle with one mistake each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from backends.reference.trainer import Trainer
from suite.exam.checks import Maker
from suite.spec import optim
from suite.spec.contract import Batch, Optim, Snapshot, Unsupported


def on_batch(f: Callable[[Batch], Batch]) -> Maker:
    class Other(Trainer):
        def put(self, batch: Batch) -> Batch:
            return f(batch)

    return Other


def other_optimiser(f: Callable[[Optim], Optim]) -> Maker:
    return lambda net, settings, snapshot: Trainer(net, f(settings), snapshot)


class MaskIgnored(Trainer):
    """Pads are read as input."""

    def put(self, batch: Batch) -> Batch:
        return replace(batch, lengths=np.full_like(batch.lengths, batch.x.shape[1]))


class OneNaN(Trainer):
    def outputs(self, handle: Any, state: Any = None) -> Any:
        out, final = super().outputs(handle, state)
        out = out.copy()
        out[(0,) * out.ndim] = np.nan
        return out, final


class NaNGradient(Trainer):
    def grads(self, handle: Any) -> Any:
        loss, grads = super().grads(handle)
        grads["head/d"] = grads["head/d"] * np.nan
        return loss, grads


class Forgetful(Trainer):
    """The state that is handed over is not used."""

    def outputs(self, handle: Any, state: Any = None) -> Any:
        return super().outputs(handle)


class SlotsLost(Trainer):
    def load(self, snapshot: Snapshot) -> None:
        super().load(replace(snapshot, slots={}))


class StepLost(Trainer):
    def load(self, snapshot: Snapshot) -> None:
        super().load(replace(snapshot, step=0))


class LayoutWrong(Trainer):
    """Gates are permuted on the way out."""

    def snapshot(self) -> Snapshot:
        s = super().snapshot()
        p = {n: np.roll(v, v.shape[-1] // 3, axis=-1) if n.endswith("/W") else v for n, v in s.params.items()}
        return replace(s, params=p)


class Leak(Trainer):
    """The next token is read instead of this one."""

    def put(self, batch: Batch) -> Batch:
        return replace(batch, x=np.roll(batch.x, -1, axis=1))


class NoStop(Trainer):
    def decode(self, handle: Any) -> Any:
        out = super().decode(handle)
        return np.where(out == 0, 1, out)


class NormAfterClip(Trainer):
    def step(self, handle: Any, lr: float) -> Any:
        result = super().step(handle, lr)
        return replace(result, grad_norm=min(result.grad_norm, self._optim.clip))


class NormsSwapped(Trainer):
    def step(self, handle: Any, lr: float) -> Any:
        r = super().step(handle, lr)
        return replace(r, param_norms=dict(zip(r.param_norms, reversed(r.param_norms.values()), strict=True)))


class DirectFlow(Trainer):
    """The gradient flow of the last step alone."""

    def flow(self, handle: Any) -> Any:
        return {name: np.where(np.arange(len(f)) < len(f) - 1, 0, f) for name, f in super().flow(handle).items()}


class SinglePrecision(Trainer):
    """float64 was asked for, float32 is what runs."""

    def load(self, snapshot: Snapshot) -> None:
        p = {n: v.astype(np.float32).astype(np.float64) for n, v in snapshot.params.items()}
        super().load(replace(snapshot, params=p))


class Noisy(Trainer):
    """A rounding error that differs from run to run."""

    calls = 0

    def wait(self, pending: Any) -> Any:
        Noisy.calls += 1
        return replace(pending, loss=pending.loss * (1 + 2**-50 * (Noisy.calls % 3)))


class EpsHat(Trainer):
    """Adam with epsilon inside the bias correction."""

    def step(self, handle: Any, lr: float) -> Any:
        _, c2 = optim.corrections(self._optim, self._step + 1)
        kept = self._optim
        self._optim = replace(kept, eps=kept.eps * c2)
        result = super().step(handle, lr)
        self._optim = kept
        return result


class DecaysAll(Trainer):
    def step(self, handle: Any, lr: float) -> Any:
        before = self._params
        result = super().step(handle, lr)
        extra = lr * self._optim.weight_decay
        self._params = {n: p if optim.decays(n) else p - extra * before[n] for n, p in self._params.items()}
        return result


class BackwardFromPads(Trainer):
    """Both directions run, but the backward one starts in the pads."""

    def outputs(self, handle: Batch, state: Any = None) -> Any:
        if not self._net.sizes.bidirectional:
            return super().outputs(handle, state)
        return super().outputs(replace(handle, lengths=np.full_like(handle.lengths, handle.x.shape[1])), state)


class FullRowsCut(Trainer):
    """Where every row is full, no gradient flows through time."""

    def grads(self, handle: Batch) -> Any:
        loss, grads = super().grads(handle)
        full = bool(handle.valid.all()) and handle.x.shape[1] > 1
        return loss, {n: g * 0 if full and n.endswith("/U") else g for n, g in grads.items()}


class MomentumLost(Trainer):
    """Plain momentum is left out; Nesterov's is right."""

    def step(self, handle: Any, lr: float) -> Any:
        if self._optim.name == "sgd" and not self._optim.nesterov:
            self._slots = {"v": {n: v * 0 for n, v in self._slots["v"].items()}}
        return super().step(handle, lr)


class LastOfEquals(Trainer):
    def decode(self, handle: Any) -> Any:
        kept = self._params["head/d"]
        self._params["head/d"] = kept + 1e-15 * np.arange(len(kept))
        out = super().decode(handle)
        self._params["head/d"] = kept
        return out


class LiveView(Trainer):
    """The snapshot is not a copy: a later update shows through it."""

    def snapshot(self) -> Snapshot:
        return Snapshot(self._step, self._params, self._slots)

    def step(self, handle: Any, lr: float) -> Any:
        before = self._params
        result = super().step(handle, lr)
        for name, value in self._params.items():
            before[name][...] = value
        return result


class LastReport(Trainer):
    """Waiting gives the newest report, whichever update it was asked for."""

    def step(self, handle: Any, lr: float) -> Any:
        self._report = super().step(handle, lr)
        return self._report

    def wait(self, pending: Any) -> Any:
        return self._report


class StepLossOff(Trainer):
    def step(self, handle: Any, lr: float) -> Any:
        r = super().step(handle, lr)
        return replace(r, loss=2 * r.loss) if self._net.signature.loss == "mse" else r


class NoFlow(Trainer):
    def flow(self, handle: Any) -> Any:
        raise Unsupported("a stock layer hides its states, it says")


class HalfWidth(Trainer):
    def outputs(self, handle: Any, state: Any = None) -> Any:
        out, final = super().outputs(handle, state)
        return out.astype(np.float32), final


class StepForgotten(Trainer):
    """The snapshot tells the step that was loaded."""

    def load(self, snapshot: Snapshot) -> None:
        self._loaded = snapshot.step
        super().load(snapshot)

    def snapshot(self) -> Snapshot:
        return replace(super().snapshot(), step=self._loaded)


def all_scored(batch: Batch) -> Batch:
    return replace(batch, scored=np.ones_like(batch.scored))
