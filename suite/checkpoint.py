"""Checkpoints: all that a cell's training has come to, in one file, from which another process goes on bit for bit.

    <cell's folder>/checkpoint.safetensors
        now/params/..., now/<slot>/...    the model and its optimiser, canonical float64
        best/params/...                   the best model so far, where patience asks for it
        flow/<step>/<state name>          gradient flow so far
        metadata: state                   JSON: whose it is, what `Done` counts, how long the curves' file was
                  sha256                  over all of it

Only an equal of the process that wrote it may go on: the same cell, revision, machine and libraries, packed or not.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

from suite import clock, weights
from suite.spec import params
from suite.spec.contract import Array, Model, Params, Snapshot

NAME = "checkpoint.safetensors"
CHECKPOINT_S = 60.0  # between two of a cell
TENSORS = ("shapes", "best", "flow")  # of `Done`: what JSON does not hold, and the shapes, which each process compiles


@dataclass
class Done:
    """What training has produced so far."""

    updates: int = 0
    best_update: int = 0  # of the model that is tested
    loss: float = 0.0
    grad_norm: float = 0.0
    tokens: int = 0
    flops: int = 0
    first_step_s: float = 0.0
    step_s: list[float] = field(default_factory=list)
    shapes: set[Any] = field(default_factory=set)
    curve: list[dict[str, float]] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    curves_bytes: int = 0  # of metrics.jsonl
    packed: bool = False  # beside other cells: no step has a time
    resumed_at: list[int] = field(default_factory=list)
    best: Snapshot | None = None
    flow: dict[str, Array] = field(default_factory=dict)


class Checkpoints:
    """Writes a cell's checkpoint whenever ``every_s`` seconds have passed since it began or since the last one.

    Without a checkpoint a cell is as good: where the disk is full, ``note`` hears of it and the training goes on.
    """

    def __init__(self, folder: Path, owner: Mapping[str, Any], every_s: float, note: Callable[[str], None]) -> None:
        self._path, self._owner, self._every_s, self._note = folder / NAME, owner, every_s, note
        self._last_ns = clock.now_ns()

    def offer(self, model: Model, done: Done, curves: TextIO) -> None:
        """Write one if it is time. The curves reach the disk first, so that they are never shorter than it says."""
        if clock.since_s(self._last_ns) >= self._every_s:
            curves.flush()
            os.fsync(curves.fileno())
            done.curves_bytes = os.fstat(curves.fileno()).st_size
            try:
                save(self._path, self._owner, model.snapshot(), done)
            except OSError as error:
                self._note(f"{self._path}: no checkpoint ({error.strerror}); the cell goes on without it")
                self._every_s = math.inf
            self._last_ns = clock.now_ns()


def save(path: Path, owner: Mapping[str, Any], now: Snapshot, done: Done) -> None:
    """Write a checkpoint so that the file is there whole or not at all."""
    counted = {f.name: getattr(done, f.name) for f in fields(Done) if f.name not in TENSORS}
    best_step = None if done.best is None else done.best.step
    state = json.dumps({"owner": owner, "step": now.step, "best_step": best_step, "done": counted}, allow_nan=False)
    tensors = weights.tensors(now, "now/") | {f"flow/{name}": value for name, value in done.flow.items()}
    tensors |= {} if done.best is None else weights.tensors(done.best, "best/")
    weights.write(path, tensors, {"state": state, "sha256": _sha256(state, tensors)})


def load(path: Path, owner: Mapping[str, Any], like: Params) -> tuple[Snapshot, Done]:
    """The model and what was done, if the checkpoint is ``owner``'s; parameters are in the order of ``like``.

    A norm is a sum over parameters, and another order would be another last digit. ValueError, with the file's name,
    for a checkpoint that is damaged, another's, or ahead of the curves beside it.
    """
    metadata, tensors = weights.read(path, "a checkpoint")
    text = metadata.get("state", "")
    if metadata.get("sha256") != _sha256(text, tensors):
        raise ValueError(f"{path}: not a whole checkpoint: its digest does not fit")
    try:
        state = json.loads(text)
        other = [name for name, value in owner.items() if state["owner"].get(name) != value]
        if other:
            was = ", ".join(f"{name} {state['owner'].get(name)} instead of {owner[name]}" for name in other)
            raise ValueError(f"written under other conditions: {was}")
        now = _ordered(weights.snapshot(_below("now/", tensors), state["step"]), like)
        done = Done(**state["done"], flow=_below("flow/", tensors))
        if state["best_step"] is not None:
            done.best = _ordered(weights.snapshot(_below("best/", tensors), state["best_step"]), like)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a checkpoint of this cell as it is now ({error})") from error
    curves = path.with_name("metrics.jsonl")
    if not curves.exists() or curves.stat().st_size < done.curves_bytes:
        raise ValueError(f"{path}: the curves beside it are shorter than it says")
    return now, done


def _ordered(snapshot: Snapshot, like: Params) -> Snapshot:
    params, *slots = ({name: values[name] for name in like} for values in (snapshot.params, *snapshot.slots.values()))
    return Snapshot(snapshot.step, params, dict(zip(snapshot.slots, slots, strict=True)))


def _below(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _sha256(state: str, tensors: Mapping[str, Array]) -> str:
    return hashlib.sha256(f"{state}{params.digest(dict(tensors))}".encode()).hexdigest()
