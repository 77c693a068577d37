"""The exam finds the mistakes of the less common cells, each called by its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from backends.reference.trainer import Trainer
from suite.exam import diagnose_cells
from suite.exam.cases import CASES, LABEL, Case
from suite.exam.checks import Maker, check_case
from suite.spec import network
from suite.spec.arch import Step
from suite.spec.archs import ARCHS, layer_norm
from suite.spec.contract import Net, Optim, Params, Snapshot
from tests.faults_cells import add_forget, change, swap
from tests.faults_networks import during


def stepping(step: Step, step_vjp: Step | None = None) -> Maker:
    """The oracle with another step (and, where it has its own, another gradient)."""

    def make(net: Net, settings: Optim, snapshot: Snapshot) -> Trainer:
        arch = replace(net.arch, step=step, step_vjp=step_vjp or net.arch.step_vjp)
        return Trainer(replace(net, arch=arch), settings, snapshot)

    return make


def mistaken(arch: str, text: str) -> Maker:
    """A mistake that the diagnosis knows; the tape is the honest one, so that gradients are wrong in their own way."""
    wrong, honest = diagnose_cells.STEPS[arch][text], ARCHS[arch].step
    return stepping(lambda p, x, state: (wrong(p, x, state)[0], honest(p, x, state)[1]))


def unbiased(v: Any) -> Any:
    """Layer normalisation with N - 1 under the variance."""
    d = v - v.mean(-1, keepdims=True)
    size = np.sqrt((d * d).sum(-1, keepdims=True) / max(1, v.shape[-1] - 1) + layer_norm.EPS)
    return d / size, (d / size, size)


def gate_by_gate(gates: int) -> Any:
    """Layer normalisation of each gate's columns alone."""
    honest = layer_norm.norm

    def norm(v: Any) -> Any:
        parts = [honest(part) for part in np.split(v, gates, axis=1)]
        y = np.concatenate([part for part, _ in parts], axis=1)
        return y, (y, np.concatenate([np.broadcast_to(size, part.shape) for part, (_, size) in parts], axis=1))

    return norm


def reset_after(p: Params, x: Any, state: Any) -> Any:
    return ARCHS["gru"].step(p | {"c": np.zeros_like(p["b"])}, x, state)[0], ARCHS["gru_before"].step(p, x, state)[1]


def through_the_kink(p: Params, tape: Any, dstate: Any) -> Any:
    x, h, on = tape
    return ARCHS["rnn_relu"].step_vjp(p, (x, h, np.ones_like(on)), dstate)


@dataclass(frozen=True)
class Fault:
    """A wrong model, the cell it is planted in, and the words that the exam must fail with."""

    arch: str
    make: Maker
    words: tuple[str, ...]


FAULTS: dict[str, Fault] = (
    {
        f"{arch}: {text}": Fault(arch, mistaken(arch, text), ("label/outputs", f"({text})"))
        for arch, mistakes in diagnose_cells.STEPS.items()
        for text in mistakes
    }
    | {
        "gru_article: the right GRU, gradients too": Fault(
            "gru_article",
            stepping(ARCHS["gru_before"].step, ARCHS["gru_before"].step_vjp),
            ("label/outputs", "this is a GRU", "label/gradients"),
        ),
        "rnn_relu: gradient through the kink": Fault(
            "rnn_relu", stepping(ARCHS["rnn_relu"].step, through_the_kink), ("label/gradients at",)
        ),
        "gru4rec: reset after": Fault("gru4rec", stepping(reset_after), ("label/outputs", "reset is applied after")),
        "mgu: gates swapped": Fault("mgu", swap(2, 0, 1), ("label/outputs", "gates f and n are swapped")),
        "lstm_peephole: P rows swapped": Fault(
            "lstm_peephole",
            change("P", lambda v: v[[1, 0, 2]], lambda v: v[[1, 0, 2]]),
            ("label/outputs", "the rows of P are in the order f, i, o"),
        ),
        "lstm_peephole: no peepholes": Fault(
            "lstm_peephole", change("P", np.zeros_like, np.zeros_like), ("label/outputs", "peepholes are missing")
        ),
        "lstm_ln: forget bias added": Fault("lstm_ln", add_forget(1.0), ("1 is added to the forget bias",)),
    }
    | {
        f"{arch}: {text}": Fault(arch, make, words)
        for arch, gates in (("gru_ln", 3), ("lstm_ln", 4))
        for text, make, words in (
            ("epsilon 1e-3", during(layer_norm, "EPS", 1e-3), ("label/outputs", "label/gradients at")),
            ("variance unbiased", during(layer_norm, "norm", unbiased), ("label/outputs", "label/gradients at")),
            ("gate by gate", during(layer_norm, "norm", gate_by_gate(gates)), ("label/outputs", "label/gradients at")),
            ("gain missing", change("k", np.ones_like, lambda g: g), ("a gain of layer normalisation is missing (k)",)),
        )
    }
)


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found(name: str) -> None:
    fault = FAULTS[name]
    arch = ARCHS[fault.arch]
    model = fault.make(LABEL.net(arch), LABEL.optim, Snapshot(0, LABEL.params(arch)))
    failed = "\n".join(str(c) for c in check_case(model, arch, "float64", LABEL, stock=False) if not c.ok)
    for words in fault.words:
        assert words in failed, f"expected {words!r} in\n{failed}"


def sums(case: Case) -> list[Any]:
    """What every step of rnn_relu takes the positive part of, over a case."""
    found: list[Any] = []
    arch = ARCHS["rnn_relu"]

    def step(p: Params, x: Any, state: Any) -> Any:
        found.append(np.abs(x @ p["W"] + state[0] @ p["U"] + p["b"]))
        return arch.step(p, x, state)

    network.forward(case.net(replace(arch, step=step)), case.params(arch), case.batch())
    return found


@pytest.mark.parametrize("case", [case for case in CASES if case.fits(ARCHS["rnn_relu"])], ids=lambda case: case.name)
def test_no_case_sits_on_the_kink(case: Case) -> None:
    nearest = min(float(a.min()) for a in sums(case))
    assert nearest > 1e-6, f"a sum of {nearest:.1e} may change its sign by a rounding"
