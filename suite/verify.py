"""verify(model, arch): the exam for anyone's own GRU, LSTM or RNN, and in words what is different.

    import torch
    from suite.verify import verify

    print(verify(torch.nn.GRU(8, 16, batch_first=True), arch="gru"))

The model's weights are overwritten (in a copy, or restored afterwards) with random asymmetric numbers through the
backend's layout, because zero biases and symmetric weights hide most mistakes. Then outputs and the gradient towards
every parameter are compared with the oracle, in the model's own precision.

    PyTorch   a module with the parameter names of torch.nn.RNN/GRU/LSTM (weight_ih_l0, ...), called as model(x)
    Keras     a layer with kernel, recurrent_kernel and bias, return_sequences=True, called as layer(x)
    JAX       Function(f, inputs, hidden): f(params, x) with canonical names "layer0/W", ...; x (B, T, I) -> y (B, T, H)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from suite import registry
from suite.exam.cases import Case, make_batch
from suite.exam.compare import LIMITS, Check, gradient_floor, rel_error, worst
from suite.exam.diagnose import diagnose
from suite.spec import network
from suite.spec.contract import Array, Net, Optim, Params, Signature, Sizes
from suite.spec.loss import loss_rows
from suite.spec.random import Stream

ROWS, STEPS = 4, 6


@dataclass(frozen=True, slots=True)
class Function:
    """A recurrent layer as a pure function f(params, x), for `verify`."""

    f: Callable[[dict[str, Any], Any], Any]
    inputs: int
    hidden: int
    layers: int = 1
    bidirectional: bool = False


class Examinee(Protocol):
    """What a backend makes of a user's model: the class ``Examinee(model, arch_name)`` of its module ``examinee``."""

    inputs: int
    sizes: Sizes
    precision: str
    missing: tuple[str, ...]  # canonical parameters that the model does not have

    def load(self, params: Params) -> None:
        """Put canonical parameters into the model."""
        ...

    def outputs(self, x: Array) -> Array:
        """x (B, T, I) -> (B, T, F), the hidden outputs."""
        ...

    def vjp(self, x: Array, dy: Array) -> Params:
        """dL/dy (B, T, F) -> dL/dparameter, canonical."""
        ...

    def restore(self) -> None:
        """Give the model its own weights back."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. ``str`` is for people; ``ok`` is True if every check passed."""

    arch: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(c.ok for c in self.checks)

    @property
    def differences(self) -> tuple[str, ...]:
        """What is different, in words; empty if nothing is."""
        return tuple(dict.fromkeys(c.reason or str(c) for c in self.checks if not c.ok))

    def __str__(self) -> str:
        if self.ok:
            return f"this model is the {self.arch} of the specification: {len(self.checks)} checks passed"
        return f"this model is not the {self.arch} of the specification: {'; '.join(self.differences)}"


def verify(model: Any, arch: str) -> Verdict:
    """Compare a user's model with the oracle of ``arch``. Raises TypeError for a model that no backend can read."""
    registry.arch(arch)
    backend = _backend_of(model)
    examinee: Examinee = registry.member(backend, "examinee").Examinee(model, arch)
    if examinee.precision not in LIMITS:
        raise TypeError(
            f"verify: {type(model).__name__} computes in {examinee.precision}; it must compute in float32 or float64"
        )
    sig = Signature("label", "xent", examinee.inputs, _width(examinee.sizes), tokens=False)
    case = Case("verify", sig, examinee.sizes, Optim(), ROWS, STEPS)
    net = case.net(registry.arch(arch))
    p = _exposed(case.params(net.arch), sig)
    try:
        return Verdict(arch, tuple(_checks(examinee, net, p)))
    finally:
        examinee.restore()


def _checks(examinee: Examinee, net: Net, p: Params) -> list[Check]:
    limits = LIMITS[examinee.precision]
    batch = make_batch(net.signature, ROWS, STEPS, Stream("verify"), full=True)
    cell = {name: v for name, v in p.items() if not name.startswith("head/")}
    lost = [Check("parameters", 1.0, 0.0, name, f"one bias is missing ({name})") for name in examinee.missing]
    examinee.load(cell)
    outputs = examinee.outputs(batch.x)
    honest, _, _ = network.forward(net, p, batch)
    error = rel_error(outputs, honest)
    reason = "" if error <= limits["outputs"] else diagnose(net, p, batch, outputs)
    checks = [*lost, Check("outputs", error, limits["outputs"], reason=reason)]
    if outputs.shape != honest.shape or examinee.missing:
        return checks
    want = {name: g for name, g in network.gradients(net, p, batch).params.items() if name in cell}
    got = examinee.vjp(batch.x, loss_rows(net.signature, honest, batch)[1])
    floor = gradient_floor(want)
    return [*checks, *(worst("gradient", {n: got[n]}, {n: want[n]}, limits["gradients"], floor) for n in want)]


def _exposed(p: Params, sig: Signature) -> Params:
    """The read-out made transparent: outputs are the hidden outputs themselves."""
    return p | {"head/V": np.eye(sig.outputs), "head/d": np.zeros(sig.outputs)}


def _width(sizes: Sizes) -> int:
    return sizes.hidden * (2 if sizes.bidirectional else 1)


def _backend_of(model: Any) -> str:
    if isinstance(model, Function):
        return "jax"
    roots = {cls.__module__.split(".")[0] for cls in type(model).__mro__}
    for root, backend in (("torch", "pytorch"), ("keras", "tensorflow")):
        if root in roots:
            return backend
    raise TypeError(
        f"verify: got a {type(model).__name__}; it must be a torch.nn.Module, a keras layer, "
        "or suite.verify.Function(f, inputs, hidden) for JAX"
    )
