"""The canonical optimisers of ``suite.spec.optim`` over lists of tensors, in place.

N = sqrt(sum g^2)      s = min(1, clip / (N + 1e-6))      g <- s g      then decay, then the rule
"""

from __future__ import annotations

import torch
from torch import Tensor

from backends.pytorch.cells import Weights
from suite.spec.contract import Optim
from suite.spec.optim import CLIP_EPS, decays

Slots = dict[str, Weights]


def norms(grads: Weights) -> Tensor:
    """The norm of each gradient, in order, before clipping (P,); theirs is the global norm."""
    return torch.stack(torch._foreach_norm(list(grads.values())))


@torch.no_grad()
def update(
    optim: Optim, params: Weights, grads: Weights, slots: Slots, norm: Tensor, lr: float, c1: float, c2: float
) -> None:
    """One update of ``params`` and ``slots`` in place; ``grads`` are used up. ``norm`` is the global one."""
    p, g = list(params.values()), list(grads.values())
    if optim.clip:
        torch._foreach_mul_(g, torch.clamp(optim.clip / (norm + CLIP_EPS), max=1.0))
    if optim.weight_decay:
        matrices = [t for name, t in params.items() if decays(name)]
        torch._foreach_add_(matrices, matrices, alpha=-lr * optim.weight_decay)
    v = list(slots["v"].values())
    if optim.name == "sgd":
        torch._foreach_mul_(v, optim.momentum)
        torch._foreach_add_(v, g)
        if optim.nesterov:
            torch._foreach_add_(g, v, alpha=optim.momentum)
        torch._foreach_add_(p, g if optim.nesterov else v, alpha=-lr)
    elif optim.name == "rmsprop":
        _average(v, optim.alpha, g, squared=True)
        torch._foreach_addcdiv_(p, g, _denominator(v, 1.0, optim.eps), value=-lr)
    else:
        m = list(slots["m"].values())
        _average(m, optim.beta1, g)
        _average(v, optim.beta2, g, squared=True)
        torch._foreach_addcdiv_(p, m, _denominator(v, c2, optim.eps), value=-lr * c1)


def _average(mean: list[Tensor], keep: float, g: list[Tensor], squared: bool = False) -> None:
    """mean <- keep mean + (1 - keep) g, or g^2."""
    torch._foreach_mul_(mean, keep)
    if squared:
        torch._foreach_addcmul_(mean, g, g, value=1 - keep)
    else:
        torch._foreach_add_(mean, g, alpha=1 - keep)


def _denominator(v: list[Tensor], c2: float, eps: float) -> list[Tensor]:
    """sqrt(v) c2 + eps."""
    root = torch._foreach_sqrt(v)
    torch._foreach_mul_(root, c2)
    torch._foreach_add_(root, eps)
    return root
