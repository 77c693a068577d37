"""Batches of a task, and what a strategy scores on them."""

from __future__ import annotations

from collections.abc import Callable

from suite.spec.contract import Array, Batch, Task


def whole(task: Task, split: str, size: int = 64) -> list[Batch]:
    """Every batch of an evaluation split."""
    return [task.batch(split, 0, step, size) for step in range(task.batches(split, size))]


def training(task: Task, steps: int, size: int = 64) -> list[Batch]:
    """The first training batches."""
    return [task.batch("train", 0, step, size) for step in range(steps)]


def scored(task: Task, batches: list[Batch], predict: Callable[[Batch], Array]) -> dict[str, float]:
    """The score of a strategy: batch -> predictions."""
    return task.score([predict(b) for b in batches], batches)
