"""Translate English number words into digits: "two hundred and five" -> "205".

Numbers below a million, British wording: "and" stands between hundred or thousand and a remainder below 100.
Source: 31 words, at most 11 and eos. Target: the characters 0-9 and eos. Both are numbered from 4 on, after pad, bos,
eos and unk. Numbers are drawn without replacement, stratified by digit count, so train, val and test are disjoint:

    digits    1   2    3     4      5      6       tiny:  3    4    5    6
    train    10  90  540  5400   6000   6000            200  500  600  600     (1 and 2 digits: all)
    val       -   -  180  1000   1000   1000             20   60   60   60
    test      -   -  180  1000   1000   1000             40  120  120  120

A further split, "compose", holds only numbers from 900,000: "nine hundred" never counts thousands in the other three,
though "nine hundred" and "eight hundred thousand" are there. Who answers has put known parts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import UNK, Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
WORDS = [*ONES, *TENS, "hundred", "thousand", "and"]
FIRST = UNK + 1  # the number of the first word, and of the character 0
LONGEST_SOURCE, LONGEST_TARGET = 12, 7  # with eos
HELD_OUT = 900_000  # from here on: "compose"

# digits -> how many numbers in train, val and test; numbers of 1 and 2 digits are all in train
PROFILES = {
    "full": {3: (540, 180, 180), 4: (5400, 1000, 1000), 5: (6000, 1000, 1000), 6: (6000, 1000, 1000)},
    "tiny": {3: (200, 20, 40), 4: (500, 60, 120), 5: (600, 60, 120), 6: (600, 60, 120)},
}
COMPOSE = {"full": 1000, "tiny": 200}


def in_words(n: int) -> str:
    """The wording of 0..999,999.

    >>> in_words(205), in_words(12005)
    ('two hundred and five', 'twelve thousand and five')
    >>> in_words(777777).count(" ") + 1
    11
    """
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f" {ONES[n % 10]}" if n % 10 else "")
    size, unit = (1000, "thousand") if n >= 1000 else (100, "hundred")
    head, rest = f"{in_words(n // size)} {unit}", n % size
    if not rest:
        return head
    return f"{head} and {in_words(rest)}" if rest < 100 else f"{head} {in_words(rest)}"


class NumWords:
    """Number words in, digits out.

    >>> task = NumWords(profile="tiny")
    >>> batch = task.batch("test", seed=0, step=0, size=2)
    >>> [task.source_text(x) for x in batch.x], [task.target_text(y) for y in batch.y]
    (['seventy three thousand one hundred and thirteen', 'twenty eight thousand and fifty two'], ['73113', '28052'])
    >>> batch.x[0].tolist()
    [29, 7, 33, 5, 32, 34, 17, 2, 0, 0, 0, 0]
    >>> batch.y_in[0].tolist(), batch.y[0].tolist()
    ([1, 11, 7, 5, 5, 7, 2], [11, 7, 5, 5, 7, 2, 0])
    """

    name = "numwords"
    metric = "exact_match"
    better: Literal["higher", "lower"] = "higher"
    signature = Signature(
        "translate", "xent", inputs=FIRST + len(WORDS), outputs=FIRST + 10, longest_target=LONGEST_TARGET
    )

    def __init__(
        self, profile: str = "full", data_seed: int = 0, val_size: int | None = None, test_size: int | None = None
    ) -> None:
        common.one_of(self.name, "profile", profile, list(PROFILES))
        common.whole_number(self.name, 0, data_seed=data_seed)
        self._train = f"data/{self.name}/{data_seed}/train"
        world = f"task/{self.name}/{data_seed}"
        numbers: list[list[int]] = [list(range(100)), [], []]  # train, val, test
        for digits, sizes in PROFILES[profile].items():
            low, high = 10 ** (digits - 1), min(10**digits, HELD_OUT)
            drawn = low + Stream(f"{world}/digits/{digits}").permutation(high - low)
            for pool, part in zip(numbers, np.split(drawn[: sum(sizes)], np.cumsum(sizes)[:-1]), strict=True):
                pool += part.tolist()
        compose = HELD_OUT + Stream(f"{world}/compose").permutation(10**6 - HELD_OUT)[: COMPOSE[profile]]
        self._splits = {"compose": [_rows(compose.tolist())]}
        for split, pool, wanted in (("val", numbers[1], val_size), ("test", numbers[2], test_size)):
            order = Stream(f"{world}/{split}").permutation(len(pool))
            shuffled = [pool[i] for i in order]
            self._splits[split] = [_rows(common.first(self.name, f"{split}_size", shuffled, wanted))]
        self._parts = [_rows(numbers[0])]

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Training goes through its numbers epoch by epoch."""
        if split == "train":
            return common.epochs(self._parts, f"{self._train}/{seed}", step, size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val", "test" or "compose"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """exact_match: all characters and eos; characters: share of the answer's positions, eos included."""
        return common.exact_match(predictions, batches)

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """What one constant answer buys on the test split, and perfection."""
        floor = common.constant_answer(self._parts[0], self._splits["test"][0])
        return floor, Bound("ceiling", 1.0, "every number right")

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def source_text(self, tokens: Array) -> str:
        """The words of one row of ``x``."""
        return " ".join(WORDS[t - FIRST] for t in common.until_eos(tokens))

    def target_text(self, tokens: Array) -> str:
        """The digits of one row of ``y`` or of what was decoded; "?" for what is none."""
        return "".join(str(t - FIRST) if t >= FIRST else "?" for t in common.until_eos(tokens))


def _rows(numbers: Sequence[int]) -> Batch:
    """The rows of a split."""
    index = {word: FIRST + i for i, word in enumerate(WORDS)}
    words = [[index[word] for word in in_words(n).split()] for n in numbers]
    digits = [[FIRST + int(digit) for digit in str(n)] for n in numbers]
    return common.translation(words, digits, (LONGEST_SOURCE, LONGEST_TARGET))
