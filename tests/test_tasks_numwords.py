"""numwords: the wording, disjoint and stratified splits, epochs, exact match."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from suite.contract import right_answers
from tasks.numwords import COMPOSE, HELD_OUT, PROFILES, NumWords, in_words
from tests.task_runs import training, whole


def test_wording_is_british_and_unique() -> None:
    numbers = [45, 1001, 1100, 20_019, 100_000, 700_007, 999_999]
    assert [in_words(n) for n in numbers] == [
        "forty five",
        "one thousand and one", "one thousand one hundred", "twenty thousand and nineteen", "one hundred thousand",
        "seven hundred thousand and seven", "nine hundred and ninety nine thousand nine hundred and ninety nine",
    ]  # fmt: skip
    assert len({in_words(n) for n in range(30_000)}) == 30_000


@pytest.mark.parametrize("first", [0, 99_000, 899_000])
def test_and_stands_before_a_remainder_below_a_hundred(first: int) -> None:
    for n in range(first, first + 1500):
        thousands, rest = divmod(n, 1000)
        inside = sum(group >= 100 and group % 100 > 0 for group in (thousands, rest))
        assert in_words(n).split().count("and") == inside + (n >= 1000 and 0 < rest < 100), n


@pytest.mark.parametrize("profile", PROFILES)
def test_numbers_are_disjoint_and_stratified(profile: str) -> None:
    task = NumWords(profile=profile)
    steps = -(-(100 + sum(sizes[0] for sizes in PROFILES[profile].values())) // 64)
    splits = {s: [task.target_text(y) for b in whole(task, s) for y in b.y[b.scored.any(1)]]
              for s in ("val", "test", "compose")}  # fmt: skip
    splits["train"] = [task.target_text(y) for b in training(task, steps) for y in b.y[b.scored.any(1)]]
    assert len(set(itertools.chain(*splits.values()))) == sum(map(len, splits.values()))  # one epoch is train, once
    drawn = PROFILES[profile]
    by_digits = [[sum(len(n) == d for n in splits[s]) for d in range(1, 7)] for s in ("train", "val", "test")]
    assert by_digits == [
        [*small, *(drawn[d][i] for d in (3, 4, 5, 6))] for i, small in enumerate([(10, 90), (0, 0), (0, 0)])
    ]
    assert len(splits["compose"]) == COMPOSE[profile]
    assert all((int(n) >= HELD_OUT) == (s == "compose") for s in splits for n in splits[s])


def test_every_number_is_in_words_what_it_is_in_digits() -> None:
    task = NumWords(profile="tiny")
    for b in (*whole(task, "test"), *whole(task, "compose"), *training(task, 5)):
        for row in np.flatnonzero(b.scored.any(1)):
            assert task.source_text(b.x[row]) == in_words(int(task.target_text(b.y[row])))


def test_an_epoch_meets_each_number_once_and_the_next_in_another_order() -> None:
    task = NumWords(profile="tiny")
    steps = 2000 // 64 + 1
    epochs = [[task.batch("train", 5, epoch * steps + step, 64) for step in range(steps)] for epoch in (0, 1)]
    texts = [[task.target_text(y) for b in e for y in b.y[b.scored.any(1)]] for e in epochs]
    assert len(texts[0]) == len(set(texts[0])) == 2000
    assert set(texts[0]) == set(texts[1])
    assert texts[0] != texts[1]


def test_exact_match_counts_whole_numbers_and_only_them() -> None:
    task = NumWords(profile="tiny", test_size=30)
    test = whole(task, "test", 16)
    answers = [right_answers(task.signature, b) for b in test]
    assert task.score(answers, test) == {"exact_match": 1.0, "exact_match_se": 0.0, "characters": 1.0}
    answers[0][0, 0] += 1
    answers[0][1, int(test[0].y_lengths[1]) - 1] = 4  # a digit where eos belongs
    assert task.score(answers, test)["exact_match"] == pytest.approx(28 / 30)
    constant = task.bounds(False)[0]
    assert constant.value <= 1 / 30
