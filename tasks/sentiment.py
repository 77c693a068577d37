"""Is the verdict good? Two clauses, of which the last decides, and "not" turns it round.

    sentence   CLAUSE , but CLAUSE   or   although CLAUSE , CLAUSE
    CLAUSE     the NOUN VERB [DENIAL] [ADVERB] ADJECTIVE
    DENIAL     not   or   not at all   or   not exactly

33 words, numbered from 1 on; 0 is pad. A clause is good that has a good adjective and no denial, or a bad one and a
denial. A third of all clauses have a denial, half of them an adverb; other choices are fair. Whoever sees how often
each word occurs, but not in which order, is at most right as often as `Sentiment.bag_of_words` says. No two pairs of
(NOUN, ADJECTIVE) meet in two splits, in any order: of all that can meet, 80 % do in train, 10 % each in val and test.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import PAD, Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

NOUNS = "film story plot acting music ending".split()
VERBS = "is was".split()
DENIALS = [["not"], ["not", "at", "all"], ["not", "exactly"], *6 * [[]]]  # a third of clauses have one
ADVERBS = [["really"], ["very"], ["so"], *3 * [[]]]  # and half have one of these
GOOD = "good great funny moving clever charming fine".split()
BAD = "bad dull boring weak clumsy poor flat".split()
ADJECTIVES = [*GOOD, *BAD]
WORDS = [*NOUNS, *VERBS, *ADJECTIVES, *"really very so the not at all exactly but although ,".split()]
NUMBER = {word: 1 + i for i, word in enumerate(WORDS)}
CORES = [(noun, adjective) for noun in NOUNS for adjective in ADJECTIVES]
LONGEST = 18


class Sentiment:
    """Words of a sentence in; 1 for a good verdict, 0 for a bad one out.

    >>> task = Sentiment(val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=3)
    >>> for x, y in zip(batch.x, batch.y, strict=True):
    ...     print(y, task.text(x))
    1 although the story was charming , the music is really fine
    0 although the ending was not very weak , the story was not at all really moving
    1 although the film is really weak , the acting is clever
    """

    name = "sentiment"
    metric = "accuracy"
    better: Literal["higher", "lower"] = "higher"
    signature = Signature("final", "xent", inputs=1 + len(WORDS), outputs=2)

    def __init__(self, data_seed: int = 0, val_size: int = 1000, test_size: int = 2000) -> None:
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 2, val_size=val_size, test_size=test_size)
        self._data = f"data/{self.name}/{data_seed}"
        pairs = np.array(list(itertools.combinations_with_replacement(range(len(CORES)), 2)))
        pairs = pairs[Stream(f"{self._data}/pairs").permutation(len(pairs))]
        tenth = len(pairs) // 10
        self._pairs = {"val": pairs[:tenth], "test": pairs[tenth : 2 * tenth], "train": pairs[2 * tenth :]}
        self._splits = {
            "val": [self._draw("val", f"{self._data}/val", val_size)],
            "test": [self._draw("test", f"{self._data}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh sentences in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw("train", f"{self._data}/train/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """Share of sentences judged rightly, and the cross-entropy in nats a sentence."""
        loss = common.mean_loss(self.signature, predictions, batches)
        return common.share("accuracy", *common.right(predictions, batches)) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Two floors and perfection."""
        return (
            Bound("floor", 1 / 2, "a guess"),
            Bound("floor", self.bag_of_words(), "the best guess from the bag of words"),
            Bound("ceiling", 1.0, "every verdict right"),
        )

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def text(self, tokens: Array) -> str:
        """The words of one row of ``x``."""
        return " ".join(WORDS[t - 1] for t in tokens if t != PAD)

    def bag_of_words(self) -> float:
        """How often the likelier verdict is right, given how often each word occurs; over the clauses of "test".

        Verbs and adverbs are drawn apart from the rest and tell nothing.
        """
        verdicts: dict[tuple[str, ...], Counter[bool]] = defaultdict(Counter)
        denials = list(itertools.product(range(len(DENIALS)), repeat=2))
        for pair in self._pairs["test"].tolist():
            for (a, b), (no_a, no_b) in itertools.product((pair, pair[::-1]), denials):
                bag = sorted((*CORES[a], *DENIALS[no_a], *CORES[b], *DENIALS[no_b]))
                verdicts[tuple(bag)][_good(b, no_b)] += 1
        return sum(max(v.values()) for v in verdicts.values()) / sum(v.total() for v in verdicts.values())

    def _draw(self, split: str, name: str, rows: int) -> Batch:
        stream, pairs = Stream(name), self._pairs[split]
        core = pairs[stream.integers(len(pairs), rows)]
        core = np.where(stream.integers(2, (rows, 1)), core[:, ::-1], core)
        verb, denial, adverb = (stream.integers(len(choices), (rows, 2)) for choices in (VERBS, DENIALS, ADVERBS))
        although = stream.integers(2, rows)
        sentences = []
        for r in range(rows):
            first, last = (_clause(core[r, k], verb[r, k], denial[r, k], adverb[r, k]) for k in (0, 1))
            words = ["although", *first, ",", *last] if although[r] else [*first, ",", "but", *last]
            sentences.append([NUMBER[word] for word in words])
        x, lengths = common.padded(sentences, LONGEST)
        y = np.array([_good(core[r, 1], denial[r, 1]) for r in range(rows)], np.int32)
        return Batch(x, lengths, y, np.ones(rows, bool))


def _clause(core: int, verb: int, denial: int, adverb: int) -> list[str]:
    noun, adjective = CORES[core]
    return ["the", noun, VERBS[verb], *DENIALS[denial], *ADVERBS[adverb], adjective]


def _good(core: int, denial: int) -> bool:
    """The verdict of a clause."""
    return (CORES[core][1] in GOOD) != bool(DENIALS[denial])
