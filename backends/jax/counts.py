"""What speed depends on and no clock is needed for: how often XLA compiles, and the type whose values are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

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


def tensor() -> type:
    """The type whose values the host may read."""
    return type(jnp.zeros(()))
