"""Groups, tables and agreement from synthetic records: what did not run, one seed, nothing at all, and leaks."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest

from suite.report import agreement, table
from suite.report.groups import group
from suite.report.table import table_text
from suite.spec.contract import Bound, Sizes
from tests.records import cell, failed, matrix, ok


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")


def column(text: str, name: str, line: str) -> str:
    """The cell of a printed table in the row that starts with ``line``; columns are right-aligned."""
    rows = text.splitlines()
    head = next(r for r in rows if r.startswith("cell"))
    end = head.index(name) + len(name)
    return next(r for r in rows if r.startswith(line))[:end].split()[-1]


def test_doctests() -> None:
    assert doctest.testmod(table).failed == 0


def test_groups_are_ordered_and_average_over_seeds() -> None:
    groups = group(reversed(matrix(tasks=("hmm_tag",))))
    assert [g.name for g in groups][:6] == [
        "rnn pytorch stock",
        "rnn pytorch scan",
        "rnn tensorflow stock",
        "rnn tensorflow scan",
        "rnn jax stock",
        "rnn jax scan",
    ]
    assert [r.cell.seed for r in groups[0].records] == [0, 1, 2]
    score = groups[0].score
    assert score is not None
    assert score.value == pytest.approx(sum(groups[0].scores.values()) / 3)


def test_table_shows_floor_ceiling_speed_and_reasons() -> None:
    text = table_text(matrix())
    assert "accuracy, higher is better; floor 0.2500 (most frequent tag); ceiling 0.8000 (exact Bayes)" in text
    assert "unsupported: JAX ships no recurrent layer on a CPU" in text
    assert "diverged (1 of 3 seeds): loss is nan at step 57" in text
    assert "crash: signal 11 (SIGSEGV)" in text
    assert column(text, "seeds", "rnn tensorflow scan") == "2/3"
    assert "12 000" in next(line for line in text.splitlines() if line.startswith("gru jax scan"))
    assert "backends agree in 60 of 60 pairs" in text


def test_speed_columns_follow_from_the_steps() -> None:
    r = replace(ok(cell()), step_s=(0.002,) * 9, tokens_per_step=4000.0, flops_per_step=6_000_000)
    text = table_text([r])
    assert column(text, "ms/step", "gru") == "2.00"
    assert column(text, "tokens/s", "gru") == "2.00M"
    assert column(text, "GFLOP/s", "gru") == "3.00"


def test_cells_without_speed_or_a_fresh_process_report_neither() -> None:
    text = table_text([replace(ok(cell()), step_s=(), fresh_process=False)])
    assert "ms/step" not in text
    assert "peak MiB" not in text
    assert "parameters" in text


def test_a_narrow_terminal_loses_columns_but_not_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = table_text(matrix(tasks=("hmm_tag",)))
    head = next(line for line in text.splitlines() if line.startswith("cell"))
    assert len(head) <= 80
    assert "score" in head
    assert "ms/step" in head


def test_empty_input_is_one_clear_line() -> None:
    assert table_text([]) == "no records: nothing has ended yet"


def test_a_cell_recorded_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(pytorch/gru/hmm_tag/s0\) is recorded twice"):
        table_text([ok(cell()), ok(cell())])


def test_only_failures() -> None:
    text = table_text([failed(cell(seed=s), "timeout", "no step for 60 s") for s in range(2)])
    assert "no cell ran" in text
    assert "timeout: no step for 60 s" in text


def test_one_seed_is_measured_over_the_tests_sequences_and_agreement_is_not_judged() -> None:
    text = table_text([ok(cell(), score=0.7), ok(cell(backend="jax"), score=0.71)])
    assert "0.7000 ±0.0078" in text
    assert "not judged, one seed only; largest difference 0.0100" in text


def test_variants_of_a_cell_stay_apart() -> None:
    records = [ok(cell()), ok(cell(sizes=Sizes(hidden=64)))]
    text = table_text(records)
    assert "gru pytorch scan hidden=32" in text
    assert "gru pytorch scan hidden=64" in text
    assert "agree" not in text  # they differ in more than the backend


def test_not_converged_is_marked() -> None:
    r = ok(cell(), score=0.7)
    text = table_text([replace(r, facts={**r.facts, "converged": False})])
    assert "0.7000 ±0.0078†" in text
    assert "stops before convergence" in text


@pytest.mark.parametrize(
    ("score", "leaks"), [(0.80, False), (0.811, False), (0.813, True)], ids=["at it", "2.75 errors", "3.25 errors"]
)
def test_beating_a_ceiling_by_three_standard_errors_is_a_leak(score: float, leaks: bool) -> None:
    text = table_text([ok(cell(), score=score)])  # standard error 0.004, ceiling 0.80
    assert ("LEAK?" in text) is leaks
    assert (f"{score:.4f} ±0.0078!" in text) is leaks


def test_a_leak_where_lower_is_better() -> None:
    r = replace(ok(cell(), score=1.9), better="lower", bounds=(Bound("ceiling", 2.0, "source entropy"),))
    assert "LEAK?" in table_text([r])
    assert "LEAK?" not in table_text([replace(r, better="higher", bounds=(Bound("ceiling", 2.0, "entropy"),))])


def test_a_leak_without_any_standard_error_is_still_told() -> None:
    r = replace(ok(cell()), scores={"test": {"accuracy": 0.9}})
    assert "by inf standard errors" in table_text([r])


def series(a: list[float], b: list[float]) -> agreement.Agreement:
    records = [ok(cell(seed=s), score=v) for s, v in enumerate(a)]
    records += [ok(cell(seed=s, backend="jax"), score=v) for s, v in enumerate(b)]
    (pair,) = agreement.pairs(group(records))
    return pair


def test_agreement_is_paired_over_seeds() -> None:
    base = [0.5, 0.6, 0.7, 0.65, 0.55]  # seeds scatter by 8 points, the difference of a seed does not
    assert series(base, [v + 0.004 for v in base]).verdict == "equal"
    assert series(base, [v + 0.0401 + 0.001 * i for i, v in enumerate(base)]).verdict == "differ"
    assert series(base, [v + 0.1 * (-1) ** i for i, v in enumerate(base)]).verdict == "no difference seen"
    assert series(base[:2], base[:2]).verdict == "no difference seen"  # within 2 points, but not enough seeds
    assert series(base[:1], base[:1]).verdict == "too few seeds"


def test_backends_that_differ_are_named() -> None:
    base = [0.5, 0.6, 0.7]
    records = [ok(cell(seed=s), score=v) for s, v in enumerate(base)]
    records += [ok(cell(seed=s, backend="jax"), score=v + 0.05 + 0.001 * s) for s, v in enumerate(base)]
    text = table_text(records)
    assert "backends agree in 0 of 1 pairs" in text
    assert "differ: hmm_tag / gru pytorch scan against jax scan: -0.0510" in text


def test_markdown_has_one_table_a_task() -> None:
    text = table.markdown(group(matrix()))
    assert text.count("### synthetic / ") == 2
    assert text.count("| cell | score |") == 2
    assert "| gradient |" in text
    assert "- gru jax stock: unsupported" in text
    assert "| gru jax stock |" not in text
