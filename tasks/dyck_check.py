"""Is this closing bracket the right one? Balanced brackets of several types, some closed by a wrong one.

    ( [ ] { ) ...        openers 1..K, closers K+1..2K, pad 0; K = types = 4
      .  . ok . bad      at closers: 0 = closes the innermost open bracket, 1 = is of another type; openers: not scored

A row has 2n brackets, n uniform on shortest..longest = 10..30. While both are possible a fair coin says whether to
open or to close: no more than ``depth`` = 10 are open at once, and all are closed at the end. Types are uniform. Each
closer is then replaced by one of another type with probability ``wrong`` = .15; it closes its bracket all the same.

Always ok is right for 1 - wrong of the closers. Right behind an opener the two types tell; who looks one bracket back
gets these, and can do no better than ok at the others: these take a stack. The split "test_long" holds rows longer than
any in training, shortest + longest .. 2 longest pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common


class DyckCheck:
    """Brackets in, which closers are wrong out.

    >>> task = DyckCheck(types=2, shortest=3, longest=3, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=5, size=1)  # [ [ ) ( ] ]
    >>> batch.x.tolist(), batch.y.tolist(), batch.scored.astype(int).tolist()
    ([[2, 2, 3, 1, 4, 4]], [[0, 0, 1, 0, 1, 0]], [[0, 0, 1, 0, 1, 1]])
    """

    name = "dyck_check"
    metric = "accuracy"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        types: int = 4,
        depth: int = 10,
        shortest: int = 10,
        longest: int = 30,
        wrong: float = 0.15,
        data_seed: int = 0,
        val_size: int = 1000,
        test_size: int = 2000,
    ) -> None:
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 2, types=types, depth=depth, shortest=shortest)
        common.whole_number(self.name, shortest, longest=longest)
        common.whole_number(self.name, 2, val_size=val_size, test_size=test_size)
        if not (isinstance(wrong, float) and 0 < wrong < 0.5):
            raise ValueError(f"{self.name}: wrong is {wrong!r}; use a probability between 0 and 0.5")
        self.types, self.depth, self.wrong = types, depth, wrong
        self.signature = Signature("label", "xent", inputs=2 * types + 1, outputs=2)
        self._pairs = (shortest, longest)
        self._data = f"data/{self.name}/{data_seed}"
        self._splits = {
            "val": [self._draw(f"{self._data}/val", val_size, self._pairs)],
            "test": [self._draw(f"{self._data}/test", test_size, self._pairs)],
            "test_long": [self._draw(f"{self._data}/test_long", test_size, (shortest + longest, 2 * longest))],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh rows in training; fixed ones in "val", "test" and "test_long"."""
        if split == "train":
            return self._draw(f"{self._data}/train/{seed}/{step}", size, self._pairs)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val", "test" or "test_long"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """accuracy: on all closers; far: on those behind a closer, whose opener lies further back; loss: nats."""
        loss = common.mean_loss(self.signature, predictions, batches)
        scores = common.share("accuracy", *common.right(predictions, batches)) | {"loss": loss}
        hits, asked = common.right(predictions, [replace(b, scored=b.scored & ~self._near(b.x)) for b in batches])
        return scores | ({"far": float(hits.sum() / asked.sum())} if asked.any() else {})

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Always ok, one bracket back, both on the very test split, and perfection."""
        test = self._splits["test"][0]
        always = self.score([np.eye(2)[np.zeros_like(test.y)]], [test])
        back = self.score([np.eye(2)[self.one_back(test.x)]], [test])
        return (
            Bound("floor", always["accuracy"], "always ok"),
            Bound("floor", back["accuracy"], "ok unless the bracket before opens another type"),
            Bound("ceiling", 1.0, "a stack"),
        )

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def one_back(self, x: Array) -> Array:
        """The best guess from a bracket and the one before it: (N, T) -> 0 ok or 1 wrong, (N, T)."""
        return (self._near(x) & (x - self.types != _before(x))).astype(np.int64)

    def _near(self, x: Array) -> Array:
        """Where a closer follows an opener, (N, T)."""
        before = _before(x)
        return (x > self.types) & (before > 0) & (before <= self.types)

    def _draw(self, name: str, rows: int, pairs: tuple[int, int]) -> Batch:
        stream, row, steps = Stream(name), np.arange(rows), 2 * pairs[1]
        lengths = 2 * (pairs[0] + stream.integers(pairs[1] - pairs[0] + 1, rows))
        coin, kind = stream.integers(2, (steps, rows)), stream.integers(self.types, (steps, rows))
        replaced = stream.uniform((steps, rows)) < self.wrong
        other = 1 + stream.integers(self.types - 1, (steps, rows))  # how far the wrong type lies from the right one
        x, y = np.zeros((2, rows, steps), np.int32)
        stack, height = np.zeros((rows, self.depth), np.int64), np.zeros(rows, np.int64)
        for t in range(steps):
            left = lengths - t  # steps from this one on; as many as are open are needed to close them
            opens = (height < self.depth) & (height < left - 1) & ((height == 0) | (coin[t] == 1))
            closes = (left > 0) & ~opens
            stack[row[opens], height[opens]] = kind[t, opens]
            top = stack[row, height - 1]  # of those that close
            said = np.where(replaced[t], (top + other[t]) % self.types, top)
            x[:, t] = np.select([opens, closes], [1 + kind[t], 1 + self.types + said])
            y[:, t] = closes & replaced[t]
            height += opens.astype(np.int64) - closes
        return Batch(x, lengths.astype(np.int32), y, x > self.types)


def _before(x: Array) -> Array:
    """Each row moved one step to the right, (N, T)."""
    return np.pad(x, ((0, 0), (1, 0)))[:, :-1]
