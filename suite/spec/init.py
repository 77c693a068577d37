"""Initial values that an experiment may choose in place of the canonical ones of ``suite.spec.params``.

recurrent    "identity": U = 1 and W normal with standard deviation 0.001 (Le, Jaitly & Hinton 2015, arXiv
             1504.00941, who write it for rectified linear units, IRNN); embedding and head stay canonical
forget_bias  what an LSTM's b_f starts at; None = what the architecture says
chrono       T_max, the longest time to remember, 0 = off (Tallec & Ollivier 2018, arXiv 1804.11188, eq. 16):
             the bias of the gate that keeps the old state starts at log u, u uniform on 1..T_max-1, one u a unit,
             and an LSTM's input gate at -log u. A GRU's z keeps it, and so does the 1 - f of a minimal gated unit
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from suite.spec.arch import Arch
from suite.spec.contract import Array, Unsupported
from suite.spec.random import Stream

IDENTITY_STD = 1e-3


@dataclass(frozen=True, slots=True)
class Init:
    """Choices of initial values; the default is the canonical law."""

    recurrent: Literal["uniform", "identity"] = "uniform"
    forget_bias: float | None = None
    chrono: int = 0

    def __post_init__(self) -> None:
        if self.recurrent not in ("uniform", "identity"):
            raise ValueError(f"init: recurrent is {self.recurrent!r}; it must be 'uniform' or 'identity'")
        if self.chrono and self.chrono < 3:
            raise ValueError(f"init: chrono is {self.chrono}; it must be a time of at least 3, or 0 for off")
        if self.chrono and self.forget_bias is not None:
            raise ValueError("init: chrono sets the forget gate's bias; leave out forget_bias, or chrono")

    def check(self, arch: Arch) -> None:
        """Unsupported where ``arch`` has not got what is to be set."""
        if self.recurrent == "identity" and arch.gates != ("h",):
            raise Unsupported(f"{arch.name}: recurrent = identity is for one square U: use rnn or rnn_relu")
        if self.forget_bias is not None and not {"f", "c"} <= {*arch.gates, *arch.state}:
            raise Unsupported(f"{arch.name}: it has no LSTM's forget gate; leave out forget_bias")
        if self.chrono and not arch.chrono:
            raise Unsupported(f"{arch.name}: none of its gates keeps the old state; leave out chrono")

    def bias(self, arch: Arch, hidden: int, stream: Stream) -> Array:
        """The first b of a cell, (GH,)."""
        starts = list(arch.bias)
        if self.forget_bias is not None:
            starts[arch.gates.index("f")] = self.forget_bias
        bias = np.repeat(np.array(starts), hidden)
        if not self.chrono:
            return bias
        log_u = np.log(stream.uniform(hidden, 1.0, self.chrono - 1.0))
        signs = np.repeat(arch.chrono, hidden)
        return np.where(signs != 0, signs * np.tile(log_u, len(arch.gates)), bias)


CANONICAL = Init()
