"""The three networks of ``suite.spec.network``, their loss and greedy decoding, in JAX: pure functions."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from backends.jax.cells import Params
from backends.jax.scan import Named
from suite.spec.contract import BOS, EOS, PAD, Net, Signature
from suite.spec.params import stack, state_shapes


class Handle(NamedTuple):
    """A batch on the device. Shapes as in ``suite.spec.contract.Batch``; ``scale`` is 1 / count."""

    x: jax.Array
    lengths: jax.Array
    y: jax.Array
    scored: jax.Array
    scale: jax.Array
    y_in: jax.Array | None
    y_lengths: jax.Array | None


class Runner(Protocol):
    """A stack of layers, however it is implemented."""

    def run(
        self, p: Params, x: jax.Array, valid: jax.Array, state: Named, taps: Named | None = None
    ) -> tuple[jax.Array, Named]:
        """x (B, T, I), valid (B, T), state -> y (B, T, F), final state."""
        ...


Runners = dict[str, Runner]  # by prefix: {"": ...} or {"enc/": ..., "dec/": ...}


def forward(
    net: Net, runners: Runners, p: Params, batch: Handle, state: Named, taps: Named | None = None
) -> tuple[jax.Array, Named]:
    """Outputs (B, [T,] O) and the final state."""
    x, valid = batch.x, _valid(batch.lengths, batch.x.shape[1])
    if net.signature.kind == "translate":
        assert batch.y_in is not None and batch.y_lengths is not None, "a translate batch has y_in and y_lengths"
        _, enc_final = runners["enc/"].run(p, p["src_emb/E"][x], valid, state, taps)
        dec_valid = _valid(batch.y_lengths, batch.y_in.shape[1])
        features, dec_final = runners["dec/"].run(p, p["tgt_emb/E"][batch.y_in], dec_valid, _bridge(enc_final), taps)
        final = enc_final | dec_final
    else:
        x = p["emb/E"][x] if net.signature.tokens else x
        features, final = runners[""].run(p, x, valid, state, taps)
        if net.signature.kind == "final":
            features = jnp.concatenate([final[d.prefix + "h"] for d in stack(net)[-1]], axis=-1)
    return features @ p["head/V"] + p["head/d"], final


def loss_rows(signature: Signature, outputs: jax.Array, batch: Handle) -> jax.Array:
    """Each row's share of the loss (B,); the host adds them up, as XLA's sum in float32 is too coarse."""
    if signature.loss == "mse":
        error = jnp.where(batch.scored[:, None], outputs - batch.y, 0)
        return batch.scale / outputs.shape[1] * jnp.sum(error**2, axis=1)
    chosen = jnp.take_along_axis(outputs, batch.y[..., None], axis=-1)[..., 0]
    ce = jax.nn.logsumexp(outputs, axis=-1) - chosen
    return batch.scale * jnp.where(batch.scored, ce, 0).reshape(len(ce), -1).sum(axis=1)


def decode(net: Net, runners: Runners, p: Params, batch: Handle) -> jax.Array:
    """Greedy decoding: (B, longest_target) int32. The first of equal logits wins; after eos comes pad."""
    rows, steps = batch.x.shape
    first = zero_state(net, p, rows)
    _, final = runners["enc/"].run(p, p["src_emb/E"][batch.x], _valid(batch.lengths, steps), first)
    valid = jnp.ones((rows, 1), bool)

    def step(
        carry: tuple[jax.Array, jax.Array, Named], _: None
    ) -> tuple[tuple[jax.Array, jax.Array, Named], jax.Array]:
        token, done, state = carry
        y, state = runners["dec/"].run(p, p["tgt_emb/E"][token[:, None]], valid, state)
        best = jnp.argmax(y[:, 0] @ p["head/V"] + p["head/d"], axis=-1).astype(jnp.int32)
        token = jnp.where(done, PAD, best)
        return (token, done | (token == EOS), state), token

    start = jnp.full(rows, BOS, jnp.int32), jnp.zeros(rows, bool), _bridge(final)
    _, out = lax.scan(step, start, None, length=net.signature.longest_target)
    return out.T


def zero_state(net: Net, p: Params, rows: int) -> Named:
    """The state every sequence starts from."""
    return {name: jnp.zeros(shape, p["head/d"].dtype) for name, shape in state_shapes(net, rows).items()}


def _bridge(enc_final: Named) -> Named:
    """The decoder starts, layer by layer, from the encoder's final state."""
    return {name.replace("enc/", "dec/", 1): s for name, s in enc_final.items()}


def _valid(lengths: jax.Array, steps: int) -> jax.Array:
    return jnp.arange(steps, dtype=lengths.dtype) < lengths[:, None]  # (B, T)
