"""Records that differ in the seed only form a group; everything the report says is said of groups."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from suite import stats
from suite.record import Record
from suite.registry import BACKENDS
from suite.spec.archs import ARCHS
from suite.spec.cell import Cell
from suite.spec.contract import IMPLEMENTATIONS, Bound
from suite.stats import Interval


@dataclass(frozen=True, eq=False)
class Group:
    """The records of one cell over its seeds, in order of seed. ``cell`` is the cell at seed 0."""

    plan: str
    cell: Cell
    records: tuple[Record, ...]
    variant: str = ""  # what sets it apart from groups of the same task, architecture, backend and implementation

    @cached_property
    def ok(self) -> tuple[Record, ...]:
        """The records that ended well."""
        return tuple(r for r in self.records if r.outcome == "ok")

    @property
    def backend(self) -> str:
        """ "pytorch stock", with what else sets the group apart."""
        return " ".join(filter(None, (self.cell.backend, self.cell.impl, self.variant)))

    @property
    def name(self) -> str:
        """ "gru pytorch stock"."""
        return f"{self.cell.arch} {self.backend}"

    @property
    def metric(self) -> str:
        """The headline metric; empty where no seed got so far."""
        return next((r.metric for r in self.records if r.metric), "")

    @property
    def better(self) -> str:
        """ "higher" or "lower"."""
        return next((r.better for r in self.records if r.better), "higher")

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """Floors and ceilings of the headline metric."""
        return next((r.bounds for r in self.records if r.bounds), ())

    @cached_property
    def scores(self) -> dict[int, float]:
        """Seed -> headline test score, of the seeds that have one."""
        return {r.cell.seed: r.scores["test"][r.metric] for r in self.ok if r.metric in r.scores.get("test", {})}

    @cached_property
    def score(self) -> Interval | None:
        """The mean test score with its 95 % interval: over seeds (t), or of one seed over the test's sequences."""
        values = list(self.scores.values())
        if not values:
            return None
        if len(values) > 1:
            return stats.t_interval(values)
        half = 1.96 * self.test_error if self.test_error else math.inf
        return Interval(values[0], values[0] - half, values[0] + half, 1)

    @cached_property
    def test_error(self) -> float:
        """Standard error of one score over the test's sequences, mean over seeds; 0 where it is not recorded."""
        found = [e for r in self.ok if (e := r.scores.get("test", {}).get(f"{r.metric}_se")) is not None]
        return sum(found) / len(found) if found else 0.0

    @cached_property
    def standard_error(self) -> float:
        """Of the mean score: between seeds, and of the one test split that they share."""
        values = list(self.scores.values())
        between = stats.standard_error(values) if len(values) > 1 else 0.0
        return math.hypot(between, self.test_error)

    @cached_property
    def step_ms(self) -> Interval | None:
        """Milliseconds a step: median and middle 90 % of all timed steps of all seeds."""
        samples = [1e3 * s for r in self.ok for s in r.step_s]
        return stats.spread(samples) if samples else None

    @cached_property
    def mean_step_s(self) -> float | None:
        """Seconds a step on average: what throughput is made of, for steps of several shapes have no common time."""
        samples = [s for r in self.ok for s in r.step_s]
        return sum(samples) / len(samples) if samples else None

    @property
    def converged(self) -> bool:
        """Whether the plan lets its cells learn to the end (``facts["converged"]``, true unless it says no)."""
        return all(r.facts.get("converged", True) for r in self.records)

    def mean(self, field: str) -> float | None:
        """Mean over seeds of a field of the record, without the zeros that stand for "not measured"."""
        found = [v for r in self.ok if (v := getattr(r, field))]
        return sum(found) / len(found) if found else None


def task_name(cell: Cell) -> str:
    """ "copy(time=100)"."""
    options = ", ".join(f"{k}={v}" for k, v in cell.options)
    return f"{cell.task}({options})" if options else cell.task


def order(cell: Cell) -> tuple[object, ...]:
    """Sorts cells by architecture, backend and implementation as the registry lists them."""
    ranks = ((cell.arch, tuple(ARCHS)), (cell.backend, BACKENDS), (cell.impl, IMPLEMENTATIONS))
    return tuple((known.index(name) if name in known else len(known), name) for name, known in ranks)


def _flat(cell: Cell) -> dict[str, object]:
    data = asdict(cell)
    nested = data.pop("sizes") | data.pop("optim") | data.pop("init") | data.pop("schedule")
    for name in ("task", "options", "arch", "backend", "impl", "seed", "flow_at", "eval_every"):
        data.pop(name)
    return nested | data


def group(records: Iterable[Record]) -> list[Group]:
    """Groups in order of plan, task, architecture, backend and implementation.

    ValueError where a cell is recorded twice: a copy is no further sample, and two machines share no speed.
    """
    found: dict[tuple[str, Cell], list[Record]] = {}
    seen = set()
    for r in records:
        if (r.plan, r.key) in seen:
            raise ValueError(
                f"{r.plan}/{r.key} ({r.cell.name}) is recorded twice; report one folder of results at a time"
            )
        seen.add((r.plan, r.key))
        found.setdefault((r.plan, replace(r.cell, seed=0)), []).append(r)
    alike: dict[tuple[str, str, str], list[dict[str, object]]] = {}
    for plan, c in found:
        alike.setdefault((plan, task_name(c), c.arch), []).append(_flat(c))
    out = []
    for plan, c in sorted(found, key=lambda k: (k[0], task_name(k[1]), order(k[1]), k[1].key)):
        mine, all_of_them = _flat(c), alike[plan, task_name(c), c.arch]
        differ = [k for k, v in mine.items() if any(other[k] != v for other in all_of_them)]
        variant = " ".join(f"{k}={mine[k]}" for k in differ)
        out.append(Group(plan, c, tuple(sorted(found[plan, c], key=lambda r: r.cell.seed)), variant))
    return out


def by_task(groups: Iterable[Group]) -> dict[tuple[str, str], list[Group]]:
    """(plan, task) -> its groups, in order."""
    out: dict[tuple[str, str], list[Group]] = {}
    for g in groups:
        out.setdefault((g.plan, task_name(g.cell)), []).append(g)
    return out


def folder(results: Path, record: Record) -> Path:
    """Where the cell's curves and gradient flow lie; ``results`` may be the root or the plan's own folder."""
    nested = results / record.plan / record.key
    return nested if nested.is_dir() else results / record.key
