"""What must not change and needs no clock: it holds on any machine, however noisy.

    parameters, flops     the same network doing the same work
    operations            of an update, as the framework is given them: a formula does not see a second product
    losses                of the first updates, equal within what rounding may move them
    compiled              in the steady state: a step that compiles again is slow for a reason
    reads                 of values by the host in one update: each waits for the device

What is meant to change is named beforehand (`INTENDED`), and then only told.

Where BASE counts no compilations (its backend has no ``counts``), HEAD must not have any; where it counts no reads or
no operations, they are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from suite.perf.driver import Block

INTENDED = ("parameters", "flops", "operations", "losses", "compiled", "reads")
CALLS = 8  # updates watched for compilations, after the warm ones: each batch twice
# Of losses, relative: ten times the worst between any backend and the oracle over `probe.LOSSES` updates of plan smoke,
# which is 8.2e-8 and 4.3e-16
LIMITS = {"float32": 8e-7, "float64": 4e-15}


@dataclass(frozen=True, slots=True)
class Exact:
    """What one checkout says of a cell. ``compiled`` counts in `CALLS` updates, ``reads`` are per update."""

    parameters: int
    flops: int
    losses: tuple[float, ...]
    compiled: int | None
    reads: float | None
    ran: str
    first_s: float
    operations: int | None


def exact(told: dict[str, Any], block: Block) -> Exact:
    """From what a probe said once it was warm, and a block of `CALLS` updates."""
    same = {name: told[name] for name in ("parameters", "flops", "reads", "ran", "first_s", "operations")}
    return Exact(**same, losses=tuple(told["losses"]), compiled=block.compiled)


def faults(base: Exact, head: Exact, precision: str) -> Iterator[tuple[str, str]]:
    """Everything that HEAD may not do: which of `INTENDED`, and in words."""
    for name in ("parameters", "flops"):
        was, now = getattr(base, name), getattr(head, name)
        if was != now:
            yield name, f"{name}: {now}, were {was}"
    if (head.compiled or 0) > (base.compiled or 0):
        told = f"compiles {head.compiled} times in {CALLS} updates after it was warm, was {base.compiled or 0}"
        yield "compiled", told
    if base.operations is not None and head.operations is not None and head.operations > base.operations:
        yield "operations", f"an update consists of {head.operations} operations, was {base.operations}"
    if base.reads is not None and head.reads is not None and head.reads > base.reads:
        yield "reads", f"the host reads values {head.reads:g} times an update, was {base.reads:g}"
    limit = LIMITS[precision]
    for number, (was, now) in enumerate(zip(base.losses, head.losses, strict=True)):
        error = abs(now - was) / max(abs(was), 1e-30)
        if not error <= limit:
            apart = f"{error:.1e} apart, {limit:.0e} would do"
            yield "losses", f"the loss of update {number + 1} is {now:.9g}, was {was:.9g}: {apart}"
            return
