"""Random numbers by name: SHA-256 of the name keys a Philox stream, and every distribution is written out.

A stream depends on its name alone, so adding, removing or reordering streams moves no number of another one.
Only raw 64-bit words are taken from NumPy, because those are promised to stay the same across versions and
the methods of ``numpy.random.Generator`` are not (NEP 19).

    key     = sha256(name)[:16], read as two little-endian 64-bit words
    uniform = (word >> 11) * 2**-53                                     in [0, 1)
    normal  = sqrt(-2 ln(1 - u1)) cos(2 pi u2)                          Box & Muller 1958
    gamma   = Marsaglia & Tsang 2000, boosted by u**(1/a) for a < 1
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

Shape = int | tuple[int, ...]


class Stream:
    """The random stream called ``name``; each call consumes words from it, in order.

    >>> Stream("1/0/layer0/W").uniform(2).round(6).tolist()
    [0.5227, 0.636017]
    """

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode()).digest()[:16]
        self._bits = np.random.Philox(key=np.frombuffer(digest, dtype="<u8").astype(np.uint64))

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next ``count`` raw 64-bit words."""
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64)

    def uniform(self, shape: Shape, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        """Uniform on [low, high), float64."""
        unit = (self.words(int(np.prod(shape))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return (low + (high - low) * unit).reshape(shape)

    def integers(self, bound: int, shape: Shape) -> NDArray[np.int64]:
        """Uniform on 0..bound-1: floor(bound * u), whose bias is below bound * 2**-53."""
        if not 1 <= bound <= 2**32:
            raise ValueError(f"integers: bound is {bound}; it must lie in 1..2**32")
        return np.floor(self.uniform(shape) * bound).astype(np.int64)

    def permutation(self, count: int) -> NDArray[np.int64]:
        """A uniform permutation of 0..count-1: the order that sorts ``count`` raw words."""
        return np.argsort(self.words(count), kind="stable").astype(np.int64)

    def normal(self, shape: Shape) -> NDArray[np.float64]:
        """Standard normal, float64; two uniforms for each number."""
        size = int(np.prod(shape))
        u = self.uniform((2, size))
        return (np.sqrt(-2.0 * np.log1p(-u[0])) * np.cos(2.0 * np.pi * u[1])).reshape(shape)

    def gamma(self, alpha: float) -> float:
        """One Gamma(alpha, 1) number by Marsaglia and Tsang's rejection."""
        if not alpha > 0:
            raise ValueError(f"gamma: alpha is {alpha}; it must be positive")
        boost = 1.0 if alpha >= 1 else float(1.0 - self.uniform(1)[0]) ** (1.0 / alpha)
        d = (alpha if alpha >= 1 else alpha + 1.0) - 1.0 / 3.0
        while True:
            x, u = float(self.normal(1)[0]), 1.0 - float(self.uniform(1)[0])
            v = (1.0 + x / math.sqrt(9.0 * d)) ** 3
            if v > 0 and math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
                return d * v * boost

    def dirichlet(self, alpha: float, size: int) -> NDArray[np.float64]:
        """One point of the symmetric Dirichlet(alpha) on ``size`` corners."""
        draws = np.array([self.gamma(alpha) for _ in range(size)])
        return draws / draws.sum()

    def categorical(self, cumulative: NDArray[np.float64]) -> NDArray[np.int64]:
        """One draw a row: ``cumulative`` (N, K) holds each row's running sums of probabilities -> (N,)."""
        u = self.uniform((len(cumulative), 1)) * cumulative[:, -1:]
        return (cumulative <= u).sum(axis=1).clip(max=cumulative.shape[1] - 1)
