"""Two statements that a benchmark of equal implementations must be able to make, and what contradicts them.

    the backends agree      the paired difference per seed has a 95 % t-interval that contains 0 or lies within 2 points
    nothing beats a ceiling score - ceiling <= 3 standard errors; a score above is a leak until shown otherwise

A point is 0.01 for a rate (higher is better, between 0 and 1), 1 for BLEU, else a hundredth of the way from floor to
ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from suite import stats
from suite.record import Record
from suite.report.groups import Group, task_name
from suite.spec.contract import Bound
from suite.stats import Interval

POINTS = 2
PERCENT = ("bleu",)  # metrics that count in hundredths already
ERRORS = 3  # standard errors above a ceiling
ENOUGH = 5  # seeds below which "equal" is not claimed


@dataclass(frozen=True, slots=True)
class Agreement:
    """One pair of groups that differ in backend or implementation only. ``difference`` is a - b over common seeds."""

    a: Group
    b: Group
    difference: Interval
    margin: float

    @property
    def within(self) -> bool:
        """Whether the whole interval lies within the margin."""
        return -self.margin <= self.difference.low and self.difference.high <= self.margin

    @property
    def verdict(self) -> str:
        """ "equal", "no difference seen", "differ" or "too few seeds"."""
        if self.difference.n < 2:
            return "too few seeds"
        if self.within and self.difference.n >= ENOUGH:
            return "equal"
        return "no difference seen" if self.within or 0.0 in self.difference else "differ"


def _margin(g: Group) -> float:
    if g.metric in PERCENT:
        return POINTS
    if g.better == "higher" and all(0 <= s <= 1 for s in g.scores.values()):
        return POINTS / 100
    floors = [b.value for b in g.bounds if b.kind == "floor"]
    ceilings = [b.value for b in g.bounds if b.kind == "ceiling"]
    return POINTS / 100 * abs(floors[0] - ceilings[0]) if floors and ceilings else POINTS / 100


def pairs(groups: Sequence[Group]) -> list[Agreement]:
    """Every two groups of one architecture and task that differ in backend or implementation only."""
    alike: dict[object, list[Group]] = {}
    for g in groups:
        if g.scores:
            alike.setdefault((g.plan, replace(g.cell, backend="", impl="")), []).append(g)
    out = []
    for members in alike.values():
        for a, b in combinations(members, 2):
            common = sorted(a.scores.keys() & b.scores.keys())
            if common:
                difference = stats.t_interval([a.scores[s] - b.scores[s] for s in common])
                out.append(Agreement(a, b, difference, _margin(a)))
    return out


def beaten(g: Group) -> list[tuple[Bound, float]]:
    """The ceilings that a group's mean score beats, and by how many standard errors (infinite if those are unknown)."""
    if g.score is None:
        return []
    sign = 1 if g.better == "higher" else -1
    out = []
    for bound in g.bounds:
        excess = sign * (g.score.value - bound.value)
        rounding = 1e-9 * max(1.0, abs(bound.value))
        if bound.kind == "ceiling" and excess > ERRORS * g.standard_error + rounding:
            out.append((bound, excess / g.standard_error if g.standard_error else float("inf")))
    return out


def unlike(groups: Sequence[Group]) -> list[tuple[str, str, str]]:
    """(what, one, other): cells that differ in backend or implementation only, yet had other data or first weights."""
    first: dict[object, Record] = {}
    out = []
    for r in (r for g in groups for r in g.records if r.digests):
        like = (r.plan, replace(r.cell, backend="", impl="", flow_at=()))
        other = first.setdefault(like, r)
        for what in ("data", "initial"):
            if r.digests[what] != other.digests[what]:
                out.append((what, r.cell.name, other.cell.name))
    return out


def lines(groups: Sequence[Group]) -> list[str]:
    """What is printed below the table: ceilings beaten first, then agreement in one line, then who differs."""
    out = [
        f"!!! LEAK? {g.plan} / {task_name(g.cell)} / {g.name}: its mean {g.metric} beats the ceiling {bound.value:.4g} "
        f"({bound.what}) by {errors:.1f} standard errors; no honest model can"
        for g in groups
        for bound, errors in beaten(g)
    ]
    if any(g.score and not g.converged for g in groups):
        out.append("† the plan stops before convergence: compare implementations by it, not architectures")
    out += [f"!!! other {what} in {a} than in {b}: they are not comparable" for what, a, b in unlike(groups)]
    every = pairs(groups)
    judged = [p for p in every if p.verdict != "too few seeds"]
    if judged:
        differ = [p for p in judged if p.verdict == "differ"]
        worst = max(judged, key=lambda p: abs(p.difference.value) / p.margin)
        out.append(
            f"backends agree in {len(judged) - len(differ)} of {len(judged)} pairs (paired over seeds; 95 % interval "
            f"holds 0 or lies within {POINTS} points; {sum(p.verdict == 'equal' for p in judged)} proven equal with "
            f"{ENOUGH} seeds or more); largest mean difference {abs(worst.difference.value):.4f}"
        )
        out += [
            f"  differ: {task_name(p.a.cell)} / {p.a.name} against {p.b.backend}: {p.difference.value:+.4f} "
            f"[{p.difference.low:+.4f}, {p.difference.high:+.4f}]"
            for p in differ
        ]
    elif every:
        largest = max(abs(p.difference.value) for p in every)
        out.append(f"backends agree: not judged, one seed only; largest difference {largest:.4f}")
    return out
