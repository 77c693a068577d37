"""Pick the symbols out of a long row of blanks and repeat them in order (Gu & Dao 2023, section 4.1.1).

    step      1..T                                    T+1..T+L
    input     L symbols at random places, else blank  markers    T = time = 128, L = length = 8
    target    not scored                              symbols    blank 0, symbols 1..K, marker K+1; K = symbols = 8

What must be remembered is told by what is read and not by when. Targets are numbered 0..K-1, and only they are scored:
without memory 1/K of them are right, at ln K nats each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common


class SelectiveCopy:
    """Few symbols among many blanks in, the symbols out.

    >>> task = SelectiveCopy(time=5, symbols=3, length=2, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=3, size=1)
    >>> batch.x.tolist(), batch.y.tolist(), batch.scored.astype(int).tolist()
    ([[0, 0, 3, 0, 1, 4, 4]], [[0, 0, 0, 0, 0, 2, 0]], [[0, 0, 0, 0, 0, 1, 1]])
    """

    name = "selective_copy"
    metric = "recall"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        time: int = 128,
        symbols: int = 8,
        length: int = 8,
        data_seed: int = 0,
        val_size: int = 1000,
        test_size: int = 2000,
    ) -> None:
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 1, length=length)
        common.whole_number(self.name, length, time=time)
        common.whole_number(self.name, 2, symbols=symbols, val_size=val_size, test_size=test_size)
        self.time, self.symbols, self.length = time, symbols, length
        self.signature = Signature("label", "xent", inputs=symbols + 2, outputs=symbols)
        self._data = f"data/{self.name}/{data_seed}"
        self._splits = {
            "val": [self._draw(f"{self._data}/val", val_size)],
            "test": [self._draw(f"{self._data}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh symbols and places in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._data}/train/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """recall: accuracy on the symbols asked for; loss: nats for each of them."""
        loss = common.mean_loss(self.signature, predictions, batches)
        return common.share("recall", *common.right(predictions, batches)) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """A guess and perfection."""
        what = f"memoryless guess ({math.log(self.symbols):.3f} nats a symbol)"
        return Bound("floor", 1 / self.symbols, what), Bound("ceiling", 1.0, "every symbol repeated in order")

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def _draw(self, name: str, rows: int) -> Batch:
        stream, steps = Stream(name), self.time + self.length
        symbols = stream.integers(self.symbols, (rows, self.length))
        order = np.argsort(stream.uniform((rows, self.time)), axis=1, kind="stable")
        places = np.sort(order[:, : self.length], axis=1)
        x, y = np.zeros((2, rows, steps), np.int32)
        x[np.arange(rows)[:, None], places] = symbols + 1
        x[:, self.time :] = self.symbols + 1
        y[:, self.time :] = symbols
        scored = np.broadcast_to(np.arange(steps) >= self.time, y.shape).copy()
        return Batch(x, np.full(rows, steps, np.int32), y, scored)
