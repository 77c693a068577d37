"""Wrong cells for the exam to find: the oracle around an architecture with one mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from backends.reference.trainer import Trainer
from suite.exam.checks import Maker
from suite.spec.archs import ARCHS
from suite.spec.contract import Net, Optim, Params, Snapshot


def bent(bend: Callable[[Params], Params], adjoint: Callable[[Params], Params]) -> Maker:
    """A model whose cell reads ``bend(p)`` for p; ``adjoint`` brings the gradients back."""

    def make(net: Net, settings: Optim, snapshot: Snapshot) -> Trainer:
        arch = net.arch

        def step(p: Params, x: Any, state: Any) -> Any:
            return arch.step(bend(p), x, state)

        def step_vjp(p: Params, tape: Any, dstate: Any) -> Any:
            dx, before, dp = arch.step_vjp(bend(p), tape, dstate)
            return dx, before, adjoint(dp)

        return Trainer(replace(net, arch=replace(arch, step=step, step_vjp=step_vjp)), settings, snapshot)

    return make


def swap(gates: int, a: int, b: int) -> Maker:
    def bend(p: Params) -> Params:
        out = {}
        for name, v in p.items():
            blocks = np.split(v, gates, axis=-1)
            blocks[a], blocks[b] = blocks[b], blocks[a]
            out[name] = np.concatenate(blocks, axis=-1)
        return out

    return bent(bend, bend)


def change(name: str, f: Callable[[Any], Any], adjoint: Callable[[Any], Any]) -> Maker:
    return bent(lambda p: p | {name: f(p[name])}, lambda dp: dp | {name: adjoint(dp[name])})


def on_gradient(name: str, f: Callable[[Any], Any]) -> Maker:
    return change(name, lambda v: v, f)


def transposed(u: Any) -> Any:
    return np.concatenate([block.T for block in np.split(u, 3, axis=1)], axis=1)


def reset_before(net: Net, settings: Optim, snapshot: Snapshot) -> Trainer:
    before = ARCHS["gru_before"]

    def step(p: Params, x: Any, state: Any) -> Any:
        return before.step(p | {"b": p["b"] + p["c"]}, x, state)

    def step_vjp(p: Params, tape: Any, dstate: Any) -> Any:
        dx, back, dp = before.step_vjp(p, tape, dstate)
        return dx, back, dp | {"c": dp["b"]}

    return Trainer(replace(net, arch=replace(net.arch, step=step, step_vjp=step_vjp)), settings, snapshot)


def no_carry(net: Net, settings: Optim, snapshot: Snapshot) -> Trainer:
    def step(p: Params, x: Any, state: Any) -> Any:
        _, tape = net.arch.step(p, x, state)
        _, _, r, z, n, _ = tape
        plain = np.tanh(x @ p["W"] + p["b"] + state[0] @ p["U"] + p["c"])[:, -n.shape[1] :]
        return ((1 - z) * r * plain,), tape

    return Trainer(replace(net, arch=replace(net.arch, step=step)), settings, snapshot)


def add_forget(by: float) -> Maker:
    return change("b", lambda b: b + np.repeat([0, by, 0, 0], len(b) // 4), lambda g: g)
