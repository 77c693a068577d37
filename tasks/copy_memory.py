"""Show some symbols, wait, ask for them back (Hochreiter & Schmidhuber 1997; layout of Arjovsky et al. 2016).

    step      1..L         then T-1     1        L                 L = length = 10, T = time
    input     symbols      blanks       marker   blanks            blank 0, symbols 1..K, marker K+1; K = symbols = 8
    target    blanks ............................ the symbols

Without memory the best is to say blank until asked and then to guess: a loss of L ln K / (T + 2L) nats a step, which
is 10 ln 8 / (T + 20), and a recall of 1/K. Symbols are drawn independently; an evaluation string meets its twin in
training with a chance of rows / K**L each, below 1e-3 for a million rows at the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common


class CopyMemory:
    """Symbols in, a wait, the symbols out.

    >>> task = CopyMemory(time=3, symbols=3, length=3, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=1)
    >>> batch.x.tolist(), batch.y.tolist()  # three symbols of 1..3, two blanks, the marker 4, three blanks
    ([[3, 3, 1, 0, 0, 4, 0, 0, 0]], [[0, 0, 0, 0, 0, 0, 3, 3, 1]])
    """

    name = "copy_memory"
    metric = "recall"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        time: int = 20,
        symbols: int = 8,
        length: int = 10,
        data_seed: int = 0,
        val_size: int = 1000,
        test_size: int = 2000,
    ) -> None:
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 1, time=time, length=length)
        common.whole_number(self.name, 2, symbols=symbols, val_size=val_size, test_size=test_size)
        self.time, self.symbols, self.length = time, symbols, length
        self.signature = Signature("label", "xent", inputs=symbols + 2, outputs=symbols + 1)
        self.memoryless_loss = length * math.log(symbols) / (time + 2 * length)
        self._train = f"data/{self.name}/{data_seed}/train"
        world = f"task/{self.name}/{data_seed}"
        self._splits = {
            "val": [self._draw(f"{world}/val", val_size)],
            "test": [self._draw(f"{world}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh symbols in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._train}/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """recall: accuracy on the symbols asked for; accuracy and loss (nats): over all steps."""
        return recalled(self.signature, predictions, batches)

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """A guess and perfection."""
        what = f"memoryless guess ({self.memoryless_loss:.5f} nats a step)"
        return Bound("floor", 1 / self.symbols, what), Bound("ceiling", 1.0, "every symbol repeated")

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def _draw(self, name: str, rows: int) -> Batch:
        symbols = Stream(name).integers(self.symbols, (rows, self.length)) + 1
        return asked_back(symbols, np.full(rows, self.time), marker=self.symbols + 1, steps=self.time + 2 * self.length)


def asked_back(symbols: Array, waits: Array, marker: int, steps: int) -> Batch:
    """Rows that show ``symbols`` (N, L) and ask for them ``waits`` (N,) steps later, padded to ``steps``."""
    rows, length = symbols.shape
    row, asked = np.arange(rows), length + waits  # the first of the steps that are to repeat
    x, y = np.zeros((2, rows, steps), np.int32)
    x[:, :length] = symbols
    x[row, asked - 1] = marker
    y[row[:, None], asked[:, None] + np.arange(length)] = symbols
    lengths = (asked + length).astype(np.int32)
    return Batch(x, lengths, y, np.arange(steps) < lengths[:, None])


def recalled(signature: Signature, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
    """The scores of copying: recall where the target is a symbol, accuracy and loss (nats) over all steps."""
    hits, steps = common.right(predictions, batches)
    symbols = common.right(predictions, [replace(b, scored=b.scored & (b.y > 0)) for b in batches])
    loss = common.mean_loss(signature, predictions, batches)
    return common.share("recall", *symbols) | {"accuracy": float(hits.sum() / steps.sum()), "loss": loss}
