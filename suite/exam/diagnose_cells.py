"""The mistakes of the less common cells, for ``suite.exam.diagnose``: the oracle bent in one way at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from suite.spec.arch import Step
from suite.spec.archs import ARCHS
from suite.spec.archs.sigmoid import sigmoid
from suite.spec.contract import Array, Batch, Net, Params

Bend = tuple[str, Net, Params, Batch]
State = tuple[Array, ...]
PEEPS = ("i", "f", "o")  # the rows of P


def bends(net: Net, p: Params, batch: Batch) -> Iterator[Bend]:
    """Every known mistake: its name, and the network, parameters and batch that make the oracle commit it."""
    for text, step in STEPS.get(net.arch.equations, {}).items():
        yield text, replace(net, arch=replace(net.arch, step=step)), p, batch
    own = {name: name.rsplit("/", 1)[-1] for name in p}
    for order in permutations(range(3)):
        if order != (0, 1, 2):
            rows = ", ".join(PEEPS[k] for k in order)
            yield f"the rows of P are in the order {rows}", net, _on(p, own, "P", lambda v, o=order: v[list(o)]), batch
    yield "peepholes are missing", net, _on(p, own, "P", np.zeros_like), batch
    for gain in ("g", "k", "q"):
        yield f"a gain of layer normalisation is missing ({gain})", net, _on(p, own, gain, np.ones_like), batch


def _on(p: Params, own: dict[str, str], last: str, bend: Any) -> Params:
    return {name: bend(v) if own[name] == last else v for name, v in p.items()}


def _mgu_ungated(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """The candidate reads h and not f h."""
    (h,) = state
    a_f, a_n = np.split(x @ p["W"] + h @ p["U"] + p["b"], 2, axis=1)
    return (h + sigmoid(a_f) * (np.tanh(a_n) - h),), None


def _mgu_exchanged(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """h' = f h + (1 - f) n."""
    (h,) = state
    (new,), tape = ARCHS["mgu"].step(p, x, state)
    _, _, _, n = tape
    return (h + n - new,), tape


def _o_at_old_cell(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """o = sigmoid(... + P_o c)."""
    h, c = state
    (_, c_new), tape = ARCHS["lstm_peephole"].step(p, x, state)
    a_o = np.split(x @ p["W"] + h @ p["U"] + p["b"], 4, axis=1)[3]
    return (sigmoid(a_o + p["P"][2] * c) * np.tanh(c_new), c_new), tape


def _without_last_norm(p: Params, x: Array, state: State) -> tuple[State, Any]:
    """h' = o tanh(c' q + s)."""
    (_, c_new), tape = ARCHS["lstm_ln"].step(p, x, state)
    o = tape[8]
    return (o * np.tanh(c_new * p["q"] + p["s"]), c_new), tape


STEPS: dict[str, dict[str, Step]] = {  # what a cell is mistaken for -> the step that it is
    "rnn": {"max(0, a) for tanh(a)": ARCHS["rnn_relu"].step},
    "rnn_relu": {"tanh(a) for max(0, a)": ARCHS["rnn"].step},
    "gru_article": {"h_{t-1} is carried and read through r: this is a GRU": ARCHS["gru_before"].step},
    "mgu": {"f is not applied inside the candidate": _mgu_ungated, "f and 1 - f are exchanged": _mgu_exchanged},
    "lstm_peephole": {"o looks at the old cell": _o_at_old_cell},
    "lstm_ln": {"the cell is not normalised before the last tanh": _without_last_norm},
}
