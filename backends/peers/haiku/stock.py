"""dm-haiku's own cores under ``hk.dynamic_unroll``: VanillaRNN (ReLU), GRU (reset before the product), LSTM.

    hk.VanillaRNN  relu, with one bias
    hk.GRU         gates z, r, a with h' = (1 - z) h + z a: its z is our 1 - z, whose weights have the other sign
    hk.LSTM        one matrix for [x, h], gates i, g, f, o, and 1 is added to f: its bias of f is one less

The pads are masked here, in what is unrolled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from backends.jax.cells import State, Weights
from backends.jax.scan import Scan
from backends.peers.jax_layers import layers
from suite.spec.contract import Net

Tree = dict[str, dict[str, jax.Array]]


def rnn_relu(net: Net, prefix: str) -> Scan:
    """hk.VanillaRNN without its second bias."""
    core = partial(hk.VanillaRNN, double_bias=False)
    return layers(net, prefix, partial(_unroll, core, _vanilla), "hk.dynamic_unroll of hk.VanillaRNN")


def gru_before(net: Net, prefix: str) -> Scan:
    """hk.GRU, which resets before the product."""
    return layers(net, prefix, partial(_unroll, hk.GRU, _gru), "hk.dynamic_unroll of hk.GRU")


def lstm(net: Net, prefix: str) -> Scan:
    """hk.LSTM."""
    return layers(net, prefix, partial(_unroll, hk.LSTM, _lstm), "hk.dynamic_unroll of hk.LSTM")


def _unroll(
    core: Callable[[int], Any],
    tree: Callable[[Weights], Tree],
    p: Weights,
    x: jax.Array,
    valid: jax.Array,
    state: State,
    reverse: bool,
) -> tuple[jax.Array, State]:
    def unrolled() -> tuple[jax.Array, Any]:
        cell = core(p["U"].shape[0])

        def masked(now: tuple[jax.Array, jax.Array], old: Any) -> tuple[jax.Array, Any]:
            x_t, m = now
            y, new = cell(x_t, old)
            return jnp.where(m, y, 0), jax.tree.map(lambda n, s: jnp.where(m, n, s), new, old)

        return hk.dynamic_unroll(
            masked, (x, valid), state[0] if len(state) == 1 else hk.LSTMState(*state), reverse=reverse
        )

    y, final = hk.transform(unrolled).apply(tree(p), None)
    return y, (final,) if len(state) == 1 else tuple(final)


def _vanilla(p: Weights) -> Tree:
    return {"vanilla_rnn/linear": {"w": p["W"], "b": p["b"]}, "vanilla_rnn/linear_1": {"w": p["U"]}}


def _gru(p: Weights) -> Tree:
    def own(v: jax.Array) -> jax.Array:
        r, z, n = jnp.split(v, 3, axis=-1)
        return jnp.concatenate([-z, r, n], axis=-1)

    return {"gru": {"w_i": own(p["W"]), "w_h": own(p["U"]), "b": own(p["b"])}}


def _lstm(p: Weights) -> Tree:
    i, f, g, o = jnp.split(jnp.concatenate([p["W"], p["U"]]), 4, axis=-1)
    b_i, b_f, b_g, b_o = jnp.split(p["b"], 4)
    return {
        "lstm/linear": {"w": jnp.concatenate([i, g, f, o], axis=-1), "b": jnp.concatenate([b_i, b_g, b_f - 1, b_o])}
    }
