"""Recommend the next item of a shop's session (the question of GRU4Rec, Hidasi et al. 2016, arXiv:1511.06939).

400 items in 20 clusters, popularity Zipf: p(item i) ~ (i + 1)**-.9. The first item is drawn by popularity, the next by

    p(next | last, one before) = .55 [next = successor(last)]         one item of last's cluster, fixed
                               + .20 [next = partner(last, before)]   one item of all, fixed; at first, before = nobody
                               + .20 p(next | cluster of last)        popularity within the cluster
                               + .05 p(next)

for 2 + G items in all, G ~ Geometric(.3) from 0 on, at most 20. Train has 5,000 sessions. recall20 is the
share of items that stand among the 20 best of the network's list, mrr20 the mean of 1 / rank there, 0 below the 20th.
Equal scores share the mean of their ranks. No list is better on average than that of the true probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from suite.spec.contract import IN_BATCH, Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

ITEMS, CLUSTERS, LONGEST, LISTED = 400, 20, 20, 20
ZIPF, STOP = 0.9, 0.3
SUCCESSOR, PARTNER, CLUSTER = 0.55, 0.20, 0.20  # and the rest: popularity
NOBODY = ITEMS


class Sessions:
    """Items of a session in, the next item out at every step.

    ``loss``: what training minimises, "xent" over all items or, over those of a batch, "xent_batch", "bpr_max" or
    "top1_max" (``suite.spec.session_loss``); scores are the same of each.

    >>> task = Sessions(train_size=5, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=1)
    >>> batch.x[0, : batch.lengths[0]].tolist(), batch.y[0, : batch.lengths[0]].tolist()
    ([290, 325], [325, 43])
    """

    name = "sessions"
    metric = "recall20"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        loss: Literal["xent", "xent_batch", "bpr_max", "top1_max"] = "xent",
        data_seed: int = 0,
        train_size: int = 5000,
        val_size: int = 1000,
        test_size: int = 1000,
    ) -> None:
        common.one_of(self.name, "loss", loss, ["xent", *IN_BATCH])
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 2, train_size=train_size, val_size=val_size, test_size=test_size)
        self.signature = Signature("label", loss, inputs=ITEMS, outputs=ITEMS)
        self._data = f"data/{self.name}/{data_seed}"
        world = Stream(f"{self._data}/world")
        popular = (np.arange(ITEMS) + 1.0) ** -ZIPF
        self.popularity = popular / popular.sum()
        self.cluster = world.permutation(ITEMS) % CLUSTERS  # (ITEMS,)
        inside = (self.cluster == np.arange(CLUSTERS)[:, None]) * popular
        self.within = inside / inside.sum(1, keepdims=True)  # (CLUSTERS, ITEMS)
        members = np.argsort(self.cluster, kind="stable").reshape(CLUSTERS, -1)
        self.successor = members[self.cluster, world.integers(members.shape[1], ITEMS)]  # (ITEMS,)
        self.partner = world.integers(ITEMS, (ITEMS, ITEMS + 1))  # (last, before)
        self._parts = [self._draw("train", train_size)]
        self._splits = {"val": [self._draw("val", val_size)], "test": [self._draw("test", test_size)]}

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Training goes through its sessions epoch by epoch."""
        if split == "train":
            return common.epochs(self._parts, f"{self._data}/train/{seed}", step, size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """recall20 and mrr20, each with its error, and the cross-entropy in nats an item."""
        rank = [_rank(p, b.y) for p, b in zip(predictions, batches, strict=True)]
        listed = [(r <= LISTED) & b.scored for r, b in zip(rank, batches, strict=True)]
        asked = np.concatenate([b.scored.sum(1) for b in batches])
        hits = np.concatenate([here.sum(1) for here in listed])
        inverse = np.concatenate([(here / r).sum(1) for here, r in zip(listed, rank, strict=True)])
        loss = common.mean_loss(replace(self.signature, loss="xent"), predictions, batches)
        return common.share("recall20", hits, asked) | common.share("mrr20", inverse, asked) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Two lists counted in train, and the true one, on the test split. Unsupported for who reads both ways."""
        common.one_way(self.name, bidirectional)
        test = self._splits["test"][0]
        popular, follows = self._counts()
        lists: list[tuple[Literal["floor", "ceiling"], str, Array]] = [
            ("floor", "the items most frequent in train", np.broadcast_to(popular, (*test.x.shape, ITEMS))),
            ("floor", "the items that followed the last one most often in train", follows[test.x]),
            ("ceiling", "Bayes: the true probabilities", np.log(self.conditional(test.x))),
        ]
        bounds = []
        for kind, what, outputs in lists:
            got = self.score([outputs], [test])
            bounds.append(Bound(kind, got["recall20"], f"{what} (mrr20 {got['mrr20']:.4f})"))
        return tuple(bounds)

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def conditional(self, x: Array) -> Array:
        """p(next | last, one before) at every step: items (N, T) -> (N, T, ITEMS)."""
        before = np.concatenate([np.full((len(x), 1), NOBODY), x[:, :-1]], axis=1)
        p = CLUSTER * self.within[self.cluster[x]] + (1 - SUCCESSOR - PARTNER - CLUSTER) * self.popularity
        for weight, item in ((SUCCESSOR, self.successor[x]), (PARTNER, self.partner[x, before])):
            np.put_along_axis(p, item[..., None], np.take_along_axis(p, item[..., None], -1) + weight, -1)
        return p

    def _counts(self) -> tuple[Array, Array]:
        """In train: how often each item occurs, (ITEMS,), and follows another, (ITEMS, ITEMS)."""
        train = self._parts[0]
        follows = np.zeros((ITEMS, ITEMS))
        np.add.at(follows, (train.x[train.valid], train.y[train.valid]), 1)
        return np.bincount(train.x[:, 0], minlength=ITEMS) + follows.sum(0), follows

    def _draw(self, split: str, rows: int) -> Batch:
        stream = Stream(f"{self._data}/{split}")
        items = np.empty((rows, LONGEST), np.int32)
        more = np.floor(np.log1p(-stream.uniform(rows)) / np.log1p(-STOP))  # Geometric from 0 on
        size = np.minimum(1 + more, LONGEST - 1).astype(np.int32)  # items that have a next one
        popularity, within = np.cumsum(self.popularity)[None], np.cumsum(self.within, axis=1)
        last, before = stream.categorical(np.repeat(popularity, rows, 0)), np.full(rows, NOBODY)
        items[:, 0] = last
        for t in range(1, LONGEST):
            u = stream.uniform(rows)
            near = stream.categorical(within[self.cluster[last]])
            anywhere = stream.categorical(np.repeat(popularity, rows, 0))
            below = [u < limit for limit in np.cumsum([SUCCESSOR, PARTNER, CLUSTER])]
            drawn = np.select(below, [self.successor[last], self.partner[last, before], near], anywhere)
            last, before = drawn, last
            items[:, t] = drawn
        scored = np.arange(LONGEST - 1) < size[:, None]
        return Batch(np.where(scored, items[:, :-1], 0), size, np.where(scored, items[:, 1:], 0), scored)


def _rank(outputs: Array, y: Array) -> Array:
    """The rank of the answer among the outputs, from 1; equals share their mean, and what is not a number is last."""
    answer = np.take_along_axis(outputs, y[..., None], -1)
    return 0.5 + (~(outputs <= answer)).sum(-1) + 0.5 * (outputs == answer).sum(-1)
