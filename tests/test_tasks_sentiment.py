"""sentiment: the wording, what decides, splits without common clauses, and what a bag of words knows."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
import pytest

from suite.spec.contract import Array, Batch
from tasks.sentiment import LONGEST, WORDS, Sentiment
from tests.task_runs import scored, training, whole

NOUN = "film|story|plot|acting|music|ending"
GOOD = "good great funny moving clever charming fine".split()
BAD = "bad dull boring weak clumsy poor flat".split()
CLAUSE = rf"the (?:{NOUN}) (?:is|was) (?:not (?:at all |exactly )?)?(?:(?:really|very|so) )?(?:{'|'.join(GOOD + BAD)})"
SENTENCE = re.compile(rf"({CLAUSE}) , but ({CLAUSE})|although ({CLAUSE}) , ({CLAUSE})")


def clauses(sentence: str) -> tuple[str, str]:
    match = SENTENCE.fullmatch(sentence)
    assert match, sentence
    first, last = (group for group in match.groups() if group)
    return first, last


def verdict(clause: str) -> int:
    return int((clause.split()[-1] in GOOD) != (" not " in clause))


def sentences(task: Sentiment, batches: list[Batch]) -> list[tuple[str, int]]:
    return [(task.text(b.x[i]), int(b.y[i])) for b in batches for i in np.flatnonzero(b.scored)]


def test_the_last_clause_decides() -> None:
    task = Sentiment(val_size=2, test_size=2)
    rows = sentences(task, training(task, 30))
    assert all(verdict(clauses(sentence)[1]) == y for sentence, y in rows)
    against = np.mean([verdict(clauses(sentence)[0]) != y for sentence, y in rows])
    assert abs(against - 0.5) <= 3 * 0.5 / len(rows) ** 0.5
    nouns = [tuple(clause.split()[1] for clause in clauses(sentence)) for sentence, _ in rows]
    rising = [first < last for first, last in nouns if first != last]
    assert abs(np.mean(rising) - 0.5) <= 3 * 0.5 / len(rising) ** 0.5  # either clause may come last
    assert {word for sentence, _ in rows for word in sentence.split()} == set(WORDS)
    assert len(WORDS) == len(set(WORDS)) == 33
    assert max(len(sentence.split()) for sentence, _ in rows) == LONGEST


def test_no_two_clauses_meet_in_two_splits() -> None:
    task = Sentiment()
    met: list[set[tuple[object, ...]]] = []
    for batches in (training(task, 100), whole(task, "val"), whole(task, "test")):
        split = set()
        for sentence, _ in sentences(task, batches):
            pair = [(clause.split()[1], clause.split()[-1]) for clause in clauses(sentence)]
            split.add(tuple(sorted(pair)))
        met.append(split)
    assert len(set.union(*met)) == sum(map(len, met))
    assert min(map(len, met)) >= 300


def test_verdicts_are_even_and_only_adjectives_tell_of_them() -> None:
    task = Sentiment(val_size=2, test_size=2)
    rows = sentences(task, training(task, 100))
    by_word: dict[str, list[int]] = defaultdict(list)
    for sentence, y in rows:
        for word in set(sentence.split()):
            by_word[word].append(y)
    assert set(by_word) == set(WORDS)
    for word, verdicts in by_word.items():
        z = (np.mean(verdicts) - 0.5) / (0.5 / len(verdicts) ** 0.5)
        assert (abs(z) <= 4) or z * ((word in GOOD) - (word in BAD)) > 0, word
    denied = ["not" in clause.split() for sentence, _ in rows for clause in clauses(sentence)]
    assert abs(np.mean(denied) - 1 / 3) <= 3 * (2 / 9 / len(denied)) ** 0.5


def test_floors_and_ceiling_by_simulation() -> None:
    task = Sentiment(val_size=2, test_size=4000)
    guess, bag, ceiling = task.bounds(False)
    test = whole(task, "test")

    def read(b: Batch, judge: str) -> Array:
        out = np.zeros((len(b.x), 2))
        for i in np.flatnonzero(b.scored):
            words = task.text(b.x[i]).split()
            good, no = sum(w in GOOD for w in words), words.count("not")
            known = {(2, 0): 1, (2, 2): 0, (0, 0): 0, (0, 2): 1}.get((good, no), 1)  # else a guess
            out[i, known if judge == "bag" else verdict(clauses(" ".join(words))[1])] = 50.0
        return out

    for bound, got in (
        (guess, scored(task, test, lambda b: np.broadcast_to([0.0, 1.0], (len(b.x), 2)))),
        (bag, scored(task, test, lambda b: read(b, "bag"))),
    ):
        assert abs(got["accuracy"] - bound.value) <= 3 * got["accuracy_se"]
    assert scored(task, test, lambda b: read(b, "last clause"))["accuracy"] == ceiling.value
    assert task.bounds(True) == task.bounds(False)


def test_the_floor_of_the_bag_is_that_of_its_polarities() -> None:
    task = Sentiment(val_size=2, test_size=2)
    alike = np.mean([(a % 14 < 7) == (b % 14 < 7) for a, b in task._pairs["test"]])
    one_denied = 2 * (1 / 3) * (2 / 3)  # then it is even; two unlike clauses always are
    assert task.bag_of_words() == pytest.approx(alike * (1 - one_denied / 2) + (1 - alike) / 2, abs=1e-12)


def test_a_split_of_one_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="sentiment: test_size is 1; use a whole number >= 2"):
        Sentiment(test_size=1)
