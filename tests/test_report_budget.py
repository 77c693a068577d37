"""Scores at equal seconds: the budget is the fastest architecture's, the score the last one within it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from suite.record import Record
from suite.report import budget
from suite.report.groups import group
from tests import records


def timed(arch: str, backend: str, curve: list[tuple[float, float]], **more: Any) -> Record:
    """A record whose validation curve is (seconds, score)."""
    points = tuple({"step": float(k), "train_s": s, "accuracy": a} for k, (s, a) in enumerate(curve, 1))
    return replace(records.ok(records.cell(arch, backend, **more)), curve=points)


RNN = timed("rnn", "jax", [(1.0, 0.3), (2.0, 0.4)])
GRU = timed("gru", "jax", [(1.5, 0.5), (3.0, 0.9)])


def test_the_fastest_sets_the_budget_and_later_scores_do_not_count() -> None:
    (table,) = budget.tables(group([RNN, GRU]))
    assert table.columns == ["jax scan, 2.00 s"]
    assert table.rows == [["rnn", "0.4000"], ["gru", "0.5000"]]


def test_seeds_are_averaged_and_each_backend_has_its_own_budget() -> None:
    second = timed("gru", "jax", [(1.0, 0.1), (2.5, 0.8)], seed=1)
    torch = [timed("rnn", "pytorch", [(4.0, 0.35)]), timed("gru", "pytorch", [(5.0, 0.6)])]
    (table,) = budget.tables(group([RNN, GRU, second, *torch]))
    assert table.columns == ["pytorch scan, 4.00 s", "jax scan, 2.00 s"]
    assert table.rows == [["rnn", "0.3500", "0.4000"], ["gru", "", "0.3000"]]  # PyTorch's GRU had no score by then


def test_one_architecture_alone_is_compared_with_nothing() -> None:
    assert budget.tables(group([GRU, timed("gru", "pytorch", [(1.0, 0.5)])])) == []
    assert budget.markdown(group([GRU])) == ""


def test_markdown() -> None:
    assert budget.markdown(group([RNN, GRU])).splitlines()[2:] == [
        "| | jax scan, 2.00 s |",
        "|---|--:|",
        "| rnn | 0.4000 |",
        "| gru | 0.5000 |",
    ]
