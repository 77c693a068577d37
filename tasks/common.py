"""What the tasks share: splits cut into batches, scores with their standard errors, digests, checked options.

A split is a list of parts, one ``Batch`` of all its rows for each shape. Its batches are the first part's rows in
order, then the second's, and so on; the last batch of a part is padded with unscored rows of length 1.
Training on a finite set goes through epochs: in each, the rows of a part and the order of the batches are permuted
by a key made of the seed and the epoch, so that a step alone tells which rows it holds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

from suite.spec.contract import BOS, EOS, PAD, Array, Batch, Bound, Signature, Task, Unsupported
from suite.spec.loss import loss, loss_rows
from suite.spec.random import Stream

Row = TypeVar("Row")
Splits = Mapping[str, Sequence[Batch]]


def whole_number(task: str, low: int, **options: object) -> None:
    """Refuse an option that is not a whole number of at least ``low``."""
    for name, value in options.items():
        if type(value) is not int or value < low:
            raise ValueError(f"{task}: {name} is {value!r}; use a whole number >= {low}")


def one_of(task: str, name: str, value: object, known: Sequence[str]) -> None:
    """Refuse an option that is not among ``known``."""
    if value not in known:
        raise ValueError(f"{task}: {name} is {value!r}; use one of {', '.join(known)}")


def one_way(task: str, bidirectional: bool) -> None:
    """Refuse a network that reads both ways where the target is the next input."""
    if bidirectional:
        raise Unsupported(f"{task}/bidirectional: who reads backwards reads its own answer; set bidirectional = false")


def first(task: str, name: str, rows: Sequence[Row], wanted: int | None) -> Sequence[Row]:
    """The first ``wanted`` rows of a finite set; all of them for None. Refuse more than there are, or fewer than 2."""
    size = len(rows) if wanted is None else wanted
    whole_number(task, 2, **{name: size})
    if size > len(rows):
        raise ValueError(f"{task}: {name} is {size}; there are {len(rows)}")
    return rows[:size]


def take(part: Batch, index: Array, size: int) -> Batch:
    """Rows ``index`` of a part as a batch of ``size`` rows; what is missing is unscored, zero and of length 1."""

    def rows(a: Array, missing: int = 0) -> Array:
        out = np.full((size, *a.shape[1:]), missing, a.dtype)
        out[: len(index)] = a[index]
        return out

    x, lengths, y, scored = rows(part.x), rows(part.lengths, 1), rows(part.y), rows(part.scored)
    if part.y_in is None or part.y_lengths is None:
        return Batch(x, lengths, y, scored)
    return Batch(x, lengths, y, scored, rows(part.y_in), rows(part.y_lengths, 1))


def padded(rows: Sequence[Sequence[int]], steps: int) -> tuple[Array, Array]:
    """Token lists, none longer than ``steps``, as (N, steps) int32 with pads on the right, and their lengths (N,)."""
    out = np.full((len(rows), steps), PAD, np.int32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out, np.array([len(row) for row in rows], np.int32)


def translation(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], steps: tuple[int, int]) -> Batch:
    """Pairs of token lists without eos as the rows of a "translate" batch of ``steps`` = (T, S), eos included."""
    x, lengths = padded([[*row, EOS] for row in sources], steps[0])
    y, y_lengths = padded([[*row, EOS] for row in targets], steps[1])
    y_in = np.concatenate([np.full((len(y), 1), BOS, np.int32), y[:, :-1]], axis=1)
    return Batch(x, lengths, y, np.arange(steps[1]) < y_lengths[:, None], y_in, y_lengths)


def until_eos(tokens: Array) -> list[int]:
    """The tokens before the first eos, without pads."""
    row = [int(t) for t in tokens]
    return [t for t in row[: row.index(EOS) if EOS in row else len(row)] if t != PAD]


def count(splits: Splits, split: str, size: int) -> int:
    """How many batches of ``size`` rows make up a split."""
    if split not in splits:
        raise ValueError(f"split {split!r} is not known or has no end; use one of {', '.join(splits)}")
    return _batches(splits[split], size)


def evaluation(splits: Splits, split: str, step: int, size: int) -> Batch:
    """Batch ``step`` of an evaluation split."""
    batches = count(splits, split, size)
    if not 0 <= step < batches:
        raise ValueError(f"step {step} of {split!r} does not exist; {size} rows a batch make steps 0..{batches - 1}")
    part, row = _locate(splits[split], step, size)
    rows = splits[split][part]
    return take(rows, np.arange(row, min(row + size, len(rows.x))), size)


def epochs(parts: Sequence[Batch], name: str, step: int, size: int) -> Batch:
    """Batch ``step`` of endless epochs over a finite training set; ``name`` holds the task and the seed."""
    whole_number("batch", 0, step=step)
    batches = _batches(parts, size)
    epoch, position = divmod(step, batches)
    part, row = _locate(parts, int(_permutation(f"{name}/{epoch}", batches)[position]), size)
    rows = _permutation(f"{name}/{epoch}/{part}", len(parts[part].x))
    return take(parts[part], rows[row : row + size], size)


def _batches(parts: Sequence[Batch], size: int) -> int:
    whole_number("batch", 1, size=size)
    return sum(-(-len(rows.x) // size) for rows in parts)


def _locate(parts: Sequence[Batch], batch: int, size: int) -> tuple[int, int]:
    """The part that a batch belongs to, and the first of its rows there."""
    part = 0
    while batch >= (here := _batches(parts[part : part + 1], size)):
        batch, part = batch - here, part + 1
    return part, batch * size


@lru_cache(maxsize=16)  # every batch of an epoch needs the same few permutations
def _permutation(name: str, size: int) -> Array:
    return Stream(name).permutation(size)


def mean_loss(signature: Signature, predictions: Sequence[Array], batches: Sequence[Batch]) -> float:
    """The loss over all scored targets of all batches, nats or squared units."""
    pairs = zip(predictions, batches, strict=True)
    total = sum(loss(signature, p, b) * b.count for p, b in pairs)
    return total / sum(int(b.scored.sum()) for b in batches)


def nats(signature: Signature, predictions: Sequence[Array], batches: Sequence[Batch]) -> tuple[Array, Array]:
    """Per sequence, "xent": the loss added up over its scored targets, and how many there are; (N,) each."""
    pairs = zip(predictions, batches, strict=True)
    rows = [loss_rows(signature, np.asarray(p, np.float64), b)[0] * b.count for p, b in pairs]
    return np.concatenate(rows), np.concatenate([b.scored.sum(1) for b in batches])


def share(metric: str, hits: Array, asked: Array) -> dict[str, float]:
    """sum(hits) / sum(asked) and its standard error; both (N,), one number a sequence, asked = 0 leaves it out.

    The error is that of a ratio of means, sqrt(N / (N-1) sum (hits - ratio asked)^2) / sum(asked).

    >>> share("accuracy", np.array([1.0, 0, 1, 0]), np.array([1, 1, 1, 1]))["accuracy_se"] == (1 / 12) ** 0.5
    True
    """
    hits, asked = hits[asked > 0], asked[asked > 0]
    if len(asked) < 2:
        raise ValueError(f"score: {len(asked)} scored sequences have no standard error; give at least 2")
    ratio = float(hits.sum() / asked.sum())
    spread = float(((hits - ratio * asked) ** 2).sum()) * len(asked) / (len(asked) - 1)
    return {metric: ratio, f"{metric}_se": math.sqrt(spread) / float(asked.sum())}


def right(predictions: Sequence[Array], batches: Sequence[Batch]) -> tuple[Array, Array]:
    """Per sequence, "label" and "final": how many scored targets the largest output names, of how many; (N,) each."""
    pairs = zip(predictions, batches, strict=True)
    hits = np.concatenate([_by_row((p.argmax(-1) == b.y) & b.scored) for p, b in pairs])
    return hits.astype(np.float64), np.concatenate([_by_row(b.scored) for b in batches])


def _by_row(marks: Array) -> Array:
    return marks.reshape(len(marks), -1).sum(1)


def written(predictions: Sequence[Array], batches: Sequence[Batch]) -> tuple[Array, Array]:
    """Per sequence, "translate": how many scored target positions, eos included, are as decoded, of how many."""
    pairs = zip(predictions, batches, strict=True)
    hits = [((p[:, : b.y.shape[1]] == b.y) & b.scored).sum(1) for p, b in pairs]
    return np.concatenate(hits).astype(np.float64), np.concatenate([b.scored.sum(1) for b in batches])


def exact_match(predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
    """exact_match: the whole answer with its eos; characters: share of the answers' positions, eos included."""
    hits, asked = written(predictions, batches)
    whole = share("exact_match", (hits == asked).astype(np.float64), asked > 0)
    return whole | {"characters": float(hits.sum() / asked.sum())}


def constant_answer(train: Batch, test: Batch) -> Bound:
    """The exact_match on ``test`` of each target position's most frequent token in ``train``, pads apart."""
    constant = np.array([np.bincount(column[column != PAD]).argmax() for column in train.y.T], np.int32)
    found = exact_match([np.tile(constant, (len(test.y), 1))], [test])
    what = f"each position's most frequent character ({found['characters']:.3f} of characters)"
    return Bound("floor", found["exact_match"], what)


def digest(task: Task, size: int = 64) -> str:
    """SHA-256 of "val", "test" and the first 3 training batches at seed 0, little endian."""
    sha = hashlib.sha256()
    steps = [(split, step) for split in ("val", "test") for step in range(task.batches(split, size))]
    for split, step in [*steps, ("train", 0), ("train", 1), ("train", 2)]:
        b = task.batch(split, 0, step, size)
        for a in (b.x, b.lengths, b.y, b.scored, b.y_in, b.y_lengths):
            if a is not None:
                kind = {"i": "<i4", "f": "<f8", "b": "|u1"}[a.dtype.kind]
                sha.update(f"{kind}{a.shape}".encode() + np.ascontiguousarray(a, kind).tobytes())
    return sha.hexdigest()
