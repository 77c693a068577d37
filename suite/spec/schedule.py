"""Learning rates on the host: the rate of update t (from 1) among n, as a float that every backend is handed.

warm-up        lr t / (warmup + 1)                              t = 1 .. warmup: evenly up, the next one is whole
after it, with s = (t - warmup - 1) / (n - warmup) from 0 up to, but never at, 1:

constant       lr
linear         lr (1 - s + s final)
cosine         lr (final + (1 - final) (1 + cos(pi s)) / 2)     Loshchilov & Hutter 2017 (arXiv 1608.03983), one cycle
inverse_sqrt   lr sqrt((warmup + 1) / t)                        Vaswani et al. 2017 (arXiv 1706.03762, sec. 5.3)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Shape = Literal["constant", "linear", "cosine", "inverse_sqrt"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the learning rate moves. ``final``: the share of it that "linear" and "cosine" tend to."""

    shape: Shape = "constant"
    warmup: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise ValueError(f"schedule: shape is {self.shape!r}; it must be one of {', '.join(get_args(Shape))}")
        if self.warmup < 0:
            raise ValueError(f"schedule: warmup is {self.warmup}; it must be a number of updates, 0 for none")
        if not 0 <= self.final <= 1:
            raise ValueError(f"schedule: final is {self.final}; it must be a share of the rate, 0..1")
        if self.final and self.shape not in ("linear", "cosine"):
            raise ValueError(f"schedule: final belongs to linear and cosine, not to {self.shape}")

    def rate(self, lr: float, t: int, n: int) -> float:
        """The learning rate of update ``t`` (from 1) of ``n``."""
        if t <= self.warmup:
            return lr * t / (self.warmup + 1)
        s = (t - self.warmup - 1) / (n - self.warmup)
        if self.shape == "linear":
            return lr * (1 - s + s * self.final)
        if self.shape == "cosine":
            return lr * (self.final + (1 - self.final) * (1 + math.cos(math.pi * s)) / 2)
        if self.shape == "inverse_sqrt":
            return lr * math.sqrt((self.warmup + 1) / t)
        return lr
