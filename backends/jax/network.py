"""The three networks of ``suite.spec.network`` and their greedy decoding, in JAX: pure functions."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from backends.jax import attention, transformer
from backends.jax.cells import Weights
from backends.jax.layout import Layout
from backends.jax.scan import Named
from suite.spec.contract import BOS, EOS, PAD, Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import bridge, state_shapes
from suite.spec.towers import check_state


class Data(NamedTuple):
    """A batch on its device, shapes as in ``suite.spec.contract.Batch``.

    ``scored`` are the targets that the loss counts, ``scale`` is 1 / number of their values.
    """

    x: jax.Array
    valid: jax.Array
    y: jax.Array
    scored: jax.Array
    scale: jax.Array
    y_in: jax.Array | None
    y_valid: jax.Array | None
    masks: Masks


class Runner(Protocol):
    """A stack of recurrent layers, however it is implemented. It is pure: it owns no parameters, ``run`` takes them."""

    layout: Layout

    def run(
        self, p: Weights, x: jax.Array, valid: jax.Array, state: Named, taps: Named | None = None, masks: Masks = NONE
    ) -> tuple[jax.Array, Named]:
        """x (B, T, I), state (B, H) each -> top outputs (B, T, F) and final states; taps (T, B, H): see `flow`."""
        ...

    def ran(self) -> set[str]:
        """What executes, one phrase for each path taken."""
        ...


Stacks = dict[str, Runner]  # by prefix: {"": ...} or {"enc/": ..., "dec/": ...}


def zero_state(net: Net, rows: int, dtype: jnp.dtype) -> Named:
    """The state every sequence starts from."""
    return {name: jnp.zeros(s, dtype) for name, s in state_shapes(net, rows).items()}


def forward(
    net: Net, stacks: Stacks, p: Weights, batch: Data, state: Named, taps: Named | None = None
) -> tuple[jax.Array, Named]:
    """Outputs (B, [T,] O) and the final state."""
    if net.arch.family == "transformer":
        check_state(net, state)
        return transformer.forward(net, stacks, p, batch), {}
    if net.signature.kind == "translate":
        assert batch.y_in is not None and batch.y_valid is not None, "a translate batch has y_in and y_lengths"
        memory, enc, first = _encode(net, stacks, p, batch, state, taps)
        x = p["tgt_emb/E"][batch.y_in]
        features, dec = attention.decoder(
            net, stacks["dec/"].run, p, x, batch.y_valid, memory, first, taps, batch.masks
        )
        final = enc | dec
    else:
        x = p["emb/E"][batch.x] if net.signature.tokens else batch.x
        features, final = stacks[""].run(p, x, batch.valid, state, taps, batch.masks)
        if net.signature.kind == "final":
            features = _at_ends(net, features, batch.valid)
    return drop(batch.masks, "head", features) @ p["head/V"] + p["head/d"], final


def decode(net: Net, stacks: Stacks, p: Weights, batch: Data) -> jax.Array:
    """Greedy decoding in one loop: (B, longest_target) int32. The first of equal logits wins; after eos comes pad."""
    if net.arch.family == "transformer":
        return transformer.decode(net, stacks, p, batch)
    rows, d = len(batch.x), p["head/d"]
    batch = batch._replace(masks=NONE)  # dropout is for training
    memory, _, first = _encode(net, stacks, p, batch, zero_state(net, rows, d.dtype))
    one = jnp.ones((rows, 1), bool)

    def step(
        carry: tuple[jax.Array, jax.Array, Named], _: None
    ) -> tuple[tuple[jax.Array, jax.Array, Named], jax.Array]:
        token, done, state = carry
        y, state = attention.decoder(net, stacks["dec/"].run, p, p["tgt_emb/E"][token[:, None]], one, memory, state)
        best = jnp.argmax(y[:, 0] @ p["head/V"] + d, axis=-1).astype(jnp.int32)
        token = jnp.where(done, PAD, best)
        return (token, done | (token == EOS), state), token

    start = jnp.full(rows, BOS, jnp.int32), jnp.zeros(rows, bool), first
    _, out = lax.scan(step, start, None, length=net.signature.longest_target)
    return out.T


def _encode(
    net: Net, stacks: Stacks, p: Weights, batch: Data, state: Named, taps: Named | None = None
) -> tuple[attention.Memory, Named, Named]:
    """What the decoder attends to, the encoder's final state, and the state that the decoder starts from."""
    y, final = stacks["enc/"].run(p, p["src_emb/E"][batch.x], batch.valid, state, taps, batch.masks)
    return attention.remember(net, p, y, batch.valid), final, {to: final[s] for to, s in bridge(net).items()}


def _at_ends(net: Net, y: jax.Array, valid: jax.Array) -> jax.Array:
    """y (B, T, F) at the step where each direction ends: forward at the last valid one, backward at the first."""
    last = jnp.take_along_axis(y, (valid.sum(1) - 1)[:, None, None], axis=1)[:, 0]
    hidden = net.sizes.hidden
    return jnp.concatenate([last[:, :hidden], y[:, 0, hidden:]], axis=-1)
