"""What every task promises, as functions that assert; NumPy only. A task from outside is held to the same.

    description   a name, a headline metric and which way is better
    batches       shapes, types and ranges of `suite.spec.contract.Batch`; few shapes, since each costs a compilation
    purity        the same arguments give the same bytes, whatever was asked or overwritten in between
    splits        training depends on seed and step; evaluation on neither the seed nor the size of a batch
    scores        the headline metric and its standard error; unscored targets do not count
    bounds        the right answers are no worse than any of them
    digest        64 hexadecimal digits, always the same

Each failure names the task and the promise that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

import numpy as np

from suite.spec.contract import BOS, EOS, PAD, Array, Batch, Signature, Task, Unsupported

SHAPES = 3  # distinct shapes of batch that one task may have
TRAIN_STEPS = 12  # how many training batches are looked at
SURE = 50.0  # the logit of a right answer


def check_task(task: Task, size: int = 8) -> None:
    """All of it, at ``size`` rows a batch."""
    for check in (
        check_description,
        check_batches,
        check_purity,
        check_splits,
        check_scores,
        check_bounds,
        check_digest,
    ):
        check(task, size)


def check_description(task: Task, size: int) -> None:
    """Name, metric and direction."""
    _demand(task, bool(task.name) and task.name.isidentifier(), f"name {task.name!r} must be an identifier")
    _demand(task, bool(task.metric), "metric must name a key of what score returns")
    _demand(task, task.better in ("higher", "lower"), f"better is {task.better!r}, neither higher nor lower")


def check_batches(task: Task, size: int) -> None:
    """Every evaluation batch and the first training batches keep the contract of Batch, in few shapes."""
    shapes = set()
    for split, step in _steps(task, size):
        b = task.batch(split, 0, step, size)
        check_batch(f"{task.name}: batch {step} of {split!r}", task.signature, b, size)
        shapes.add((b.x.shape, b.y.shape))
    _demand(task, len(shapes) <= SHAPES, f"{len(shapes)} shapes of batch; at most {SHAPES}: each costs a compilation")


def check_batch(what: str, sig: Signature, b: Batch, size: int) -> None:
    """One batch against its signature; ``what`` opens the message."""

    def demand(kept: bool, promise: str) -> None:
        assert kept, f"{what}: {promise}"

    demand(len(b.x) == size, f"x has {len(b.x)} rows, {size} were asked for")
    if sig.tokens:
        demand(b.x.dtype == np.int32 and b.x.ndim == 2, f"x must be (B, T) int32, it is {b.x.shape} {b.x.dtype}")
        demand(_within(b.x, 0, sig.inputs), f"x holds a token outside 0..{sig.inputs - 1}")
    else:
        wanted = b.x.dtype == np.float64 and b.x.ndim == 3 and b.x.shape[2] == sig.inputs
        demand(wanted, f"x must be (B, T, {sig.inputs}) float64, it is {b.x.shape} {b.x.dtype}")
        demand(bool(np.isfinite(b.x).all()), "x holds a number that is not finite")
    steps = b.x.shape[1]
    demand(b.lengths.shape == (size,) and b.lengths.dtype == np.int32, "lengths must be (B,) int32")
    demand(_within(b.lengths, 1, steps + 1), f"lengths must lie in 1..{steps}")
    if sig.loss == "mse":
        demand(b.y.shape == (size, sig.outputs) and b.y.dtype == np.float64, "y must be (B, O) float64")
        demand(bool(np.isfinite(b.y).all()), "y holds a number that is not finite")
    else:
        shape = {"label": (size, steps), "final": (size,), "translate": (size, *b.y.shape[1:2])}[sig.kind]
        demand(b.y.shape == shape and b.y.dtype == np.int32, f"y must be {shape} int32, it is {b.y.shape} {b.y.dtype}")
        demand(_within(b.y, 0, sig.outputs), f"y holds a class outside 0..{sig.outputs - 1}")
    shape = (size,) if sig.kind == "final" else b.y.shape
    demand(b.scored.shape == shape and b.scored.dtype == np.bool_, f"scored must be {shape} bool")
    demand(bool(b.scored.any()), "nothing is scored")
    if sig.kind == "label":
        demand(not (b.scored & ~b.valid).any(), "a pad is scored")
    if sig.kind == "translate":
        _check_targets(demand, sig, b)
    else:
        demand(b.y_in is None and b.y_lengths is None, f"y_in and y_lengths belong to 'translate', not to {sig.kind!r}")


def _check_targets(demand: Callable[[bool, str], None], sig: Signature, b: Batch) -> None:
    """Targets of "translate": the decoder reads bos and then y, every scored row ends with eos."""
    demand(b.y_in is not None and b.y_lengths is not None, "'translate' needs y_in and y_lengths")
    assert b.y_in is not None and b.y_lengths is not None
    steps = b.y.shape[1]
    demand(steps <= sig.longest_target, f"y has {steps} steps, longest_target is {sig.longest_target}")
    demand(b.y_in.shape == b.y.shape and b.y_in.dtype == np.int32, "y_in must be (B, S) int32")
    demand(_within(b.y_in, 0, sig.outputs), f"y_in holds a token outside 0..{sig.outputs - 1}")
    demand(b.y_lengths.shape == (len(b.y),) and b.y_lengths.dtype == np.int32, "y_lengths must be (B,) int32")
    demand(_within(b.y_lengths, 1, steps + 1), f"y_lengths must lie in 1..{steps}")
    valid = np.arange(steps) < b.y_lengths[:, None]
    demand(not (b.scored & ~valid).any(), "a pad is scored")
    rows = b.scored.any(1)
    shifted = np.concatenate([np.full((len(b.y), 1), BOS), b.y[:, :-1]], axis=1)
    demand(not (valid & (b.y_in != shifted))[rows].any(), "y_in must be bos and then y shifted by one")
    demand(bool((b.y[np.arange(len(b.y)), b.y_lengths - 1] == EOS)[rows].all()), "a target does not end with eos")


def check_purity(task: Task, size: int) -> None:
    """A batch asked for again has the same bytes, even after others were asked for and the first was overwritten."""
    for split in ("train", "val", "test"):
        first = task.batch(split, 0, 0, size)
        before = _content(first)
        task.batch("train", 1, 3, size)
        task.batch("test", 1, 0, size)
        _demand(task, _content(task.batch(split, 0, 0, size)) == before, f"{split!r} gave other bytes the second time")
        for a in _arrays(first):
            if a.flags.writeable:
                a[...] = 0
        again = _content(task.batch(split, 0, 0, size))
        _demand(
            task, again == before, f"{split!r} hands out its own memory: a caller who writes into a batch changes it"
        )


def check_splits(task: Task, size: int) -> None:
    """What depends on the seed, the step and the size of a batch, and what does not."""
    train = _content(task.batch("train", 0, 0, size))
    _demand(task, _content(task.batch("train", 1, 0, size)) != train, "training does not depend on the seed")
    _demand(task, _content(task.batch("train", 0, 1, size)) != train, "training does not depend on the step")
    for split in ("val", "test"):
        same = _content(task.batch(split, 0, 0, size)) == _content(task.batch(split, 1, 0, size))
        _demand(task, same, f"{split!r} depends on the seed; only training may")
        rows = _scored_rows(task, split, size)
        _demand(task, bool(rows), f"{split!r} has no scored rows")
        other = _scored_rows(task, split, size + 1)
        _demand(task, rows == other, f"{split!r} has other rows at {size} and at {size + 1} rows a batch")


def check_scores(task: Task, size: int) -> None:
    """score returns finite numbers, the headline with its error, and does not look at unscored targets."""
    batches = [task.batch("test", 0, step, size) for step in range(task.batches("test", size))]
    best = [right_answers(task.signature, b) for b in batches]
    scores = task.score(best, batches)
    for name in (task.metric, f"{task.metric}_se"):
        _demand(task, name in scores, f"score returns no {name!r}")
    _demand(task, all(np.isfinite(v) for v in scores.values()), f"score returns a number that is not finite: {scores}")
    changed = [np.where(_spread(b.scored, p), p, 1 - p).astype(p.dtype) for p, b in zip(best, batches, strict=True)]
    _demand(task, task.score(changed, batches) == scores, "score depends on predictions for unscored targets")


def check_bounds(task: Task, size: int) -> None:
    """Floors and ceilings are finite, the same every time, floors below ceilings, and the right answers reach them."""
    batches = [task.batch("test", 0, step, size) for step in range(task.batches("test", size))]
    best = task.score([right_answers(task.signature, b) for b in batches], batches)[task.metric]
    sign = 1 if task.better == "higher" else -1
    for both in (False, True):
        try:
            bounds = task.bounds(both)
        except Unsupported:
            _demand(task, both, "bounds refuse a network that reads one way; only both ways may be refused")
            continue
        for bound in bounds:
            told = bool(np.isfinite(bound.value)) and bool(bound.what)
            _demand(task, told, f"{bound} must be finite and say what it is")
            worse = sign * (best - bound.value) < 0
            _demand(task, not worse, f"the right answers score {best}, worse than the {bound.kind} {bound.value}")
        _demand(task, bounds == task.bounds(both), "bounds differ from one call to the next")
        values = {kind: [sign * b.value for b in bounds if b.kind == kind] for kind in ("floor", "ceiling")}
        crossed = any(f > c for f in values["floor"] for c in values["ceiling"])
        _demand(task, not crossed, "a floor lies beyond a ceiling")


def check_digest(task: Task, size: int) -> None:
    """SHA-256 in hexadecimal, the same every time."""
    digest = task.digest()
    _demand(task, len(digest) == 64 and set(digest) <= set("0123456789abcdef"), f"digest {digest!r} is no SHA-256")
    _demand(task, task.digest() == digest, "digest differs from one call to the next")


def right_answers(sig: Signature, b: Batch) -> Array:
    """What a network that knows everything puts out: sure logits, the values, or the tokens it would write."""
    if sig.loss == "mse":
        return b.y.copy()
    if sig.kind == "translate":
        out = np.full((len(b.y), sig.longest_target), PAD, np.int32)
        out[:, : b.y.shape[1]] = b.y
        return out
    return SURE * np.eye(sig.outputs)[b.y]


def _steps(task: Task, size: int) -> Iterator[tuple[str, int]]:
    for split in ("val", "test"):
        for step in range(task.batches(split, size)):
            yield split, step
    for step in range(TRAIN_STEPS):
        yield "train", step


def _scored_rows(task: Task, split: str, size: int) -> list[bytes]:
    """The valid part of every row that is scored, sorted."""
    out = []
    for step in range(task.batches(split, size)):
        b = task.batch(split, 0, step, size)
        for row in np.flatnonzero(b.scored.reshape(size, -1).any(1)):
            y = b.y[row] if task.signature.kind == "final" else b.y[row][b.scored[row]]
            out.append(b.x[row, : b.lengths[row]].tobytes() + np.asarray(y).tobytes())
    return sorted(out)


def _spread(scored: Array, p: Array) -> Array:
    """scored, as wide as predictions: what lies beyond the last target counts as unscored."""
    if p.ndim == scored.ndim:  # decoded tokens
        wide = np.zeros(p.shape, bool)
        wide[:, : scored.shape[1]] = scored
        return wide
    return np.broadcast_to(scored[..., None], p.shape)


def _arrays(b: Batch) -> list[Array]:
    return [a for a in (getattr(b, f.name) for f in fields(b)) if isinstance(a, np.ndarray)]


def _content(b: Batch) -> list[bytes]:
    return [a.tobytes() + f"{a.dtype}{a.shape}".encode() for a in _arrays(b)]


def _within(a: Array, low: int, end: int) -> bool:
    return bool(((a >= low) & (a < end)).all())


def _demand(task: Task, kept: bool, promise: str) -> None:
    assert kept, f"{task.name}: {promise}"
