"""The canonical optimisers of ``suite.spec.optim`` on tf.Variables, in native layout.

N = sqrt(sum g^2)      s = min(1, clip / (N + 1e-6))      g <- s g      then decay, then the rule
"""

from __future__ import annotations

import tensorflow as tf

from backends.tensorflow.layout import Layout, part
from backends.tensorflow.network import Named
from suite.spec.contract import Optim
from suite.spec.optim import CLIP_EPS, decays


def norms(layout: Layout, grads: Named) -> tf.Tensor:
    """The norm of each canonical parameter's gradient, in order, before clipping: (P,)."""
    return tf.stack([tf.norm(part(place, grads)) for place in layout.values()])


def update(
    optim: Optim, layout: Layout, params: Named, grads: Named, slots: dict[str, Named], each: tf.Tensor, host: tf.Tensor
) -> None:
    """One update of ``params`` and ``slots`` in place. ``each``: what `norms` gave; ``host``: (lr, c1, c2)."""
    lr, c1, c2 = tf.unstack(host)
    decayed = {place.native for name, place in layout.items() if decays(name)} if optim.weight_decay else set()
    scale: tf.Tensor | float = 1.0
    if optim.clip:
        scale = tf.minimum(optim.clip / (tf.norm(each) + CLIP_EPS), 1.0)
    for name, p in params.items():
        moved, kept = _rule(
            optim, lr, c1, c2, scale * grads[name], {slot: values[name] for slot, values in slots.items()}
        )
        p.assign(p - lr * (optim.weight_decay * p) - moved if name in decayed else p - moved)
        for slot, value in kept.items():
            slots[slot][name].assign(value)


def _rule(
    optim: Optim, lr: tf.Tensor, c1: tf.Tensor, c2: tf.Tensor, g: tf.Tensor, old: Named
) -> tuple[tf.Tensor, Named]:
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
