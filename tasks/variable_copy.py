"""Copy memory with a wait that differs from row to row (Tallec & Ollivier 2018).

    step      1..L         then W-1     1        L         pads up to T + 2L
    input     symbols      blanks       marker   blanks    blank and pad 0, symbols 1..K, marker K+1
    target    blanks .......................... symbols    W ~ U{1..T};  L = length = 10, T = time, K = symbols = 8

When the marker comes cannot be known, so counting steps does not help. Without memory the best is to say blank until
asked and then to guess: a recall of 1/K and, over all steps, L ln K / ((T + 1) / 2 + 2L) nats a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common
from tasks.copy_memory import asked_back, recalled


class VariableCopy:
    """Symbols in, a wait of unknown length, the symbols out.

    >>> task = VariableCopy(time=3, symbols=3, length=2, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=3, size=2)
    >>> batch.x.tolist(), batch.lengths.tolist()
    ([[2, 1, 0, 0, 4, 0, 0], [1, 3, 4, 0, 0, 0, 0]], [7, 5])
    >>> batch.y.tolist()  # waits of 3 and 1; the last two steps of the second row are pads
    [[0, 0, 0, 0, 0, 2, 1], [0, 0, 0, 1, 3, 0, 0]]
    """

    name = "variable_copy"
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
        self.memoryless_loss = length * math.log(symbols) / ((time + 1) / 2 + 2 * length)
        self._data = f"data/{self.name}/{data_seed}"
        self._splits = {
            "val": [self._draw(f"{self._data}/val", val_size)],
            "test": [self._draw(f"{self._data}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh symbols and waits in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._data}/train/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """recall: accuracy on the symbols asked for; accuracy and loss (nats): over all steps but pads."""
        return recalled(self.signature, predictions, batches)

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """A guess and perfection."""
        what = f"memoryless guess ({self.memoryless_loss:.5f} nats a step)"
        return Bound("floor", 1 / self.symbols, what), Bound("ceiling", 1.0, "every symbol repeated")

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def _draw(self, name: str, rows: int) -> Batch:
        stream = Stream(name)
        symbols = stream.integers(self.symbols, (rows, self.length)) + 1
        waits = stream.integers(self.time, rows) + 1
        return asked_back(symbols, waits, marker=self.symbols + 1, steps=self.time + 2 * self.length)
