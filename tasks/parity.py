"""Parity of bits, running or delayed: how many ones so far, or whether a bit equals the one of some steps ago.

    parity           y_t = x_1 xor ... xor x_t       one bit of memory, flipped at every 1
    delayed_parity   y_t = x_{t-k} xor x_t, t > k    the last k bits; k = delay = 5

Running parity is the parity check of Delétang et al. (2023, arXiv:2207.02098) asked for at every step.
Bits are fair coins, lengths uniform on 1..longest (k+1..longest where delayed, whose first k steps are not scored).
``test_longest`` makes the test strings longer than any seen in training: lengths longest+1..test_longest, 41..100 for
test_longest = 100. A constant is right half the time. At the first step of running parity the bit is its own parity:
who repeats what it reads gets those steps too. Short strings are few, so training meets those of the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common


def parity(
    longest: int = 40,
    test_longest: int | None = None,
    data_seed: int = 0,
    val_size: int = 1000,
    test_size: int = 2000,
) -> Parity:
    """Running parity."""
    return Parity("parity", 0, longest, test_longest, data_seed, val_size, test_size)


def delayed_parity(
    delay: int = 5,
    longest: int = 40,
    test_longest: int | None = None,
    data_seed: int = 0,
    val_size: int = 1000,
    test_size: int = 2000,
) -> Parity:
    """Parity of each bit with the one ``delay`` steps before."""
    common.whole_number("delayed_parity", 1, delay=delay)
    return Parity("delayed_parity", delay, longest, test_longest, data_seed, val_size, test_size)


class Parity:
    """Bits in, parities out; ``delay`` = 0 is running parity.

    >>> batch = parity(longest=4, val_size=2, test_size=2).batch("train", seed=0, step=0, size=2)
    >>> batch.x.tolist(), batch.y.tolist(), batch.lengths.tolist()
    ([[1, 0, 0, 0], [1, 1, 0, 0]], [[1, 1, 0, 0], [1, 0, 0, 0]], [2, 4])
    >>> batch = delayed_parity(delay=2, longest=5, val_size=2, test_size=2).batch("train", seed=0, step=2, size=1)
    >>> batch.x.tolist(), batch.y.tolist(), batch.scored.astype(int).tolist()
    ([[0, 1, 1, 0, 0]], [[0, 0, 1, 1, 1]], [[0, 0, 1, 1, 1]])
    """

    metric = "accuracy"
    better: Literal["higher", "lower"] = "higher"
    signature = Signature("label", "xent", inputs=2, outputs=2)

    def __init__(
        self,
        name: str,
        delay: int,
        longest: int,
        test_longest: int | None,
        data_seed: int,
        val_size: int,
        test_size: int,
    ) -> None:
        self.name, self.delay = name, delay
        common.whole_number(name, 0, data_seed=data_seed)
        common.whole_number(name, delay + 2, longest=longest)
        common.whole_number(name, 2, val_size=val_size, test_size=test_size)
        self._lengths = test = (delay + 1, longest)
        if test_longest is not None:
            common.whole_number(name, longest + 1, test_longest=test_longest)
            test = (longest + 1, test_longest)
        self._data = f"data/{name}/{data_seed}"
        self._splits = {
            "val": [self._draw(f"{self._data}/val", val_size, self._lengths)],
            "test": [self._draw(f"{self._data}/test", test_size, test)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh bits in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._data}/train/{seed}/{step}", size, self._lengths)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """Share of parities named correctly, and the cross-entropy in nats a step."""
        loss = common.mean_loss(self.signature, predictions, batches)
        return common.share("accuracy", *common.right(predictions, batches)) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Chance, for running parity also the bit that is read, and perfection."""
        chance, ceiling = Bound("floor", 0.5, "chance"), Bound("ceiling", 1.0, "every parity right")
        if self.delay:
            return chance, ceiling
        lengths = self._splits["test"][0].lengths
        repeated = 0.5 + 0.5 * len(lengths) / float(lengths.sum())  # the first step for certain, the others by chance
        return chance, Bound("floor", repeated, "the bit just read"), ceiling

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def _draw(self, name: str, rows: int, between: tuple[int, int]) -> Batch:
        low, steps = between
        stream, t = Stream(name), np.arange(steps)
        lengths = (low + stream.integers(steps - low + 1, rows)).astype(np.int32)
        valid = t < lengths[:, None]
        x = np.where(valid, stream.integers(2, (rows, steps)), 0).astype(np.int32)
        if self.delay:
            y = x ^ np.pad(x, ((0, 0), (self.delay, 0)))[:, :steps]
        else:
            y = np.cumsum(x, axis=1) % 2
        scored = valid & (t >= self.delay)
        return Batch(x, lengths, np.where(scored, y, 0).astype(np.int32), scored)
