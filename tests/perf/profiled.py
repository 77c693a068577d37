"""An update that also measures the gradient flow: zeros ("taps") are added to every state, and differentiated by.

`switch(backend)` wraps an update: while it runs, the backend's own gradients come with ||dL/ds_t|| of every state, one
reduction over what the way back makes anyway, in the same pass. A compiled step keeps what its first call traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from suite import registry
from suite.spec.contract import Net
from suite.spec.params import state_shapes

Update = Callable[[int], None]


def switch(backend: str) -> Callable[[Update], Update]:
    """Wraps an update so that its gradients come with the profile while it runs."""
    trainer: Any = registry.member(backend, "trainer")
    place = trainer if backend == "jax" else trainer.Trainer
    plain, profiled = place._gradients, GRADIENTS[backend](trainer)

    def wrap(update: Update) -> Update:
        def with_profile(step: int) -> None:
            place._gradients = profiled
            try:
                update(step)
            finally:
                place._gradients = plain

        return with_profile

    return wrap


def shapes(net: Net, batch: Any) -> dict[str, tuple[int, ...]]:
    """Of the taps: (T, B, H), or of a decoder's state (S, B, H)."""
    read = {
        name: batch.y_in if name.startswith("dec/") and batch.y_in is not None else batch.x
        for name in state_shapes(net, 1)
    }
    return {name: (read[name].shape[1], *shape) for name, shape in state_shapes(net, batch.x.shape[0]).items()}


def _pytorch(trainer: Any) -> Callable[..., Any]:
    import torch

    def gradients(self: Any, batch: Any) -> tuple[Any, Any]:
        wanted, zero = shapes(self._net, batch), self._zeros(())
        taps = {name: zero.expand(shape).requires_grad_() for name, shape in wanted.items()}
        rows = self._rows(batch, taps)
        grads = torch.autograd.grad(rows.sum(), [*self._params.values(), *taps.values()])
        own, towards = grads[: len(self._params)], grads[len(self._params) :]
        profile = [torch.linalg.vector_norm(d, dim=(1, 2)) for d in towards]
        return torch.cat([rows.detach(), *profile]), dict(zip(self._params, own, strict=True))

    return gradients


def _tensorflow(trainer: Any) -> Callable[..., Any]:
    import tensorflow as tf

    def gradients(self: Any, batch: Any) -> tuple[Any, Any]:
        taps = {name: tf.zeros(shape, self._dtype) for name, shape in shapes(self._net, batch).items()}
        with tf.GradientTape() as tape:
            tape.watch(taps)
            rows = self._rows(batch, taps)
        grads, towards = tape.gradient(rows, (self._params, taps))
        profile = [tf.sqrt(tf.reduce_sum(d**2, axis=(1, 2))) for d in towards.values()]
        return tf.concat([rows, *profile], 0), {name: tf.convert_to_tensor(g) for name, g in grads.items()}

    return gradients


def _jax(trainer: Any) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def gradients(net: Net, stacks: Any, p: Any, batch: Any) -> tuple[Any, Any]:
        def loss(p: Any, taps: Any) -> tuple[Any, Any]:
            rows = trainer._rows(net, stacks, p, batch, taps)
            return rows.sum(), rows

        taps = {name: jnp.zeros(shape, p["head/d"].dtype) for name, shape in shapes(net, batch).items()}
        (grads, towards), rows = jax.grad(loss, argnums=(0, 1), has_aux=True)(p, taps)
        profile = [jnp.sqrt(jnp.sum(d**2, axis=(1, 2))) for d in towards.values()]
        return jnp.concatenate([rows, *profile]), grads

    return gradients


GRADIENTS = {"pytorch": _pytorch, "tensorflow": _tensorflow, "jax": _jax}
