"""Is the verdict good? Two clauses, of which the last decides, and "not" turns it round.

    sentence   CLAUSE , but CLAUSE   or   although CLAUSE , CLAUSE
    CLAUSE     the NOUN VERB [DENIAL] [ADVERB] ADJECTIVE
    DENIAL     not   or   not at all   or   not exactly

33 words, numbered from 1 on; 0 is pad. A clause is good that has a good adjective and no denial, or a bad one and a
denial. All choices are fair and [..] is there half the time. So no single word tells anything, and whoever sees how
often each word occurs but not their order has little more, `Sentiment.bag_of_words`. No pair of (NOUN, ADJECTIVE),
(NOUN, ADJECTIVE) is in two splits, in any order: 80 % of all such pairs are train's, 10 % each val's and test's.
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
DENIALS = (["not"], ["not", "at", "all"], ["not", "exactly"])
ADVERBS = "really very so".split()
GOOD = "good great funny moving clever charming fine".split()
BAD = "bad dull boring weak clumsy poor flat".split()
ADJECTIVES = [*GOOD, *BAD]
WORDS = [*NOUNS, *VERBS, *ADVERBS, *ADJECTIVES, *"the not at all exactly but although ,".split()]
NUMBER = {word: 1 + i for i, word in enumerate(WORDS)}
CORES = [(noun, adjective) for noun in NOUNS for adjective in ADJECTIVES]
LONGEST = 18


class Sentiment:
    """Words of a sentence in; 1 for a good verdict, 0 for a bad one out.

    >>> task = Sentiment(val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=3)
    >>> for x, y in zip(batch.x, batch.y, strict=True):
    ...     print(y, task.text(x))
    0 although the story was not at all charming , the music is not fine
    1 although the ending was weak , the story was very moving
    0 although the film is not weak , the acting is not exactly clever
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
        """How often the likelier verdict is right, given how often each word occurs; over all of "test"'s clauses.

        Words other than nouns, adjectives and "not" are drawn apart from these and so from the verdict.
        """
        verdicts: dict[object, Counter[bool]] = defaultdict(Counter)
        for pair in self._pairs["test"].tolist():
            for (a, b), (no_a, no_b) in itertools.product((pair, pair[::-1]), itertools.product((0, 1), repeat=2)):
                words = sorted((*CORES[a], *CORES[b]))
                verdicts[*words, no_a + no_b][_good(b, no_b)] += 1
        return sum(max(v.values()) for v in verdicts.values()) / sum(v.total() for v in verdicts.values())

    def _draw(self, split: str, name: str, rows: int) -> Batch:
        stream, pairs = Stream(name), self._pairs[split]
        cores = pairs[stream.integers(len(pairs), rows)]
        cores = np.where(stream.integers(2, (rows, 1)), cores[:, ::-1], cores)
        verb, no, denial = (stream.integers(n, (rows, 2)) for n in (len(VERBS), 2, len(DENIALS)))
        adverb = stream.integers(2 * len(ADVERBS), (rows, 2))  # the upper half: none
        although = stream.integers(2, rows)
        sentences = []
        for r in range(rows):
            first, last = (
                ["the", CORES[cores[r, k]][0], VERBS[verb[r, k]], *DENIALS[denial[r, k]] * no[r, k],
                 *ADVERBS[adverb[r, k] :][:1], CORES[cores[r, k]][1]] for k in (0, 1)
            )  # fmt: skip
            words = ["although", *first, ",", *last] if although[r] else [*first, ",", "but", *last]
            sentences.append([NUMBER[word] for word in words])
        x, lengths = common.padded(sentences, LONGEST)
        y = np.array([_good(*row) for row in zip(cores[:, 1], no[:, 1], strict=True)], np.int32)
        return Batch(x, lengths, y, np.ones(rows, bool))


def _good(core: int, no: int) -> bool:
    """The verdict of a clause."""
    return (CORES[core][1] in GOOD) != bool(no)
