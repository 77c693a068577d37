"""The canonical optimisers of ``suite.spec.optim`` in JAX.

N = sqrt(sum g^2)      s = min(1, clip / (N + 1e-6))      g <- s g      then decay, then the rule
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from backends.jax.cells import Weights
from suite.spec.contract import Optim
from suite.spec.optim import CLIP_EPS, decays

Slots = dict[str, Weights]


def norms(grads: Weights) -> jax.Array:
    """The norm of each gradient, in order, before clipping (P,); theirs is the global norm."""
    return jnp.stack([jnp.linalg.norm(g.ravel()) for g in grads.values()])


def update(
    optim: Optim,
    params: Weights,
    grads: Weights,
    slots: Slots,
    norm: jax.Array,
    lr: jax.Array,
    c1: jax.Array,
    c2: jax.Array,
) -> tuple[Weights, Slots]:
    """New params and slots. ``norm`` is the global one."""
    scale = jnp.minimum(1.0, optim.clip / (norm + CLIP_EPS)) if optim.clip else 1.0
    new: Weights = {}
    new_slots: Slots = {slot: {} for slot in slots}
    for name, p in params.items():
        old = {slot: values[name] for slot, values in slots.items()}
        moved, kept = _rule(optim, lr, c1, c2, scale * grads[name], old)
        if optim.weight_decay and decays(name):
            p = p - lr * (optim.weight_decay * p)
        new[name] = p - moved
        for slot, value in kept.items():
            new_slots[slot][name] = value
    return new, new_slots


def _rule(
    optim: Optim, lr: jax.Array, c1: jax.Array, c2: jax.Array, g: jax.Array, old: Weights
) -> tuple[jax.Array, Weights]:
    """What is taken from the parameter, and the new slots."""
    if optim.name == "sgd":
        v = optim.momentum * old["v"] + g
        return lr * (g + optim.momentum * v if optim.nesterov else v), {"v": v}
    if optim.name == "rmsprop":
        v = optim.alpha * old["v"] + (1 - optim.alpha) * g**2
        return lr * g / (jnp.sqrt(v) + optim.eps), {"v": v}
    m = optim.beta1 * old["m"] + (1 - optim.beta1) * g
    v = optim.beta2 * old["v"] + (1 - optim.beta2) * g**2
    return lr * (m * c1) / (jnp.sqrt(v) * c2 + optim.eps), {"m": m, "v": v}
