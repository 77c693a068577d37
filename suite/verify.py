"""verify(model, arch): the exam for anyone's own GRU, LSTM or RNN, and in words what is different.

    import torch
    from suite.verify import verify

    print(verify(torch.nn.GRU(8, 16, batch_first=True), arch="gru"))

The model's weights are overwritten (in a copy, or restored afterwards) with random asymmetric numbers through the
backend's layout, because zero biases and symmetric weights hide most mistakes. Then outputs, states and gradients are
compared with the oracle in the model's own precision, for full and padded batches, one row and one step, from zero
and from a given state; and rows, time and pads are held against themselves. What a model does not offer is named in
``Verdict.unexamined``. Arguments are found by their names:

    PyTorch   a module with the parameter names of torch.nn.RNN/GRU/LSTM (weight_ih_l0, ...), called as model(x).
              It may return (y, h) or (y, (h, c)), take hx in the form that it returns, and lengths (B,); torch's
              own take a PackedSequence. A parameter that torch has no name for has its canonical one: P_l0
    Keras     a built layer with kernel, recurrent_kernel and bias, return_sequences=True, called as layer(x).
              It may return its states after y (return_state=True), and take initial_state and mask
    JAX       Function(f, inputs, hidden): f(params, x), canonical names "layer0/W", ...; x (B, T, I) -> y (B, T, H).
              f may return (y, state), and take lengths (B,) and state, which is {"layer0/h": (B, H), ...}
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from suite import registry
from suite.exam.compare import LIMITS, Check
from suite.exam.examinee import Examinee
from suite.exam.outside import examine
from suite.spec.contract import Unsupported


@dataclass(frozen=True, slots=True)
class Function:
    """A recurrent layer as a pure function f(params, x), for `verify`."""

    f: Callable[..., Any]
    inputs: int
    hidden: int
    layers: int = 1
    bidirectional: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. ``str`` is for people; ``ok`` is True if every check passed.

    ``unexamined`` names what the model was not asked, because it does not offer it, and how it could be.
    """

    arch: str
    checks: tuple[Check, ...]
    unexamined: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(c.ok for c in self.checks)

    @property
    def differences(self) -> tuple[str, ...]:
        """What is different, in words, one for each check that has none of its own; empty if nothing is."""
        failed: dict[str, list[Check]] = {}
        for c in self.checks:
            if not c.ok:
                failed.setdefault(c.reason or c.check, []).append(c)
        return tuple(words if cs[0].reason else _together(cs) for words, cs in failed.items())

    def __str__(self) -> str:
        verdict = f"this model is the {self.arch} of the specification: {len(self.checks)} checks passed"
        if not self.ok:
            verdict = f"this model is not the {self.arch} of the specification: {'; '.join(self.differences)}"
        return "\n".join([verdict, *(f"not examined: {what}" for what in self.unexamined)])


def verify(model: Any, arch: str) -> Verdict:
    """Examine a user's model as an ``arch``.

    TypeError for a model that no backend can read, Unsupported for an ``arch`` that is no layer of its own.
    """
    spec = registry.arch(arch)
    if spec.family != "recurrent":
        raise Unsupported(f"verify: {arch} is a {spec.family}; it must be a recurrent layer's architecture")
    examinee: Examinee = registry.member(_backend_of(model), "examinee").Examinee(model, spec)
    if examinee.precision not in LIMITS:
        raise TypeError(
            f"verify: {type(model).__name__} computes in {examinee.precision}; it must compute in float32 or float64"
        )
    try:
        findings = list(examine(examinee, spec))
    finally:
        examinee.restore()
    checks = tuple(found for found in findings if isinstance(found, Check))
    return Verdict(arch, checks, tuple(str(found) for found in findings if not isinstance(found, Check)))


def _together(checks: list[Check]) -> str:
    """The failures of one check in one: where it failed, and the worst of its errors."""
    top = max(checks, key=lambda c: math.inf if math.isnan(c.error) else c.error)
    return str(replace(top, where=", ".join(c.where for c in checks)))


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
