"""How far rounding alone moves a network: the oracle beside twins whose parameters differ in the last place.

The limits of ``suite.exam.compare`` are for calm networks, whose gradients a twin moves by a few units of 2^-53. Layer
normalisation divides by deviations that may be small, step after step, and updates multiply what that does to rounding
errors: there no two programs can agree as closely, and the limits grow with the twins' distance.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from suite.exam.cases import Case
from suite.exam.compare import LIMITS, gradient_floor, worst
from suite.spec import network, optim
from suite.spec.arch import Arch
from suite.spec.contract import Params, Snapshot
from suite.spec.network import Gradients
from suite.spec.random import Stream

UNIT = 2.0**-53
CALM = 8.0  # units; where the limits were measured, a twin is 3 to 15 away


def twins(p: Params) -> list[Params]:
    """Three times the parameters, each number moved by up to one unit."""
    streams = [Stream(f"twin/{k}") for k in range(3)]
    return [{name: v * (1 + UNIT * s.uniform(v.shape, -1.0, 1.0)) for name, v in p.items()} for s in streams]


def room(want: Params, found: Sequence[Params]) -> float:
    """By how much limits grow: the largest distance of what the twins ``found``, in multiples of CALM, at least 1."""
    floor = gradient_floor(want)
    return max(1.0, *(worst("", got, want, 0.0, floor).error / (CALM * UNIT) for got in found))


@functools.cache
def limits(precision: str, arch: Arch, case: Case, updates: int = 1, slowing: bool = False) -> dict[str, float]:
    """The limits of one of the exam's networks: by its gradients on the first batch, and after some updates by its
    gradients and slots at the last of them.

    They stand as they are but for an architecture that says of itself that it is expanding.
    """
    if not arch.expanding:
        return LIMITS[precision]
    p, runs = case.params(arch), []
    for q in (p, *twins(p)):
        *_, (g, end) = train(case, arch, Snapshot(0, q), updates, slowing)
        first = network.gradients(case.net(arch), q, case.masked(arch)).params
        runs.append([first, g.params, *end.slots.values()])
    grown = max(room(want, found) for want, *found in zip(*runs, strict=True))
    return {name: limit * grown for name, limit in LIMITS[precision].items()}


def train(
    case: Case, arch: Arch, start: Snapshot, count: int, slowing: bool = False
) -> Iterator[tuple[Gradients, Snapshot]]:
    """The oracle's updates from a snapshot: the gradients and the end of each. ``slowing``: at the rate lr / t."""
    net, p, slots = case.net(arch), start.params, start.slots or optim.init_slots(case.optim, start.params)
    for t in range(start.step + 1, start.step + count + 1):
        g = network.gradients(net, p, case.masked(arch, t))
        p, slots, _ = optim.update(case.optim, case.optim.lr / (t if slowing else 1), t, p, g.params, slots)
        yield g, Snapshot(t, p, slots)
