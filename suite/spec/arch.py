"""An architecture as data: its equations and how its layers are put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Step = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Arch:
    """One architecture: its equations in float64 NumPy, and how its layers are put together.

    gates      the blocks of W's columns, in order, for example ("r", "z", "n")
    state      the names of what is carried, the output first: ("h",) or ("h", "c")
    shapes     (I, H) -> parameter name -> shape, of one layer and direction
    step       (p, x (B, I), state) -> (state', tape)
    step_vjp   (p, tape, dstate') -> (dx, dstate, dp)
    bias       what each gate's block of ``b`` starts at
    cell       the architecture whose step this is, where it is another one's: "gru" for gru_residual
    residual   each layer adds what it reads to what it puts out, through R (I, F) where the widths differ
    attention  how a decoder reads its encoder: "" not at all but for the final state, "additive", or "general"
    expanding  rounding errors grow in it, step by step: the exam measures how far, see ``suite.exam.twin``
    family     "recurrent", or "transformer": see ``suite.spec.transformer``; its step is one block over all steps
    chrono     the sign of log(time) in each gate's first bias, see ``suite.spec.init``; () = none keeps the state
    """

    name: str
    source: str
    gates: tuple[str, ...]
    state: tuple[str, ...]
    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]
    step: Step
    step_vjp: Step
    bias: tuple[float, ...]
    cell: str = ""
    residual: bool = False
    attention: Literal["", "additive", "general"] = ""
    expanding: bool = False
    family: Literal["recurrent", "transformer"] = "recurrent"
    chrono: tuple[float, ...] = ()

    @property
    def equations(self) -> str:
        """The name under which a backend's cells.py has the step."""
        return self.cell or self.name
