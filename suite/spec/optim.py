"""The canonical optimisers. Order: global norm, clip, decay, update; t counts from 1.

    N = sqrt(sum g^2)      s = min(1, clip / (N + 1e-6))      g <- s g

    sgd      v <- mu v + g;                       p <- p - lr v            (nesterov: p - lr (g + mu v))
    rmsprop  v <- a v + (1 - a) g^2;              p <- p - lr g / (sqrt(v) + eps)
    adam     m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
             p <- p - lr (m c1) / (sqrt(v) c2 + eps)       c1 = 1/(1 - b1^t)   c2 = 1/sqrt(1 - b2^t)
    adamw    p <- p - lr wd p  (matrices only, the old p), then adam

c1, c2 and lr are computed on the host in float64 and handed to every backend as scalars of the compute dtype.
Sources: Kingma & Ba 2015 (Adam), Loshchilov & Hutter 2019 (AdamW), Tieleman & Hinton 2012 (RMSprop),
Pascanu et al. 2013 (clipping by the global norm).
"""

from __future__ import annotations

import math

import numpy as np

from suite.spec.contract import Array, Optim, Params

CLIP_EPS = 1e-6
SLOTS: dict[str, tuple[str, ...]] = {"sgd": ("v",), "rmsprop": ("v",), "adam": ("m", "v"), "adamw": ("m", "v")}
# the matrices that weight decay acts on, by the last part of their name
DECAYED = ("E", "W", "U", "V", "R", "Wq", "Wk", "Wv", "Wo", "Wa", "Wc", "W1", "W2")


def decays(name: str) -> bool:
    """Whether weight decay acts on the parameter of this canonical name."""
    return name.rsplit("/", 1)[-1] in DECAYED


def init_slots(optim: Optim, params: Params) -> dict[str, Params]:
    """Zero slots before the first update."""
    return {slot: {name: np.zeros_like(p) for name, p in params.items()} for slot in SLOTS[optim.name]}


def corrections(optim: Optim, t: int) -> tuple[float, float]:
    """Adam's (c1, c2) at update ``t`` (from 1); (1, 1) for the other optimisers."""
    if optim.name not in ("adam", "adamw"):
        return 1.0, 1.0
    return 1.0 / (1.0 - optim.beta1**t), 1.0 / math.sqrt(1.0 - optim.beta2**t)


def global_norm(grads: Params) -> float:
    """sqrt of the sum of all squares."""
    return math.sqrt(sum(float(np.sum(np.square(g))) for g in grads.values()))


def update(
    optim: Optim, lr: float, t: int, params: Params, grads: Params, slots: dict[str, Params]
) -> tuple[Params, dict[str, Params], float]:
    """One update -> new params, new slots, and the global norm before clipping. ``t`` counts from 1."""
    norm = global_norm(grads)
    scale = min(1.0, optim.clip / (norm + CLIP_EPS)) if optim.clip else 1.0
    c1, c2 = corrections(optim, t)
    new: Params = {}
    new_slots: dict[str, Params] = {slot: {} for slot in SLOTS[optim.name]}
    for name, p in params.items():
        old = {slot: slots[slot][name] for slot in new_slots}
        moved, kept = _rule(optim, lr, c1, c2, scale * grads[name], old)
        if optim.weight_decay and decays(name):
            p = p - lr * (optim.weight_decay * p)
        new[name] = p - moved
        for slot, value in kept.items():
            new_slots[slot][name] = value
    return new, new_slots, norm


def _rule(
    optim: Optim, lr: float, c1: float, c2: float, g: Array, old: dict[str, Array]
) -> tuple[Array, dict[str, Array]]:
    """What is taken from the parameter, and the new slots."""
    if optim.name == "sgd":
        v = optim.momentum * old["v"] + g
        return lr * (g + optim.momentum * v if optim.nesterov else v), {"v": v}
    if optim.name == "rmsprop":
        v = optim.alpha * old["v"] + (1 - optim.alpha) * g**2
        return lr * g / (np.sqrt(v) + optim.eps), {"v": v}
    m = optim.beta1 * old["m"] + (1 - optim.beta1) * g
    v = optim.beta2 * old["v"] + (1 - optim.beta2) * g**2
    return lr * (m * c1) / (np.sqrt(v) * c2 + optim.eps), {"m": m, "v": v}
