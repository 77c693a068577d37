"""flax.linen's own cells in ``flax.linen.RNN``: SimpleCell (tanh or ReLU), GRUCell, OptimizedLSTMCell.

``seq_lengths`` tells RNN the padded rows; what it puts out at pads is set to zero here. GRUCell trains one bias for r
and one for z: it reads b + c, which is the same function, and both of them get that bias's gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from backends.jax.cells import State, Weights
from backends.jax.scan import Scan
from backends.peers.jax_layers import layers
from suite.spec.contract import Net

Tree = dict[str, dict[str, jax.Array]]


def rnn(net: Net, prefix: str) -> Scan:
    """nn.SimpleCell, tanh."""
    return layers(net, prefix, partial(_unroll, nn.SimpleCell, _simple), "flax.linen.RNN of SimpleCell")


def rnn_relu(net: Net, prefix: str) -> Scan:
    """nn.SimpleCell, rectified linear."""
    cell = partial(nn.SimpleCell, activation_fn=jax.nn.relu)
    return layers(net, prefix, partial(_unroll, cell, _simple), "flax.linen.RNN of SimpleCell")


def gru(net: Net, prefix: str) -> Scan:
    """nn.GRUCell, which resets after the product."""
    return layers(net, prefix, partial(_unroll, nn.GRUCell, _gru), "flax.linen.RNN of GRUCell")


def lstm(net: Net, prefix: str) -> Scan:
    """nn.OptimizedLSTMCell, of which flax says that it is often faster than LSTMCell up to H = 2048."""
    return layers(net, prefix, partial(_unroll, nn.OptimizedLSTMCell, _lstm), "flax.linen.RNN of OptimizedLSTMCell")


def _unroll(
    cell: Callable[[int], Any],
    tree: Callable[[Weights], Tree],
    p: Weights,
    x: jax.Array,
    valid: jax.Array,
    state: State,
    reverse: bool,
) -> tuple[jax.Array, State]:
    layer = nn.RNN(cell(p["U"].shape[0]), time_major=True, return_carry=True, reverse=reverse, keep_order=True)
    carry, y = layer.apply(
        {"params": {"cell": tree(p)}},
        x,
        initial_carry=state[0] if len(state) == 1 else state[::-1],  # flax carries (c, h)
        seq_lengths=valid[..., 0].sum(0),
    )
    return jnp.where(valid, y, 0), (carry,) if len(state) == 1 else carry[::-1]


def _simple(p: Weights) -> Tree:
    return {"i": {"kernel": p["W"], "bias": p["b"]}, "h": {"kernel": p["U"]}}


def _gru(p: Weights) -> Tree:
    w, u, b, c = (jnp.split(p[name], 3, axis=-1) for name in ("W", "U", "b", "c"))
    bias = b[0] + c[0], b[1] + c[1], b[2]
    read = {f"i{gate}": {"kernel": w[k], "bias": bias[k]} for k, gate in enumerate("rzn")}
    return read | {"hr": {"kernel": u[0]}, "hz": {"kernel": u[1]}, "hn": {"kernel": u[2], "bias": c[2]}}


def _lstm(p: Weights) -> Tree:
    w, u, b = (jnp.split(p[name], 4, axis=-1) for name in ("W", "U", "b"))
    read = {f"i{gate}": {"kernel": w[k]} for k, gate in enumerate("ifgo")}
    return read | {f"h{gate}": {"kernel": u[k], "bias": b[k]} for k, gate in enumerate("ifgo")}
