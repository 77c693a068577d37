"""In which order did the X and Y come? Temporal order (Hochreiter & Schmidhuber 1997, experiments 6a and 6b).

    E a c X d b ... a Y c ... b B     E opens, B closes, X or Y at two or three places, a, b, c, d at random elsewhere

    profile   length     places, 6a       places, 6b               counted from E = 0
    full      100..110   10..20, 50..60   10..20, 33..43, 66..76
    small      30..33     3..6,  15..18    3..6,  10..13, 20..23

The class is what stands at the places, in order: XX, XY, YX, YY, or the 8 triples of 6b. Each is as likely as the
others. Who remembers one of n symbols still guesses the others: 1/2**(n-1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

LETTERS = "EBabcdXY"  # a letter's place is its number
E, B, NOISE, X = 0, 1, 2, 6  # the first of four letters of noise; Y is X + 1
Range = tuple[int, int]  # both ends included
LENGTHS: dict[str, Range] = {"full": (100, 110), "small": (30, 33)}
PLACES: dict[tuple[str, str], tuple[Range, ...]] = {
    ("full", "6a"): ((10, 20), (50, 60)),
    ("full", "6b"): ((10, 20), (33, 43), (66, 76)),
    ("small", "6a"): ((3, 6), (15, 18)),
    ("small", "6b"): ((3, 6), (10, 13), (20, 23)),
}


class TemporalOrder:
    """A row of letters in, the order of its X and Y out.

    >>> task = TemporalOrder(profile="small", val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=2)
    >>> [task.text(x) for x in batch.x], batch.y.tolist()
    (['EbdacXdcdaaacdbYadabccdadabcbcbB', 'EdcbXadcddbcabbbXcbccacdcdcbacbB'], [1, 0])
    """

    name = "temporal_order"
    metric = "accuracy"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        variant: str = "6a",
        profile: str = "full",
        data_seed: int = 0,
        val_size: int = 1000,
        test_size: int = 2000,
    ) -> None:
        common.one_of(self.name, "variant", variant, ["6a", "6b"])
        common.one_of(self.name, "profile", profile, list(LENGTHS))
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 2, val_size=val_size, test_size=test_size)
        self.length, self.places = LENGTHS[profile], PLACES[profile, variant]
        self.classes = 2 ** len(self.places)
        self.signature = Signature("final", "xent", inputs=len(LETTERS), outputs=self.classes)
        self._data = f"data/{self.name}/{data_seed}"
        self._splits = {
            "val": [self._draw(f"{self._data}/val", val_size)],
            "test": [self._draw(f"{self._data}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh rows in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._data}/train/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """Share of rows whose order is named correctly, and the cross-entropy in nats."""
        loss = common.mean_loss(self.signature, predictions, batches)
        return common.share("accuracy", *common.right(predictions, batches)) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Nothing, one symbol, ... all but one of them remembered, and perfection."""
        symbols = len(self.places)
        left = [2 ** (symbols - known) for known in range(symbols)]  # classes that still are possible
        what = [f"{known} of {symbols} symbols remembered ({math.log(k):.3f} nats)" for known, k in enumerate(left)]
        floors = [Bound("floor", 1 / k, w) for k, w in zip(left, what, strict=True)]
        return *floors, Bound("ceiling", 1.0, "every order right")

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def text(self, tokens: Array) -> str:
        """The letters of one row of ``x``, without what follows its B."""
        return "".join(LETTERS[t] for t in tokens).partition("B")[0] + "B"

    def _draw(self, name: str, rows: int) -> Batch:
        stream, row = Stream(name), np.arange(rows)
        shortest, steps = self.length
        lengths = (shortest + stream.integers(steps - shortest + 1, rows)).astype(np.int32)
        x = (NOISE + stream.integers(4, (rows, steps))).astype(np.int32)
        y = np.zeros(rows, np.int32)
        for low, high in self.places:
            bit = stream.integers(2, rows).astype(np.int32)
            x[row, low + stream.integers(high - low + 1, rows)] = X + bit
            y = 2 * y + bit
        x[:, 0] = E
        x[row, lengths - 1] = B
        return Batch(np.where(np.arange(steps) < lengths[:, None], x, 0), lengths, y, np.ones(rows, bool))
