"""Say the next character of Shakespeare's plays: tinyshakespeare, 1,115,394 characters, 65 different ones.

The first nine tenths are train, the next twentieth val, the last test. Every row is a window of ``time`` characters
and is read from a zero state. Windows of train start anywhere in it; val and test are cut into windows end to end, so
that each of their characters but the first is asked for once. bits_per_char is the mean loss over ln 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common, data

SET, PATH = "charlm_tinyshakespeare", "data/tinyshakespeare/input.txt"


def windows(tokens: Array, time: int) -> Batch:
    """Text (N,) as rows of ``time`` characters end to end, and the characters after them; the last row may be shorter.

    >>> rows = windows(np.array([3, 1, 4, 1, 5, 9]), time=3)
    >>> rows.x.tolist(), rows.y.tolist(), rows.lengths.tolist()
    ([[3, 1, 4], [1, 5, 0]], [[1, 4, 1], [5, 9, 0]], [3, 2])
    """
    asked = len(tokens) - 1
    rows = -(-asked // time)
    x, y = np.zeros((2, rows * time), np.int32)
    x[:asked], y[:asked] = tokens[:-1], tokens[1:]
    scored = (np.arange(rows * time) < asked).reshape(rows, time)
    return Batch(x.reshape(rows, time), scored.sum(1).astype(np.int32), y.reshape(rows, time), scored)


class CharLm:
    """Characters in, the next character out. ``characters`` is the vocabulary, in order of their numbers."""

    name = "charlm"
    metric = "bits_per_char"
    better: Literal["higher", "lower"] = "lower"

    def __init__(self, time: int = 64, val_size: int | None = None, test_size: int | None = None) -> None:
        common.whole_number(self.name, 1, time=time)
        text = data.text(SET, PATH)
        self.time, self.characters = time, sorted(set(text))
        number = {character: i for i, character in enumerate(self.characters)}
        self.start = number["\n"]  # what a text that is written goes on from
        tokens = np.array([number[character] for character in text], np.int32)
        self.signature = Signature("label", "xent", inputs=len(number), outputs=len(number))
        self._train, *rest = np.split(tokens, [len(tokens) * 18 // 20, len(tokens) * 19 // 20])
        if time >= len(self._train):
            raise ValueError(f"{self.name}: time is {time}; train has {len(self._train)} characters")
        self._splits = {}
        for split, part, wanted in zip(("val", "test"), rest, (val_size, test_size), strict=True):
            rows = windows(part, time)
            chosen = common.first(self.name, f"{split}_size", range(len(rows.x)), wanted)
            self._splits[split] = [common.take(rows, np.array(chosen), len(chosen))]

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Windows from anywhere in train; fixed ones in "val" and "test"."""
        if split == "train":
            starts = Stream(f"data/{self.name}/train/{seed}/{step}").integers(len(self._train) - self.time, size)
            rows = self._train[starts[:, None] + np.arange(self.time + 1)]
            lengths, scored = np.full(size, self.time, np.int32), np.ones((size, self.time), bool)
            return Batch(rows[:, :-1].copy(), lengths, rows[:, 1:].copy(), scored)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """bits_per_char, and the share of characters named."""
        nats, asked = common.nats(self.signature, predictions, batches)
        hits, _ = common.right(predictions, batches)
        bits = common.share("bits_per_char", nats / math.log(2), asked)
        return bits | {"loss": float(nats.sum() / asked.sum()), "accuracy": float(hits.sum() / asked.sum())}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Two tables counted in train, one added to each count, on the test split. Unsupported for both ways."""
        common.one_way(self.name, bidirectional)
        test, size = self._splits["test"][0], len(self.characters)
        pairs = np.ones((size, size))
        np.add.at(pairs, (self._train[:-1], self._train[1:]), 1)
        alone = np.broadcast_to(1.0 + np.bincount(self._train, minlength=size), (*test.x.shape, size))
        tables = {"each character's frequency": alone, "its frequency after the one before": pairs[test.x]}
        return tuple(
            Bound("floor", self.score([np.log(counts)], [test])["bits_per_char"], what)
            for what, counts in tables.items()
        )

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def text(self, tokens: Array) -> str:
        """The characters of some tokens, without the pads of a row: ``task.text(b.x[0, : b.lengths[0]])``."""
        return "".join(self.characters[t] for t in tokens)
