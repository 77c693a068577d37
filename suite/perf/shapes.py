"""The shapes that plan `speed` measures, from shapes.toml beside this file: sizes, and what of each is timed."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite import registry
from suite.spec.cell import Cell
from suite.spec.contract import IMPLEMENTATIONS, Optim, Sizes

ASKED: dict[str, tuple[str, ...]] = {
    "archs": (),
    "subjects": ("step",),
    "impls": IMPLEMENTATIONS,
    "peers": registry.PEERS,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape.

    more     further subjects of some architectures
    beside   another shape that is timed in the same run, and what its candidates are called there; None: there is none
    sweep    the size that grows and its value, such as ("hidden", 128); None outside a sweep
    """

    name: str
    sizes: Mapping[str, Any]
    archs: tuple[str, ...]
    subjects: tuple[str, ...]
    more: Mapping[str, list[str]]
    impls: tuple[str, ...]
    sets: int
    rounds: int
    peers: tuple[str, ...]
    beside: tuple[str, str] | None = None
    sweep: tuple[str, int] | None = None

    def cell(self, arch: str, threads: int) -> Cell:
        """A cell of this shape, of which the backend and the implementation are still to be chosen."""
        s = self.sizes
        return Cell(
            s.get("task", "noise"),
            registry.arch(arch).name,
            "reference",
            options=tuple((name, s[name]) for name in ("features", "shortest", "time") if name in s),
            sizes=Sizes(**{name: s[name] for name in ("hidden", "layers", "bidirectional", "embed") if name in s}),
            optim=Optim(lr=1e-4),
            batch=s["batch"],
            steps_per_call=s.get("steps_per_call", 1),
            threads=threads,
        )


@functools.cache
def shapes() -> dict[str, Shape]:
    """Every shape by name, those of a sweep last."""
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        told = tomllib.load(file)
    found = {name: _shape(name, sizes, sizes) for name, sizes in told["shape"].items()}
    for size, sweep in told["sweep"].items():
        for value in sweep["values"]:
            name, base = f"{size}-{value}", told["shape"][sweep["of"]]
            found[name] = _shape(name, base | {size: value}, sweep, (size, value))
    return found


def shape(name: str) -> Shape:
    """The shape called ``name``. ValueError, with the nearest name, where there is none."""
    if name not in shapes():
        raise registry.unknown("shape", name, shapes())
    return shapes()[name]


def _shape(name: str, sizes: dict[str, Any], told: dict[str, Any], sweep: tuple[str, int] | None = None) -> Shape:
    archs, subjects, impls, peers = (tuple(told.get(key, all_)) for key, all_ in ASKED.items())
    beside = (told["beside"], told["beside_as"]) if "beside" in told else None
    asked = archs, subjects, told.get("more", {}), impls, told["sets"], told["rounds"], peers, beside
    return Shape(name, sizes, *asked, sweep)
