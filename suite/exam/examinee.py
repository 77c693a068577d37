"""Anyone's recurrent layer as the exam sees it: what a backend makes of it, and how its answers are compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from suite.exam.compare import LIMITS, Check, rel_error, worst
from suite.exam.diagnose import AGREES
from suite.spec import network, params
from suite.spec.contract import Array, Batch, Net, Params, Sizes, State
from suite.spec.stack import run, run_vjp

SMALL = 0.1  # of states, which are near 1, or of the largest gradient: an array of few numbers may be nearly zero


class Examinee(Protocol):
    """What a backend makes of a user's model: the class ``Examinee(model, arch)`` of its module ``examinee``."""

    inputs: int
    sizes: Sizes
    precision: str  # the dtype of the parameters
    missing: tuple[str, ...]  # canonical parameters that the model does not have
    takes: Mapping[str, bool]  # "lengths", "first state": what it can be given -> whether it must be
    ways: Mapping[str, str]  # how a model of this kind offers a "final state", "lengths" and a "first state"

    def load(self, params: Params) -> None:
        """Put canonical parameters into the model."""
        ...

    def run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State, str]:
        """x (B, T, I) -> y (B, T, F), the states that the model returns (B, H) each, and the dtype of both."""
        ...

    def vjp(self, x: Array, lengths: Array | None, state: State | None, dy: Array, dstate: State) -> Params:
        """dL/dy (B, T, F), dL/d(final states) -> dL/dparameter, dL/dx as "x", dL/d(first states), all canonical."""
        ...

    def restore(self) -> None:
        """Give the model its own weights back."""
        ...


@dataclass(frozen=True, slots=True)
class Unexamined:
    """Something of the exam that this model was not asked, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} ({self.why})"


@dataclass(frozen=True, slots=True)
class Exam:
    """A model and the numbers in it.

    ``states``: whether the states that the model returns are compared; not again once they were found different.
    """

    model: Examinee
    net: Net
    p: Params
    states: bool = True

    @property
    def limits(self) -> dict[str, float]:
        """The limits of the model's precision."""
        return LIMITS[self.model.precision]

    def given(self, batch: Batch, state: State | None = None) -> tuple[Array, Array | None, State | None]:
        """What the model is called with: lengths and a state only where they say something or it insists."""
        lengths = None if batch.valid.all() and not self.model.takes.get("lengths") else batch.lengths
        if state is None and self.model.takes.get("first state"):
            state = network.zero_state(self.net, len(batch.x))
        return batch.x, lengths, state

    def seen(self, batch: Batch, state: State | None = None) -> Params:
        """What the model says: "outputs" (B, T, F), zero at pads, and the states that it returns."""
        y, final, _ = self.model.run(*self.given(batch, state))
        fits = y.shape[:2] == batch.valid.shape
        return {"outputs": np.where(batch.valid[..., None], y, 0) if fits else y} | (final if self.states else {})

    def honest(self, batch: Batch, state: State | None = None) -> Params:
        """What the oracle says, under the same names."""
        y, final, _ = self._run(batch, state)
        return {"outputs": y} | final

    def compare(
        self, what: str, got: Params, want: Params, wrong: Mapping[str, Array] | None = None, words: str = ""
    ) -> Iterator[Check]:
        """Every array of ``got``; where it is off but as in ``wrong``, which a known mistake gives, it is ``words``."""
        limit, wrong = self.limits["outputs"], wrong or {}
        for name, value in got.items():
            if name not in want:
                yield Check(what, math.inf, limit, name, f"{what}: {name!r} is not one of {', '.join(list(want)[1:])}")
            elif value.shape != want[name].shape:
                reason = f"{what}: {name} has shape {value.shape}, expected {want[name].shape}"
                yield Check(what, math.inf, limit, name, reason)
            else:
                error = rel_error(value, want[name], SMALL)
                as_known = name in wrong and not error <= limit and rel_error(value, wrong[name]) <= AGREES
                yield Check(what, error, limit, name, words if as_known else "")

    def compare_gradients(
        self, what: str, batch: Batch, dy: Array, dstate: State, state: State | None = None
    ) -> Iterator[Check]:
        """From dL/dy and dL/d(final states): dL/dparameter, dL/dx, and dL/d(first states) where they are given."""
        _, _, tape = self._run(batch, state)
        dfinal = network.zero_state(self.net, len(batch.x)) | dstate
        dx, dfirst, want, _ = run_vjp(self.net, self.p, params.stack(self.net), tape, batch.valid, dy, dfinal)
        want |= {"x": dx} | (dfirst if state else {})
        got = self.model.vjp(*self.given(batch, state), dy, dstate)
        floor = SMALL * max(float(np.max(np.abs(g))) for g in want.values())
        for name in want:
            yield worst(what, {name: got[name]}, {name: want[name]}, self.limits["gradients"], floor)

    def _run(self, batch: Batch, state: State | None) -> tuple[Array, State, Any]:
        state = network.zero_state(self.net, len(batch.x)) if state is None else state
        return run(self.net, self.p, params.stack(self.net), batch.x, batch.valid, state)


def known(what: str, error: float, limit: float, words: str) -> Check:
    """A check that has one reason to fail."""
    return Check(what, error, limit, reason="" if error <= limit else words)


@dataclass(frozen=True, slots=True)
class During:
    """Adds to whatever the user's own code raises what it was asked for."""

    what: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception):
            error.add_note(f"verify: raised while the model was asked for: {self.what}")
