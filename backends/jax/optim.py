"""The canonical optimisers of ``suite.spec.optim`` in JAX: clip by the global norm, decay, update."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from backends.jax.cells import Params
from suite.spec.contract import Optim
from suite.spec.optim import CLIP_EPS, SLOTS, decays

Slots = dict[str, Params]


def update(
    optim: Optim,
    params: Params,
    grads: Params,
    slots: Slots,
    norm: jax.Array,
    lr: jax.Array,
    c1: jax.Array,
    c2: jax.Array,
) -> tuple[Params, Slots]:
    """New params and slots. ``norm`` is the global norm that clipping looks at; lr, c1, c2 are scalars."""
    scale = jnp.minimum(1.0, optim.clip / (norm + CLIP_EPS)) if optim.clip else 1.0
    new: Params = {}
    new_slots: Slots = {slot: {} for slot in SLOTS[optim.name]}
    for name, p in params.items():
        old = {slot: slots[slot][name] for slot in new_slots}
        moved, kept = _rule(optim, lr, c1, c2, scale * grads[name], old)
        if optim.weight_decay and decays(name):
            p = p - lr * (optim.weight_decay * p)
        new[name] = p - moved
        for slot, value in kept.items():
            new_slots[slot][name] = value
    return new, new_slots


def norms(names: list[str], grads: Params) -> jax.Array:
    """The norm of each gradient (P,), in the order of ``names``; theirs is the global norm."""
    return jnp.stack([jnp.linalg.norm(grads[name].ravel()) for name in names])


def _rule(
    optim: Optim, lr: jax.Array, c1: jax.Array, c2: jax.Array, g: jax.Array, old: Params
) -> tuple[jax.Array, Params]:
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
