"""Recall values by their keys: multi-query associative recall (Arora et al. 2023, arXiv:2312.04927; their layout).

    step      1   2   3   4  ...  2K-1  2K     2K+1 ... L                             K = pairs, L = length
    input     k1  v1  k2  v2 ...  kK    vK     each key once, somewhere; blanks between
    target    -   -   -   -  ...  -     -      the value of that key; nothing else is scored

Tokens: blank 0, keys 1..V/2-1, values V/2..V-1; within a row all keys differ and all values differ. Queries stand at
steps 2K + 2g + 1, the gaps g drawn one after the other without replacement by the power law (g + 1)**(a - 1), a = .01.
Who remembers the values but not which key had which guesses one in K; who remembers nothing, one in V/2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

POWER = 0.01  # a


class Mqar:
    """Pairs of key and value in, then keys; their values out.

    >>> task = Mqar(pairs=2, length=8, vocabulary=12, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=1)
    >>> batch.x.tolist()  # key 5 has value 11, key 3 has 9; both are asked for
    [[5, 11, 3, 9, 3, 0, 5, 0]]
    >>> batch.y[batch.scored].tolist()
    [9, 11]
    """

    name = "mqar"
    metric = "accuracy"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        pairs: int = 8,
        length: int = 64,
        vocabulary: int = 128,
        data_seed: int = 0,
        val_size: int = 1000,
        test_size: int = 2000,
    ) -> None:
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 2, pairs=pairs, val_size=val_size, test_size=test_size)
        common.whole_number(self.name, 4 * pairs, length=length)
        common.whole_number(self.name, 2 * pairs + 2, vocabulary=vocabulary)
        self.pairs, self.length = pairs, length
        self._keys, self._values = vocabulary // 2 - 1, vocabulary - vocabulary // 2
        self.signature = Signature("label", "xent", inputs=vocabulary, outputs=vocabulary)
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
        """Share of queries answered with the right value, and the cross-entropy in nats a query."""
        loss = common.mean_loss(self.signature, predictions, batches)
        return common.share("accuracy", *common.right(predictions, batches)) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Two guesses and perfection."""
        return (
            Bound("floor", 1 / self._values, f"any value ({math.log(self._values):.4f} nats)"),
            Bound("floor", 1 / self.pairs, f"any value of the row ({math.log(self.pairs):.4f} nats)"),
            Bound("ceiling", 1.0, "every value recalled"),
        )

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def _draw(self, name: str, rows: int) -> Batch:
        stream, context = Stream(name), 2 * self.pairs
        keys = 1 + self._different(stream, rows, np.ones(self._keys))
        values = 1 + self._keys + self._different(stream, rows, np.ones(self._values))
        law = np.arange(1.0, (self.length - context) // 2 + 1) ** (POWER - 1)
        queries = context + 2 * self._different(stream, rows, law)
        x, y = np.zeros((2, rows, self.length), np.int32)
        scored = np.zeros(x.shape, bool)
        x[:, 0:context:2], x[:, 1:context:2] = keys, values
        np.put_along_axis(x, queries, keys.astype(np.int32), axis=1)
        np.put_along_axis(y, queries, values.astype(np.int32), axis=1)
        np.put_along_axis(scored, queries, True, axis=1)
        return Batch(x, np.full(rows, self.length, np.int32), y, scored)

    def _different(self, stream: Stream, rows: int, weights: Array) -> Array:
        """``pairs`` different columns a row, drawn one after the other by weight: the first of an exponential race."""
        arrival = -np.log1p(-stream.uniform((rows, len(weights)))) / weights
        return np.argsort(arrival, axis=1, kind="stable")[:, : self.pairs]
