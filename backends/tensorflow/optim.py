"""The canonical optimisers of ``suite.spec.optim`` on tf.Variables, in native layout.

N = sqrt(sum g^2)      s = min(1, clip / (N + 1e-6))      g <- s g      then decay, then the rule
"""

from __future__ import annotations

import tensorflow as tf

from backends.tensorflow.cells import Weights
from suite.spec.contract import Optim
from suite.spec.optim import CLIP_EPS, decays

Slots = dict[str, Weights]


def norms(grads: Weights) -> tf.Tensor:
    """The norm of each gradient, in order, before clipping (P,); theirs is the global norm."""
    return tf.stack([tf.norm(g) for g in grads.values()])


def update(
    optim: Optim,
    params: Weights,
    grads: Weights,
    slots: Slots,
    norm: tf.Tensor,
    lr: tf.Tensor,
    c1: tf.Tensor,
    c2: tf.Tensor,
) -> None:
    """One update of ``params`` and ``slots`` in place. ``norm`` is the global one."""
    scale = tf.minimum(optim.clip / (norm + CLIP_EPS), 1.0) if optim.clip else 1.0
    for name, p in params.items():
        old = {slot: values[name] for slot, values in slots.items()}
        moved, kept = _rule(optim, lr, c1, c2, scale * grads[name], old)
        if optim.weight_decay and decays(name):
            p.assign(p - lr * (optim.weight_decay * p) - moved)
        else:
            p.assign(p - moved)
        for slot, value in kept.items():
            slots[slot][name].assign(value)


def _rule(
    optim: Optim, lr: tf.Tensor, c1: tf.Tensor, c2: tf.Tensor, g: tf.Tensor, old: Weights
) -> tuple[tf.Tensor, Weights]:
    """What is taken from the parameter, and the new slots."""
    if optim.name == "sgd":
        v = optim.momentum * old["v"] + g
        return lr * (g + optim.momentum * v if optim.nesterov else v), {"v": v}
    if optim.name == "rmsprop":
        v = optim.alpha * old["v"] + (1 - optim.alpha) * g**2
        return lr * g / (tf.sqrt(v) + optim.eps), {"v": v}
    m = optim.beta1 * old["m"] + (1 - optim.beta1) * g
    v = optim.beta2 * old["v"] + (1 - optim.beta2) * g**2
    return lr * (m * c1) / (tf.sqrt(v) * c2 + optim.eps), {"m": m, "v": v}
