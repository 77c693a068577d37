"""The decoders of ``suite.spec.decoder`` in JAX: plain, with additive or with general attention.

With additive attention the whole step, [x; c] through every layer, is one cell of ``backends.jax.scan``: what is read,
[y; c], stands first in its state, because a scan puts out the first part of the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from backends.jax.cells import CELLS, State, Weights, before_loop, inputs
from backends.jax.scan import Named, scan
from suite.spec.attention import MASKED
from suite.spec.contract import Net
from suite.spec.dropout import NONE, Masks, drop
from suite.spec.params import of, stack


class Memory(NamedTuple):
    """What a decoder attends to: the encoder's outputs (B, T, F), the valid ones (B, T), and their keys (B, T, A)."""

    outputs: jax.Array
    valid: jax.Array
    keys: jax.Array | None


def remember(net: Net, p: Weights, outputs: jax.Array, valid: jax.Array) -> Memory:
    """The memory; the keys are computed once for all steps."""
    return Memory(outputs, valid, outputs @ p["attn/Wk"] if net.arch.attention == "additive" else None)


def softmax(e: jax.Array, valid: jax.Array) -> jax.Array:
    """Weights (..., T) over the valid steps."""
    return jax.nn.softmax(jnp.where(valid, e, MASKED), axis=-1)


def additive(p: Weights, q: jax.Array, memory: Memory) -> jax.Array:
    """e = tanh(q Wq + keys) v: q (B, H) -> the context (B, F)."""
    assert memory.keys is not None, "remember() made them"
    a = softmax(jnp.tanh((q @ p["Wq"])[:, None] + memory.keys) @ p["v"], memory.valid)
    return jnp.einsum("bt,btf->bf", a, memory.outputs)


def general(p: Weights, y: jax.Array, memory: Memory) -> jax.Array:
    """e = (y Wa) . memory: y (B, S, H) -> tanh([c; y] Wc) (B, S, H)."""
    a = softmax(jnp.einsum("bsf,btf->bst", y @ p["Wa"], memory.outputs), memory.valid[:, None])
    c = jnp.einsum("bst,btf->bsf", a, memory.outputs)
    return jnp.tanh(jnp.concatenate([c, y], axis=-1) @ p["Wc"])


def decoder(
    net: Net,
    run: Callable[..., tuple[jax.Array, Named]],
    p: Weights,
    x: jax.Array,
    valid: jax.Array,
    memory: Memory,
    state: Named,
    taps: Named | None = None,
    masks: Masks = NONE,
) -> tuple[jax.Array, Named]:
    """x (B, S, D), valid (B, S) -> what is read (B, S, R), and the final state; ``run``: the plain stack's."""
    own = of(p, "attn/")
    if net.arch.attention == "additive":
        return _additive(net, own, p, drop(masks, "dec/layer0", x), valid, memory, state, taps, masks)
    y, final = run(p, x, valid, state, taps, masks)
    return (jnp.where(valid[..., None], general(own, y, memory), 0) if own else y), final


def _additive(
    net: Net,
    own: Weights,
    p: Weights,
    x: jax.Array,
    valid: jax.Array,
    memory: Memory,
    state: Named,
    taps: Named | None,
    masks: Masks,
) -> tuple[jax.Array, Named]:
    cell, parts = CELLS[net.arch.equations], len(net.arch.state)
    layers = [layer[0].prefix for layer in stack(net, "dec/")]
    weights = [before_loop(cell, of(p, prefix)) for prefix in layers]
    names = [prefix + s for prefix in layers for s in net.arch.state]
    above = [None, *(masks.get(prefix.removesuffix("/")) for prefix in layers[1:])]

    # they join where a layer's state is new, and stay apart from x: of their concatenation XLA's CPU compiler (jaxlib
    # 0.10.2) makes a wrong gradient in float64
    eps = [taps[name] for name in names] if taps else []

    def step(_: Weights, a: tuple[jax.Array, ...], state: State) -> State:
        x, *added = a
        old = [state[k : k + parts] for k in range(1, len(state), parts)]
        c = additive(own, old[-1][0], memory)
        y, new = jnp.concatenate([x, c], axis=-1), State()
        for w, s, mask in zip(weights, old, above, strict=True):
            now = cell(w, inputs(cell, w, y if mask is None else y * mask), s)
            new += tuple(n + added.pop(0) for n in now) if added else now
            y = new[-parts]
        return jnp.concatenate([y, c], axis=-1), *new

    read = jnp.zeros((len(x), net.sizes.hidden + memory.outputs.shape[-1]), x.dtype)
    first = (read, *(state[name] for name in names))
    y, (_, *last) = scan(step, {}, (jnp.swapaxes(x, 0, 1), *eps), valid.T[..., None], first, False, None)
    return jnp.swapaxes(y, 0, 1), dict(zip(names, last, strict=True))
