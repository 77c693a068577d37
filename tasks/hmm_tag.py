"""Tag the words of a hidden Markov model, a labelling question whose optimum is known exactly.

    tag_1 uniform,  tag_t ~ A[tag_{t-1}],  word_t ~ B[tag_t]        K = 8 tags, V = 60 words, T = 30 steps
    rows of A = .95 Dir(.25) + .05 / K,  rows of B = .98 Dir(.12) + .02 / V,  drawn once from ``data_seed``

Who reads one way knows word_1..t and cannot beat the filter p(tag_t | word_1..t) (forward algorithm); who reads both
ways cannot beat the smoother p(tag_t | word_1..T) (forward-backward; Rabiner 1989). A network above its ceiling by
more than sampling error sees what it must not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

TAGS, WORDS = 8, 60


class HmmTag:
    """Words of a hidden Markov model in, its hidden tags out.

    >>> task = HmmTag(time=4, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=1)
    >>> batch.x.tolist(), batch.y.tolist()
    ([[17, 31, 10, 36]], [[5, 2, 3, 4]])
    """

    name = "hmm_tag"
    metric = "accuracy"
    better: Literal["higher", "lower"] = "higher"
    signature = Signature("label", "xent", inputs=WORDS, outputs=TAGS)

    def __init__(self, data_seed: int = 11, time: int = 30, val_size: int = 1000, test_size: int = 2000) -> None:
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 1, time=time)
        common.whole_number(self.name, 2, val_size=val_size, test_size=test_size)
        self.time, self._world = time, f"task/{self.name}/{data_seed}"
        self._train = f"data/{self.name}/{data_seed}/train"
        a, b = Stream(f"{self._world}/A"), Stream(f"{self._world}/B")
        self.A = np.stack([0.95 * a.dirichlet(0.25, TAGS) + 0.05 / TAGS for _ in range(TAGS)])
        self.B = np.stack([0.98 * b.dirichlet(0.12, WORDS) + 0.02 / WORDS for _ in range(TAGS)])
        self._next, self._says = _ladder(self.A), _ladder(self.B)
        self._splits = {
            "val": [self._draw(f"{self._world}/val", val_size)],
            "test": [self._draw(f"{self._world}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh sentences in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._train}/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """Share of tags named correctly, and the cross-entropy in nats a step."""
        loss = common.mean_loss(self.signature, predictions, batches)
        return common.share("accuracy", *common.right(predictions, batches)) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Two floors and the ceiling, all on the very test split."""
        test = self._splits["test"][0]
        often = self._marginal()
        constant = np.broadcast_to(often, (*test.x.shape, TAGS))
        word = (often[:, None] * self.B).T[test.x]
        name, posterior = ("smoother", self.smoother(test.x)) if bidirectional else ("filter", self.filter(test.x))
        best = self.score([np.log(posterior)], [test])
        what = f"Bayes {name} (s.e. {best['accuracy_se']:.4f}, {best['loss']:.4f} nats)"
        return (
            Bound("floor", self.score([constant], [test])["accuracy"], "the most frequent tag"),
            Bound("floor", self.score([word], [test])["accuracy"], "each word's most probable tag"),
            Bound("ceiling", best["accuracy"], what),
        )

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def filter(self, x: Array) -> Array:
        """p(tag_t | word_1..t): words (N, T) -> (N, T, TAGS)."""
        posterior = np.empty((*x.shape, TAGS))
        prior = np.full((len(x), TAGS), 1 / TAGS)
        for t in range(x.shape[1]):
            joint = prior * self.B.T[x[:, t]]
            posterior[:, t] = joint / joint.sum(1, keepdims=True)
            prior = posterior[:, t] @ self.A
        return posterior

    def smoother(self, x: Array) -> Array:
        """p(tag_t | word_1..T): words (N, T) -> (N, T, TAGS)."""
        posterior = self.filter(x)
        future = np.ones((len(x), TAGS))  # proportional to p(word_t+1..T | tag_t)
        for t in reversed(range(x.shape[1])):
            posterior[:, t] *= future
            posterior[:, t] /= posterior[:, t].sum(1, keepdims=True)
            future = (self.B.T[x[:, t]] * future) @ self.A.T
            future /= future.sum(1, keepdims=True)
        return posterior

    def _draw(self, name: str, rows: int) -> Batch:
        u = Stream(name).uniform((2, self.time, rows))
        tags = np.empty((rows, self.time), np.int32)
        tags[:, 0] = u[0, 0] * TAGS
        for t in range(1, self.time):
            tags[:, t] = _pick(self._next, tags[:, t - 1], u[0, t])
        words = _pick(self._says, tags, u[1].T).astype(np.int32)
        return Batch(words, np.full(rows, self.time, np.int32), tags, np.ones(tags.shape, bool))

    def _marginal(self) -> Array:
        """How often each tag occurs over T steps, (TAGS,)."""
        p = [np.full(TAGS, 1 / TAGS)]
        for _ in range(self.time - 1):
            p.append(p[-1] @ self.A)
        return np.mean(p, axis=0)


def _ladder(table: Array) -> Array:
    """Running sums of the rows (R, C), the r-th shifted by r and all in one line, so that one search serves all."""
    sums = np.cumsum(table, axis=1)
    sums[:, -1] = 1.0
    return (sums + np.arange(len(table))[:, None]).ravel()


def _pick(ladder: Array, row: Array, u: Array) -> Array:
    """Inverse transform: the first column whose running sum in ``row`` exceeds u in [0, 1)."""
    columns = len(ladder) // TAGS
    step = np.searchsorted(ladder, row + u, side="right") - row * columns
    return np.minimum(step, columns - 1)  # row + u may round up to row + 1
