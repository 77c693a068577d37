"""The plan zoo: as many parameters as it says, and the learning rates that the published sweep chose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite import plan, record, registry
from suite.record import Record
from suite.report.sweep import best, question
from suite.spec import params
from suite.spec.cell import Cell
from suite.spec.contract import Net, Optim
from tests import records

PUBLISHED = Path(__file__).parents[1] / "results" / "published" / "sweep"
ZOO, SWEEP = plan.load("zoo").cells, plan.load("sweep").cells
MOST = 0.05  # by which a network's number of parameters may differ from its task's GRU; widths are whole numbers
TWO_TASKS = {cell.arch for cell in ZOO} - {"gru_luong"}  # an option of attention, beside it on one task


def parameters(cell: Cell) -> int:
    task = registry.task(cell.task, **dict(cell.options))
    net = Net(registry.arch(cell.arch), task.signature, cell.sizes)
    return sum(p.size for p in params.init(net, 0).values())


def test_it_is_no_larger_than_it_may_be() -> None:
    assert len(ZOO) <= 300
    assert {c.backend for c in ZOO} == {"pytorch", "tensorflow", "jax"}
    assert {c.seed for c in ZOO} == {0, 1, 2}


@pytest.mark.parametrize("arch", sorted(TWO_TASKS))
def test_every_architecture_has_two_questions(arch: str) -> None:
    asked = {(c.task, c.options, c.sizes.layers) for c in ZOO if c.arch == arch}
    assert len({(task, options) for task, options, _ in asked}) == 2


def test_networks_of_a_task_have_the_same_number_of_parameters() -> None:
    sizes: dict[tuple[str, Any], set[int]] = {}
    for cell in {replace(c, backend="", seed=0) for c in ZOO}:
        sizes.setdefault((cell.task, cell.options), set()).add(parameters(cell))
    for asked, counts in sizes.items():
        assert max(counts) / min(counts) <= 1 + 2 * MOST, asked


def test_the_sweep_asks_exactly_what_the_zoo_does() -> None:
    assert {question(c) for c in SWEEP} == {question(c) for c in ZOO}
    assert {(c.backend, c.seed) for c in SWEEP} == {("jax", 0)}


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the sweep's records are not published yet")
def test_the_zoo_has_the_rates_that_the_sweep_chose() -> None:
    chosen = best(record.read_all(PUBLISHED))
    assert {question(c): c.optim.lr for c in ZOO} == chosen


def trial(lr: float, score: float, **more: Any) -> Record:
    c = records.cell(optim=Optim(lr=lr), **more)
    r = records.ok(c)
    return replace(r, curve=({"step": 1.0, "train_s": 0.1, "accuracy": 1.0 - score}, r.curve[-1] | {"accuracy": score}))


def test_the_last_validation_score_decides_and_of_equals_the_lower_rate() -> None:
    assert list(best([trial(0.1, 0.5), trial(0.01, 0.7), trial(0.001, 0.6)]).values()) == [0.01]
    assert list(best([trial(0.1, 0.7), trial(0.01, 0.7)]).values()) == [0.01]
    lower = [replace(trial(lr, score), better="lower") for lr, score in ((0.1, 0.7), (0.01, 0.2))]
    assert list(best(lower).values()) == [0.01]


def test_each_question_is_answered_for_itself_and_a_diverged_trial_loses() -> None:
    gone = replace(trial(0.1, 0.9), outcome="diverged", curve=())
    got = best([gone, trial(0.01, 0.4), trial(0.1, 0.9, arch="rnn")])
    assert {(cell.arch, lr) for cell, lr in got.items()} == {("gru", 0.01), ("rnn", 0.1)}
    with pytest.raises(ValueError, match="no trial of gru on hmm_tag ended well; try lower rates"):
        best([gone])
