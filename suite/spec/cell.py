"""A Cell: everything that decides the numbers of one training run, and nothing else. Its key is its content.

Two cells with the same key give the same numbers on the same machine, so a finished key is never run again.
The key holds the specification's version and not the release's: a release does not void finished work.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from operator import getitem
from typing import Any

from suite.spec.contract import SPEC_VERSION, Optim, Precision, Sizes
from suite.spec.init import Init
from suite.spec.schedule import Schedule

# younger than some keys: left out of a key while at their default
LATER = ("sizes.heads", "sizes.positions", "init", "schedule", "patience", "smoothing", "dropout", "steps_per_call")
Options = tuple[tuple[str, str | int | float | bool], ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run.

    options     the task's own options as sorted pairs: (("time", 100),)
    init        what initial values are chosen in place of the canonical ones
    schedule    how the learning rate moves
    dropout     the rate of every mask, in training alone: see ``suite.spec.dropout``
    smoothing   of the targets, in training alone: see ``suite.spec.loss``
    patience    stop after so many validations without a better score, and go back to the best; 0 = never
    eval_every  score the validation split every so many steps; 0 = only after the last
    flow_at     the steps at which the gradient flow ||dL/dh_t|| is recorded
    steps_per_call  updates in one call of the framework; divides steps, eval_every and flow_at
    seed        decides initialisation and the order of training data; never the task's world or its test split
    """

    task: str
    arch: str
    backend: str
    impl: str = "scan"
    options: Options = ()
    sizes: Sizes = field(default_factory=Sizes)
    optim: Optim = field(default_factory=Optim)
    init: Init = field(default_factory=Init)
    schedule: Schedule = field(default_factory=Schedule)
    smoothing: float = 0.0
    dropout: float = 0.0
    patience: int = 0
    batch: int = 64
    steps: int = 200
    eval_every: int = 0
    flow_at: tuple[int, ...] = ()
    steps_per_call: int = 1
    seed: int = 0
    precision: Precision = "float32"
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("batch", "steps", "steps_per_call", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"cell: {name} is {getattr(self, name)}; it must be at least 1")
        for name in ("smoothing", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"cell: {name} is {getattr(self, name)}; it must be at least 0 and less than 1")
        if self.patience < 0 or (self.patience and not self.eval_every):
            raise ValueError(
                f"cell: patience is {self.patience}, eval_every {self.eval_every}; "
                "patience counts validations, 0 for never: set eval_every as well"
            )
        late = [step for step in self.flow_at if not 0 <= step <= self.steps]
        if late:
            raise ValueError(f"cell: flow_at holds {late[0]}; it must lie in 0..steps = {self.steps}")
        marks = (("steps", self.steps), ("eval_every", self.eval_every), *(("flow_at", at) for at in self.flow_at))
        for name, value in marks:
            if value % (k := self.steps_per_call):
                raise ValueError(
                    f"cell: {name} is {value}, steps_per_call {k}; nothing can be done within a call: "
                    f"make {name} a multiple of {k}, or set steps_per_call = 1"
                )
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"cell: device is {self.device!r}; it must be 'cpu' or 'cuda'")
        if self.precision not in ("float32", "float64"):
            raise ValueError(f"cell: precision is {self.precision!r}; it must be 'float32' or 'float64'")
        if tuple(sorted(self.options)) != self.options:
            raise ValueError(f"cell: options {self.options} must be sorted by name")

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the content."""
        text = json.dumps({"spec": SPEC_VERSION, **self.as_json()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """For people: "pytorch/gru/hmm_tag/s0", with the implementation where it is not scan."""
        impl = "" if self.impl == "scan" else f"-{self.impl}"
        options = "".join(f"-{k}{v}" for k, v in self.options)
        return f"{self.backend}{impl}/{self.arch}/{self.task}{options}/s{self.seed}"

    def as_json(self) -> dict[str, Any]:
        """A plain dictionary that JSON can hold; `from_json` is its inverse."""
        out, plain = _plain(self), _defaults()
        for path in LATER:
            *tables, name = path.split(".")
            own, default = (functools.reduce(getitem, tables, cell) for cell in (out, plain))
            if own[name] == default[name]:
                del own[name]
        out["options"] = dict(self.options)
        out["flow_at"] = list(self.flow_at)
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Cell:
        """A cell from what `as_json` made. Unknown names raise TypeError."""
        data = dict(data)
        data["options"] = tuple(sorted(data.get("options", {}).items()))
        data["flow_at"] = tuple(data.get("flow_at", ()))
        data["sizes"] = Sizes(**data.get("sizes", {}))
        data["optim"] = Optim(**data.get("optim", {}))
        data["init"] = Init(**data.get("init", {}))
        data["schedule"] = Schedule(**data.get("schedule", {}))
        return cls(**data)


def _plain(table: Any) -> dict[str, Any]:
    """A dataclass and those in it as dictionaries: `dataclasses.asdict` without its copies, for plans of many cells."""
    values = ((f.name, getattr(table, f.name)) for f in fields(table))
    return {name: _plain(value) if is_dataclass(value) else value for name, value in values}


@functools.cache
def _defaults() -> dict[str, Any]:
    return _plain(Cell("", "", ""))
