"""Add the two marked numbers of a long row (Hochreiter & Schmidhuber 1997; as in Arjovsky et al. 2016).

    x (B, T, 2)   values U[0, 1) and marks 0 or 1, the first mark in steps 0..T//2-1, the second in T//2..T-1
    y (B, 1)      the sum of the two marked values

Saying 1 always costs Var(u + v) = 1/6; remembering one of the two values costs 1/12, a second plateau on the way down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

SOLVED = 0.04  # an answer is right if it is off by less (Hochreiter & Schmidhuber 1997)


class Adding:
    """Many numbers in, the sum of the two marked ones out.

    >>> task = Adding(time=4, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=1)
    >>> batch.x.round(3).tolist(), batch.y.round(3).tolist()
    ([[[0.221, 0.0], [0.274, 1.0], [0.056, 0.0], [0.039, 1.0]]], [[0.313]])
    """

    name = "adding"
    metric = "mse"
    better: Literal["higher", "lower"] = "lower"
    signature = Signature("final", "mse", inputs=2, outputs=1, tokens=False)

    def __init__(self, time: int = 100, data_seed: int = 0, val_size: int = 1000, test_size: int = 2000) -> None:
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 2, time=time, val_size=val_size, test_size=test_size)
        self.time = time
        self._train = f"data/{self.name}/{data_seed}/train"
        world = f"task/{self.name}/{data_seed}"
        self._splits = {
            "val": [self._draw(f"{world}/val", val_size)],
            "test": [self._draw(f"{world}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh rows in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._train}/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """mse and loss: the same number, the mean squared error; solved: the share of answers off by less than .04."""
        pairs = zip(predictions, batches, strict=True)
        error = np.concatenate([np.asarray(p, np.float64)[b.scored] - b.y[b.scored] for p, b in pairs])[:, 0]
        squares = common.share("mse", error**2, np.ones(len(error)))
        return squares | {"loss": squares["mse"], "solved": float((np.abs(error) < SOLVED).mean())}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """The constant answer and no error."""
        return Bound("floor", 1 / 6, "always 1 (one of two values remembered: 1/12)"), Bound("ceiling", 0.0, "no error")

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def _draw(self, name: str, rows: int) -> Batch:
        stream, half, row = Stream(name), self.time // 2, np.arange(rows)
        x = np.zeros((rows, self.time, 2))
        x[:, :, 0] = stream.uniform((rows, self.time))
        first, second = stream.integers(half, rows), half + stream.integers(self.time - half, rows)
        x[row, first, 1] = x[row, second, 1] = 1.0
        y = x[row, first, :1] + x[row, second, :1]
        return Batch(x, np.full(rows, self.time, np.int32), y, np.ones(rows, bool))
