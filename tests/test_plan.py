"""Plans: what a TOML file multiplies out to, what filters leave, and what is refused in one line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from suite import plan
from suite.spec.contract import Optim, Sizes
from suite.spec.init import Init

TEXT = """
name = "demo"
title = "t"
description = "d"
converged = false
[defaults]
batch = 4
backend = ["pytorch", "jax"]
sizes = { hidden = 8 }
[[grid]]
task = "copy_memory"
arch = ["gru", "rnn"]
seed = [0, 1]
sizes = { layers = 2 }
options = { time = 5 }
optim = { lr = 1 }
init = { chrono = 9 }
flow_at = [0, 200]
[[grid]]
task = "hmm_tag"
arch = "lstm"
impl = ["scan", "stock"]
"""


@pytest.fixture
def demo(tmp_path: Path) -> str:
    path = tmp_path / "demo.toml"
    path.write_text(TEXT)
    return str(path)


def test_lists_multiply_and_backends_turn_fastest(demo: str) -> None:
    p = plan.load(demo)
    assert (p.name, p.title, p.description, p.converged) == ("demo", "t", "d", False)
    assert [c.name for c in p.cells[:4]] == [
        "pytorch/gru/copy_memory-time5/s0",
        "jax/gru/copy_memory-time5/s0",
        "pytorch/rnn/copy_memory-time5/s0",
        "jax/rnn/copy_memory-time5/s0",
    ]
    assert len(p.cells) == len({c.key for c in p.cells}) == 8 + 4
    first, last = p.cells[0], p.cells[-1]
    assert (first.sizes, first.optim, first.flow_at) == (Sizes(hidden=8, layers=2), Optim(lr=1.0), (0, 200))
    assert (first.init, last.init) == (Init(chrono=9), Init())
    assert (last.sizes, last.optim, last.impl, last.seed) == (Sizes(hidden=8), Optim(), "stock", 0)
    assert {c.batch for c in p.cells} == {4}


def test_filters_narrow_by_what_the_plan_has_and_put_in_what_it_lacks(demo: str) -> None:
    assert {c.backend for c in plan.load(demo, backends=["jax"]).cells} == {"jax"}
    assert {c.task for c in plan.load(demo, archs=["gru"]).cells} == {"copy_memory"}
    assert {c.impl for c in plan.load(demo, impls=["stock"]).cells} == {"stock"}
    assert {c.seed for c in plan.load(demo, seeds=3).cells} == {0, 1, 2}
    other = plan.load(demo, backends=["reference"], tasks=["hmm_tag"], precision="float64", steps=200).cells
    assert {(c.backend, c.task, c.precision, c.steps) for c in other} == {("reference", "hmm_tag", "float64", 200)}
    assert len(other) == 2


def test_learning_rates_are_multiplied_out_like_every_list(demo: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(Path(demo).read_text().replace("batch = 4", "batch = 4\nlr = [0.1, 0.01]", 1))
    once, twice = plan.load(demo).cells, plan.load(str(path)).cells
    assert len(twice) == 2 * len(once)
    assert {c.optim.lr for c in twice} == {0.1, 0.01}
    assert [replace(c, optim=once[0].optim) for c in twice[:1]] == [once[0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "hidden",
            "hiden",
            "demo.toml: key of defaults.sizes 'hiden' is not known; did you mean 'hidden'? known: hidden,",
        ),
        ("title =", "titel =", "demo.toml: key 'titel' is not known; did you mean 'title'?"),
        ("time = 5", "time = [5]", "demo.toml: grid.1.options.time.str is [5]; input should be a valid string"),
        ('title = "t"', "", "demo.toml: title is missing"),
        ("batch = 4", "batch = true", "demo.toml: defaults.batch is True; input should be a valid integer"),
        ("batch = 4", "batch = 0", "demo.toml: cell: batch is 0; it must be at least 1"),
        ("batch = 4", "batch = 4\nsmoothing = 1", "demo.toml: cell: smoothing is 1.0; it must be at least 0 and less"),
        ("batch = 4", "batch = ", "demo.toml: not TOML: "),
        ('"gru"', '"gruu"', "demo.toml: arch 'gruu' is not known; did you mean 'gru'? known: rnn,"),
        ('"jax"', '"jaxx"', "demo.toml: backend 'jaxx' is not known; did you mean 'jax'?"),
        ('"stock"', '"stok"', "demo.toml: impl 'stok' is not known; did you mean 'stock'?"),
        ('"hmm_tag"', '"hmm_tags"', "demo.toml: task 'hmm_tags' is not known; did you mean 'hmm_tag'?"),
        ('arch = "lstm"', "", "demo.toml: grid 2 has no arch; give it one, there or in [defaults]"),
        ("lr = 1", "lr = 1, weight_decay = 0.1", "demo.toml: optim: weight_decay belongs to adamw"),
        ("chrono = 9", "chrono = 2", "demo.toml: init: chrono is 2; it must be a time of at least 3, or 0 for off"),
        ("chrono = 9", "crono = 9", "demo.toml: key of grid.1.init 'crono' is not known; did you mean 'chrono'?"),
        ("[0, 200]", "[0, 201]", "demo.toml: cell: flow_at holds 201; it must lie in 0..steps = 200"),
        ('"demo"', '"de mo"', "demo.toml: name is 'de mo'; string should match pattern"),
        ('"demo"', '"../x"', "demo.toml: name is '../x'; string should match pattern"),
    ],
)
def test_a_mistake_is_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "demo.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ValueError, match="^" + re.escape(message)) as caught:
        plan.load(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"backends": ["jaks"]}, "--backend: backend 'jaks' is not known; did you mean 'jax'?"),
        ({"archs": ["lstn"]}, "--arch: arch 'lstn' is not known; did you mean 'lstm'?"),
        ({"tasks": ["adding"]}, "task of plan demo 'adding' is not known; known: copy_memory, hmm_tag"),
        ({"tasks": ["hmm_tag"], "archs": ["gru"]}, "demo.toml: no cell is left"),
        ({"seeds": 0}, "demo.toml: no cell is left"),
    ],
)
def test_a_filter_that_fits_nothing_is_refused(filters: dict[str, list[str]], message: str, demo: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        plan.load(demo, **filters)  # type: ignore[arg-type]


def test_an_unknown_plan_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="plan 'quik' is not known; did you mean 'quick'"):
        plan.load("quik")
    with pytest.raises(ValueError, match=r"there is no file nowhere\.toml"):
        plan.load("nowhere.toml")


@pytest.mark.parametrize("name", plan.names())
def test_the_suites_own_plans_load(name: str) -> None:
    p = plan.load(name)
    assert p.name == name
    assert len({c.key for c in p.cells}) == len(p.cells) > 0
    assert "\n" not in p.title
    if name != "sweep":  # its choices are made in one backend, for all
        assert {c.backend for c in p.cells} >= {"pytorch", "tensorflow", "jax"}
