"""A stack of recurrent layers of one or two directions over a padded batch, and its vector-Jacobian product.

    y = [scan_fwd(x); scan_bwd(x)]                                 (B, T, F)
    residual: y + where(valid, x R, 0), R the identity where x is as wide as y
    dropout:  the scans read x * M, the residual link x itself

Source of the residual form: Wu et al. 2016 (arXiv 1609.08144, eq. 6), here from the first layer on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.contract import Array, Net, Params, State
from suite.spec.dropout import NONE, Masks, drop, site
from suite.spec.params import Stack, link, of
from suite.spec.scan import scan, scan_vjp


def run(
    net: Net, p: Params, layers: Stack, x: Array, valid: Array, state: State, masks: Masks = NONE
) -> tuple[Array, State, Any]:
    """x (B, T, I) -> top outputs (B, T, F), the final states, and the tape."""
    final: State = {}
    tapes: dict[str, Any] = {}
    for layer in layers:
        ys, read = [], drop(masks, site(layer), x)
        for d in layer:
            first = tuple(state[d.prefix + s] for s in net.arch.state)
            y, last, tapes[d.prefix] = scan(net.arch, of(p, d.prefix), read, valid, first, d.reverse)
            final |= {d.prefix + s: value for s, value in zip(net.arch.state, last, strict=True)}
            ys.append(y)
        y = np.concatenate(ys, axis=-1)
        if net.arch.residual:
            tapes[link(layer)] = kept = np.where(valid[..., None], x, 0)
            y = y + (kept @ p[link(layer)] if link(layer) in p else kept)
        x = y
    return x, final, tapes


def run_vjp(
    net: Net, p: Params, layers: Stack, tapes: Any, valid: Array, dy: Array, dfinal: State, masks: Masks = NONE
) -> tuple[Array, State, Params, dict[str, Array]]:
    """dL/dy and dL/d(final states) -> dL/dx, dL/d(first states), dL/dp, and the gradient flow of each direction."""
    dp: Params = {}
    dstate: State = {}
    flow: dict[str, Array] = {}
    for layer in reversed(layers):
        name = link(layer)
        dx = np.zeros(())  # takes the shape of what is added
        if net.arch.residual:
            dskip = np.where(valid[..., None], dy, 0)
            dx = dskip @ p[name].T if name in p else dskip
            if name in p:
                dp[name] = np.einsum("bti,btf->if", tapes[name], dskip)
        for d, part in zip(layer, np.split(dy, len(layer), axis=-1), strict=True):
            last = tuple(dfinal[d.prefix + s] for s in net.arch.state)
            one, first, dp_d, flow_d = scan_vjp(
                net.arch, of(p, d.prefix), tapes[d.prefix], valid, part, last, d.reverse
            )
            dx = dx + drop(masks, site(layer), one)
            dp |= {d.prefix + n: g for n, g in dp_d.items()}
            flow |= {d.prefix + n: f for n, f in flow_d.items()}
            dstate |= {d.prefix + s: g for s, g in zip(net.arch.state, first, strict=True)}
        dy = dx
    return dy, dstate, dp, flow
