"""equinox.nn's own cells, GRUCell and LSTMCell: ``lax.scan`` over one sequence, under ``jax.vmap`` over the rows.

That is how equinox's documents use them: a cell takes one step of one sequence, and there is no layer around it. The
pads are masked here. GRUCell trains one bias for r and one for z: it reads b + c, which is the same function, and both
of them get that bias's gradient.
"""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from backends.jax.cells import State, Weights
from backends.jax.layout import transposed
from backends.jax.scan import Scan
from backends.peers.jax_layers import layers
from suite.spec.contract import Net


def gru(net: Net, prefix: str) -> Scan:
    """eqx.nn.GRUCell, which resets after the product."""
    return _layers(net, prefix, eqx.nn.GRUCell)


def lstm(net: Net, prefix: str) -> Scan:
    """eqx.nn.LSTMCell, gates i, f, g, o."""
    return _layers(net, prefix, eqx.nn.LSTMCell)


def _layers(net: Net, prefix: str, kind: type[eqx.Module]) -> Scan:
    """W and U are trained as the cell keeps them, transposed: turning them in every update would cost 2 to 3 %."""
    own = layers(net, prefix, partial(_unroll, kind), f"lax.scan of equinox.nn.{kind.__name__} under jax.vmap")
    own.layout = transposed(own.layout)
    return own


def _unroll(
    kind: type[eqx.Module], p: Weights, x: jax.Array, valid: jax.Array, state: State, reverse: bool
) -> tuple[jax.Array, State]:
    blank = eqx.filter_eval_shape(kind, p["W"].shape[1], p["U"].shape[1], key=jax.random.key(0))
    weights = _weights(p)
    cell = eqx.tree_at(lambda cell: [getattr(cell, name) for name in weights], blank, list(weights.values()))

    def one(x: jax.Array, valid: jax.Array, state: State) -> tuple[State, jax.Array]:  # (T, I), (T, 1), (H,) each
        def masked(old: State, now: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
            x_t, m = now
            new = cell(x_t, old) if len(old) > 1 else (cell(x_t, old[0]),)
            state = tuple(jnp.where(m, n, s) for n, s in zip(new, old, strict=True))
            return state, jnp.where(m, state[0], 0)

        return lax.scan(masked, state, (x, valid), reverse=reverse)

    final, y = jax.vmap(one, in_axes=(1, 1, 0), out_axes=(0, 1))(x, valid, state)
    return y, final


def _weights(p: Weights) -> Weights:
    """The cell's own arrays by attribute; only a GRU has c."""
    weights = {"weight_ih": p["W"], "weight_hh": p["U"], "bias": p["b"]}
    if "c" not in p:
        return weights
    c_rz, c_n = jnp.split(p["c"], [2 * p["U"].shape[1]])
    return weights | {"bias": p["b"] + jnp.pad(c_rz, (0, len(c_n))), "bias_n": c_n}
