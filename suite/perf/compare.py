"""Whether HEAD is slower than BASE: exact gates first, then a canary, then pairs of processes in turn, cell by cell.

exact     one process a side and cell, held against the oracle; `suite.perf.gates` needs no clock
canary    BASE against BASE on the first cell; where that cannot be told from 1, no speed is told at all
look      so many pairs of fresh processes, of every cell; where they are inconclusive, a second look with more of them
again     a cell that is REGRESSED is measured once more from the beginning; only twice counts

The budget is of what is timed; where it is spent, the rest is inconclusive.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from suite import clock
from suite.perf import driver, gates, machine, paired, verdict
from suite.perf.driver import Probe, ProbeFailed, ProbeRefused
from suite.perf.gates import Exact
from suite.perf.outcome import Comparison, Outcome, Row, Settings
from suite.perf.paired import Pair
from suite.perf.tree import Tree
from suite.spec.cell import Cell

Say = Callable[[str], None]  # takes whole lines
Examine = Callable[[Cell, Tree], Exact]
Measure = Callable[[Cell, Tree, Tree, int], Pair]  # BASE, HEAD, the number of the pair


def plan_cells(plan: str, base: Tree, head: Tree) -> list[Cell]:
    """The cells of a plan in either checkout: one that HEAD's plan has dropped is not dropped from the comparison.

    ValueError where neither knows the plan.
    """
    found: dict[Cell, None] = {}
    reason = ""
    for side in (base, head):
        try:
            found |= dict.fromkeys(driver.cells(plan, side))
        except ProbeFailed as failed:
            reason = str(failed)
    if not found:
        raise ValueError(f"compare: {reason}")
    return list(found)


def examine(cell: Cell, side: Tree) -> Exact:
    """What a checkout says of a cell without a clock, after it was held against the oracle."""
    with Probe(cell, "step", side.path, check=True, python=side.python) as probe:
        told = probe.ready()
        return gates.exact(told, probe.run(gates.CALLS))


def measure(cell: Cell, base: Tree, head: Tree, number: int) -> Pair:
    """One pair of fresh processes."""

    def start(tree: Tree) -> Callable[[], Probe]:
        return lambda: Probe(cell, "step", tree.path, python=tree.python)

    return paired.measure(start(base), start(head), number=number)


def compare(
    base: Tree,
    head: Tree,
    cells: Iterable[Cell],
    settings: Settings,
    say: Say,
    *,
    examine: Examine = examine,
    measure: Measure = measure,
) -> Comparison:
    """Compare two checkouts. Tests give other ``examine`` and ``measure`` than processes.

    ValueError where no cell runs on both sides, in one line that says why.
    """
    started, start_ns, before = clock.stamp(), clock.now_ns(), machine.state()
    rows = [_exact(cell, base, head, settings, say, examine) for cell in cells]
    if all(row.outcome in ("NEW", "SKIPPED") for row in rows):
        raise ValueError(_nothing(rows, base))
    canary = None
    first = next((row for row in rows if row.outcome == "EXACT"), None)
    if first and not settings.exact:
        session = _Session(base, settings, say, measure)
        canary = session.canary(first)
        rows = session.timed(rows, head, canary)
    around = [one for row in (*rows, *((canary,) if canary else ())) for one in row.around]
    about = machine.describe(before, around)
    return Comparison(base, head, settings, tuple(rows), canary, about, started, clock.since_s(start_ns))


def _exact(cell: Cell, base: Tree, head: Tree, settings: Settings, say: Say, examine: Examine) -> Row:
    """The cell on either side, without a clock."""

    def ask(side: Tree) -> Exact | ProbeFailed:
        try:
            return examine(cell, side)
        except ProbeFailed as reason:
            return reason

    say(f"{cell.name}: exact gates")
    was, now = ask(base), ask(head)
    if isinstance(now, ProbeFailed):
        gone: Outcome = "SKIPPED" if isinstance(was, ProbeRefused) else "MISSING"
        row = Row(cell, gone if isinstance(now, ProbeRefused) else "CRASHED", (str(now),))
    elif isinstance(was, ProbeFailed):
        row = Row(cell, "NEW", (f"BASE does not run it: {was}",), head=now)
    else:
        found = list(gates.faults(was, now, cell.precision))
        wrong = tuple(text for gate, text in found if gate not in settings.intended)
        meant = tuple(f"intended: {text}" for gate, text in found if gate in settings.intended)
        row = Row(cell, "CHANGED" if wrong else "EXACT", wrong, was, now, intended=meant)
    for reason in row.reasons:
        say(f"{cell.name}: {row.outcome}: {reason}")
    for change in row.intended:
        say(f"{cell.name}: {change}")
    return row


def _nothing(rows: Sequence[Row], base: Tree) -> str:
    """Why there is nothing to compare."""
    new = [row for row in rows if row.outcome == "NEW"]
    if not new:
        return f"compare: none of {len(rows)} cells runs here; {rows[0].cell.name}: {rows[0].reasons[0]}"
    return f"compare: {base} runs no cell that HEAD runs, perhaps it is too old for this probe; {new[0].reasons[0]}"


class _Session:
    """The timing of one comparison: what it has spent, and whom it tells."""

    def __init__(self, base: Tree, settings: Settings, say: Say, measure: Measure) -> None:
        self._base, self._settings, self._say, self._measure = base, settings, say, measure
        self._start_ns = clock.now_ns()

    def canary(self, row: Row) -> Row:
        """BASE against itself, on a cell that runs; UNRELIABLE with the reason where the last look still says so."""
        wrong, pairs = "", list[Pair]()
        for wanted in self._settings.looks:
            row = self._look(row, pairs, self._base, wanted, ", BASE against itself")
            if row.reasons:  # it crashed, or the budget is spent
                return row
            wrong = verdict.unsteady(row.looks[-1], self._settings.delta)
            if not wrong:
                return replace(row, outcome="OK")
        self._say(f"UNRELIABLE: {wrong}")
        return replace(row, outcome="UNRELIABLE", reasons=(wrong,))

    def timed(self, rows: Sequence[Row], head: Tree, canary: Row) -> list[Row]:
        """The rows, with verdicts where exact gates hold. Each cell has its first look before any has its second."""
        if canary.outcome != "OK":
            return [
                replace(row, outcome=canary.outcome, reasons=canary.reasons) if row.outcome == "EXACT" else row
                for row in rows
            ]
        found, pairs = list(rows), [list[Pair]() for _ in rows]
        for wanted in self._settings.looks:
            for k, row in enumerate(found):
                if row.outcome in ("EXACT", "INCONCLUSIVE") and not row.reasons:
                    found[k] = self._look(row, pairs[k], head, wanted, "")
        return [self._again(row, head) if row.outcome == "REGRESSED" else row for row in found]

    def _again(self, row: Row, head: Tree) -> Row:
        """What was slower, measured once more from the beginning, whatever it takes."""
        again, pairs = replace(row, outcome="INCONCLUSIVE"), list[Pair]()
        for wanted in self._settings.looks:
            if again.outcome == "INCONCLUSIVE":
                again = self._look(again, pairs, head, wanted, ", again", whatever_it_takes=True)
        if again.outcome == "CRASHED":
            return again
        outcome = verdict.twice(row.looks[-1].verdict, again.looks[-1].verdict)
        once = () if outcome == "REGRESSED" else (f"REGRESSED, but {again.outcome} when it was measured again",)
        looks, around = (*row.looks, *again.looks), (*row.around, *again.around)
        return replace(again, outcome=outcome, reasons=once, looks=looks, around=around)

    def _look(
        self, row: Row, pairs: list[Pair], head: Tree, wanted: int, note: str, whatever_it_takes: bool = False
    ) -> Row:
        """A look after so many ``pairs`` in all; INCONCLUSIVE, with the reason, where the budget is spent before."""
        name = row.cell.name + note
        while len(pairs) < wanted:
            if clock.since_s(self._start_ns) > self._settings.budget_s and not whatever_it_takes:
                budget = self._settings.budget_s
                spent = f"the budget of {budget:.0f} s was spent after {len(pairs)} pairs of {wanted}; see --budget"
                self._say(f"{name}: {spent}")
                return replace(row, outcome="INCONCLUSIVE", reasons=(spent,))
            try:
                pairs.append(self._measure(row.cell, self._base, head, len(pairs)))
            except ProbeFailed as reason:
                return replace(row, outcome="CRASHED", reasons=(str(reason),))
            self._say(f"{name}: pair {len(pairs)} of {wanted}: {math.expm1(pairs[-1].log_ratio):+.1%}")
        seen = verdict.look([pair.logs for pair in pairs], self._settings.delta)
        r = seen.ratio
        self._say(f"{name}: {seen.verdict}: {r.value:.3f} [{r.low:.3f}, {r.high:.3f}] of {r.n} pairs")
        return replace(
            row,
            outcome=seen.verdict,
            looks=(seen,),
            base_s=statistics.median(statistics.median(pair.base_min) for pair in pairs),
            head_s=statistics.median(statistics.median(pair.head_min) for pair in pairs),
            base_median_s=statistics.median(statistics.median(pair.base_median) for pair in pairs),
            head_median_s=statistics.median(statistics.median(pair.head_median) for pair in pairs),
            around=tuple(pair.around for pair in pairs),
        )
