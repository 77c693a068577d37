"""Snapshots as files: one safetensors file of canonical float64 arrays, readable by every framework's users.

Tensors are called "params/<name>" and "<slot>/<name>", for example "params/layer0/U" and "m/layer0/U"; the metadata
hold the number of updates done as {"step": "20"}.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from suite.files import whole
from suite.spec.contract import Array, Params, Snapshot


def save(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot so that the file is there whole or not at all."""
    write(path, tensors(snapshot), {"step": str(snapshot.step)})


def write(path: Path, tensors: Mapping[str, Array], metadata: dict[str, str]) -> None:
    """Write tensors so that the file is there whole or not at all; OSError, with its name, where that cannot be."""
    with whole(path) as part:
        try:
            save_file(dict(tensors), part, metadata=metadata)
        except SafetensorError as error:  # which is how a full disk is said
            raise OSError(errno.EIO, str(error), str(path)) from error


def load(path: Path) -> Snapshot:
    """The snapshot in a file; ValueError, with the file's name, if it is not one."""
    metadata, found = read(path, "a snapshot")
    try:
        return snapshot(found, int(metadata["step"]))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a snapshot ({error})") from error


def read(path: Path, what: str) -> tuple[dict[str, str], Params]:
    """The metadata and the tensors of a file. ValueError, with the file's name, if it is not ``what``."""
    try:
        with safe_open(path, framework="numpy") as f:
            return f.metadata() or {}, {name: f.get_tensor(name) for name in f.keys()}
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ValueError(f"{path}: not {what} ({error})") from error


def tensors(snapshot: Snapshot, prefix: str = "") -> dict[str, Array]:
    """A snapshot's arrays by the names they have in a file."""
    return {
        f"{prefix}{group}/{name}": np.ascontiguousarray(value, dtype=np.float64)
        for group, values in {"params": snapshot.params, **snapshot.slots}.items()
        for name, value in values.items()
    }


def snapshot(tensors: Mapping[str, Array], step: int) -> Snapshot:
    """The inverse of `tensors`. KeyError if there are no parameters, ValueError for a name without a slash."""
    groups: dict[str, Params] = {}
    for key, value in tensors.items():
        group, name = key.split("/", 1)
        groups.setdefault(group, {})[name] = value
    return Snapshot(step, groups.pop("params"), groups)
