"""The masked scan: one cell over a padded batch, forward or backward in time, and its vector-Jacobian product.

At a valid step the state moves and is the output; at a pad the state is carried through and the output is 0:

    s_t = where(t < length, step(x_t, s_{t-1}), s_{t-1})       y_t = where(t < length, s_t[0], 0)

The reverse direction is the same scan with t running from T-1 to 0 under the same mask. No packing is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.spec.arch import Arch
from suite.spec.contract import Array, Params

States = tuple[Array, ...]


def scan(
    arch: Arch, p: Params, x: Array, valid: Array, state: States, reverse: bool = False
) -> tuple[Array, States, list[Any]]:
    """x (B, T, I), valid (B, T), state of (B, H) each -> y (B, T, H), final state, and tapes in order of running."""
    y = np.zeros((*x.shape[:2], state[0].shape[1]), dtype=np.result_type(x, state[0], *p.values()))
    tapes = []
    for t in _order(x.shape[1], reverse):
        new, tape = arch.step(p, x[:, t], state)
        m = valid[:, t, None]
        state = tuple(np.where(m, n, s) for n, s in zip(new, state, strict=True))
        y[:, t] = np.where(m, state[0], 0)
        tapes.append(tape)
    return y, state, tapes


def scan_vjp(
    arch: Arch, p: Params, tapes: list[Any], valid: Array, dy: Array, dstate: States, reverse: bool = False
) -> tuple[Array, States, Params, dict[str, Array]]:
    """dL/dy and dL/d(final state) -> dL/dx, dL/d(first state), dL/dp, and the gradient flow.

    The flow is ||dL/ds_t|| over the valid rows at each t, for each carried state s: name -> (T,).
    """
    steps = dy.shape[1]
    dp = {name: np.zeros_like(value) for name, value in p.items()}
    flow = {name: np.zeros(steps) for name in arch.state}
    dx: Array | None = None
    for t, tape in zip(reversed(_order(steps, reverse)), reversed(tapes), strict=True):
        m = valid[:, t, None]
        dstate = (dstate[0] + np.where(m, dy[:, t], 0), *dstate[1:])
        for name, ds in zip(arch.state, dstate, strict=True):
            flow[name][t] = np.sqrt(np.sum(np.where(m, ds, 0) ** 2))
        dx_t, dprevious, dp_t = arch.step_vjp(p, tape, tuple(np.where(m, ds, 0) for ds in dstate))
        dstate = tuple(np.where(m, 0, ds) + d for ds, d in zip(dstate, dprevious, strict=True))
        dx = np.zeros((*dy.shape[:2], dx_t.shape[1])) if dx is None else dx
        dx[:, t] = dx_t
        for name, d in dp_t.items():
            dp[name] += d
    assert dx is not None, "a batch has at least one step"
    return dx, dstate, dp, flow


def _order(steps: int, reverse: bool) -> range:
    return range(steps - 1, -1, -1) if reverse else range(steps)
