"""What speed depends on and no clock is needed for: how often XLA compiles, of what, and whose values are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backends.jax.network import Data
from backends.jax.trainer import Trainer

COMPILED = "/jax/core/compile/backend_compile_duration"  # said once for each program


def compiled(model: Trainer) -> Callable[[], int]:
    """How many programs XLA has compiled in this process since now, until it is asked."""
    heard: list[str] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event == COMPILED:
            heard.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return lambda: len(heard)


def operations(model: Trainer, handle: Data, lr: float) -> int | None:
    """How many operations an update has as XLA is given it, those of a loop's body once; nothing is run."""
    scalars = np.zeros(3, model._dtype)  # lr and what goes with it
    program = model._run_update.lower(model._params, model._slots, handle, scalars).as_text()
    return len(re.findall(r"^ +%\S+ = ", program, re.MULTILINE))


def tensor() -> type:
    """The type whose values the host may read."""
    return type(jnp.zeros(()))
