"""Snapshots as files: one safetensors file of canonical float64 arrays, readable by every framework's users.

Tensors are called "params/<name>" and "<slot>/<name>", for example "params/layer0/U" and "m/layer0/U"; the metadata
hold the number of updates done as {"step": "20"}.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from suite.spec.contract import Params, Snapshot


def save(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot so that the file is there whole or not at all."""
    groups = {"params": snapshot.params, **snapshot.slots}
    tensors = {
        f"{group}/{name}": np.ascontiguousarray(value, dtype=np.float64)
        for group, values in groups.items()
        for name, value in values.items()
    }
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={"step": str(snapshot.step)})
    part.replace(path)


def load(path: Path) -> Snapshot:
    """The snapshot in a file; ValueError, with the file's name, if it is not one."""
    groups: dict[str, Params] = {}
    try:
        with safe_open(path, framework="numpy") as f:
            step = int(f.metadata()["step"])
            for key in f.keys():
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = f.get_tensor(key)
        params = groups.pop("params")
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ValueError(f"{path}: not a snapshot ({error})") from error
    return Snapshot(step, params, groups)
