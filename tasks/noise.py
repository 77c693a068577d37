"""Noise to be labelled: real features and a class at every step, all drawn independently. Nothing is there to learn.

It is for the clock: any number of features, steps and classes, rows of full or of various lengths, no data to load. Its
accuracy is 1 / classes for whoever reads it, so a network that does better has seen what it should not: the first
floor is also the ceiling. Lengths are spread evenly between ``shortest`` and ``time``, the same in every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common


class Noise:
    """Standard normal features, uniform classes.

    >>> batch = Noise(time=4, features=3, shortest=2, val_size=2, test_size=2).batch("train", seed=0, step=0, size=3)
    >>> batch.x.shape, batch.lengths.tolist()
    ((3, 4, 3), [2, 3, 4])
    """

    name = "noise"
    metric = "accuracy"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        time: int = 50,
        features: int = 32,
        classes: int = 10,
        shortest: int | None = None,
        data_seed: int = 0,
        val_size: int = 200,
        test_size: int = 200,
    ) -> None:
        common.whole_number("noise", 0, data_seed=data_seed)
        common.whole_number("noise", 1, time=time, features=features, shortest=time if shortest is None else shortest)
        common.whole_number("noise", 2, classes=classes, val_size=val_size, test_size=test_size)
        self._shortest = time if shortest is None else shortest
        if self._shortest > time:
            raise ValueError(f"noise: shortest is {self._shortest}; it must be at most time = {time}")
        self._steps, self._data = time, f"data/noise/{data_seed}"
        self.signature = Signature("label", "xent", features, classes, tokens=False)
        self._splits = {
            "val": [self._draw(f"{self._data}/val", val_size)],
            "test": [self._draw(f"{self._data}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh noise in training; fixed noise in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._data}/train/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """Share of classes named, and the cross-entropy in nats a step."""
        loss = common.mean_loss(self.signature, predictions, batches)
        return common.share("accuracy", *common.right(predictions, batches)) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Chance, from below and from above."""
        chance = 1 / self.signature.outputs
        return Bound("floor", chance, "chance"), Bound("ceiling", chance, "chance: nothing tells the class")

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def _draw(self, name: str, rows: int) -> Batch:
        stream, steps, sig = Stream(name), self._steps, self.signature
        lengths = (
            np.linspace(self._shortest, steps, rows).round().astype(np.int32)
            if rows > 1
            else np.array([steps], np.int32)
        )
        scored = np.arange(steps) < lengths[:, None]
        x = np.where(scored[..., None], stream.normal((rows, steps, sig.inputs)), 0.0)
        y = np.where(scored, stream.integers(sig.outputs, (rows, steps)), 0).astype(np.int32)
        return Batch(x, lengths, y, scored)
