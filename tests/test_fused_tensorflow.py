"""TensorFlow's derivatives by hand: what the exam does not see of them, and that it finds their mistakes by name.

TensorFlow runs in a process of its own, `python -m tests.test_fused_tensorflow`, which prints one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from backends import tensorflow as backend
from suite.exam.cases import CASES, LABEL
from suite.exam.checks import check_case
from suite.exam.compare import rel_error, worst
from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.contract import Batch, Net, Sizes, Snapshot
from suite.spec.random import Stream

WAYS = {"rnn": "bwd", "rnn_relu": "fwd", "gru": "bwd", "gru_before": "fwd", "lstm": "bwd", "lstm_peephole": "fwd"}
WORDS = {  # a planted fault -> what the exam says of it
    "none": "",
    "rnn: the slope of tanh is missing": "label/gradients at layer0/",
    "rnn_relu: a slope below the kink": "label/gradients at layer0/",
    "gru: z dh' is not carried": "label/gradients at layer0/",
    "gru: r is missing in du": "label/gradients at layer0/c",
    "gru: h_t for h_{t-1} in dU": "label/gradients at layer0/U",
    "gru: c is not trained": "label/gradients at layer0/c",
    "gru_before: h for r h in dU_n": "label/gradients at layer0/U",
    "lstm: f is missing in dc": "label/gradients at layer0/",
    "lstm_peephole: c for c' in dP_o": "label/gradients at layer0/P",
    "lstm_peephole: nothing through o to c'": "label/gradients at layer0/",
    "gru: dh is lost over pads": "translate/gradients at enc/layer0/",
}


@pytest.fixture(scope="module")
def said(own_process: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    return own_process("tests.test_fused_tensorflow", "tensorflow")


@pytest.mark.parametrize("arch", WAYS)
def test_taps_states_and_pads_are_differentiated_as_in_scan(said: dict[str, Any], arch: str) -> None:
    errors = said["against scan"][arch]
    assert max(errors.values()) <= 1e-14, errors


@pytest.mark.parametrize("arch", WAYS)
def test_slabs_of_time_are_added_up(said: dict[str, Any], arch: str) -> None:
    errors = said["in slabs"][arch]
    assert max(errors.values()) <= 1e-14, errors


def test_a_forgotten_slab_is_found(said: dict[str, Any]) -> None:
    errors = said["slabs forgotten"]
    assert min(errors["U"], errors["c"]) > 1e-3, errors
    assert errors["a"] <= 1e-14, errors


def test_taps_of_zeros_are_differentiated_by_without_being_added(said: dict[str, Any]) -> None:
    errors = said["no taps"]
    assert max(errors.values()) <= 1e-14, errors


def test_ignored_taps_are_found(said: dict[str, Any]) -> None:
    errors = said["taps ignored"]
    assert min(errors["y"], errors["taps"]) > 1e-3, errors


def test_longer_pads_change_no_bit(said: dict[str, Any]) -> None:
    assert said["trimmed"]["outputs"] == 0
    assert said["trimmed"]["states"] == 0
    assert said["trimmed"]["gradients"] <= 1e-14  # a product over more steps adds its zeros in another order


@pytest.mark.parametrize("fault", WORDS)
def test_a_planted_fault_is_found_by_name(said: dict[str, Any], fault: str) -> None:
    failed = said["faults"][fault]
    assert WORDS[fault] in failed, failed
    assert bool(WORDS[fault]) == bool(failed), failed


def test_every_architecture_of_a_derived_step_is_offered(said: dict[str, Any]) -> None:
    derived = [name for name, arch in ARCHS.items() if arch.equations in said["cells"]]
    plain = {name for name in derived if ARCHS[name].attention != "additive"}
    assert plain == {arch for arch, impl in backend.TABLE if impl == "fused"}
    assert said["ran"] == ["tf.custom_gradient around a tf.while_loop in a tf.function compiled by XLA"]


def against_scan(
    name: str, reverse: bool, loop: Callable[..., Any], steps: int = 5, taps: float = 1.0
) -> dict[str, float]:
    """Error of everything that a loop puts out, and of every gradient, with random cotangents and taps of this size."""
    import tensorflow as tf

    from backends.tensorflow.cells import CELLS, before_loop
    from backends.tensorflow.scan import scan

    rows, hidden, arch, step = 3, 4, ARCHS[name], CELLS[name]
    stream = Stream(f"fused/{name}")

    def random(*shape: int) -> tf.Tensor:
        return tf.constant(stream.normal(shape))

    p = {key: random(*shape) for key, shape in arch.shapes(2, hidden).items() if key not in "Wb"}
    a, dy = random(steps, rows, hidden * len(arch.gates)), random(steps, rows, hidden)
    state, dfinal = ([random(rows, hidden) for _ in arch.state] for _ in range(2))
    eps = [taps * random(steps, rows, hidden) for _ in arch.state]
    valid = tf.constant(np.arange(steps)[:, None, None] < np.array([steps, 1, 3])[:, None])

    @tf.function(autograph=False)
    def run(loop: Callable[..., Any]) -> dict[str, Any]:
        given = p | {"a": a, "taps": eps, "state": state}
        with tf.GradientTape() as tape:
            tape.watch(given)
            own = dict(before_loop(step, p))
            if loop is not scan:  # makes a = x W + b itself
                own |= {"W": tf.eye(a.shape[2], dtype=a.dtype), "b": tf.zeros(a.shape[2], a.dtype)}
            y, final = loop(step, own, a, valid, tuple(state), reverse, tuple(eps))
            value = tf.reduce_sum(y * dy) + sum(tf.reduce_sum(f * d) for f, d in zip(final, dfinal, strict=True))
        return {"y": y, "final": final} | tape.gradient(value, given)

    got, want = run(loop), run(scan)
    return {key: rel_error(np.stack(got[key]), np.stack(want[key])) for key in want}


def trimmed() -> dict[str, float]:
    """The largest error of a batch with two more steps of pads, measured by the batch without."""
    net = Net(ARCHS["gru"], LABEL.signature, Sizes(hidden=6, embed=5, bidirectional=True))
    model = backend.build(net, "fused", LABEL.optim, Snapshot(0, params.init(net, 0)), "float64", "cpu")
    long = replace(LABEL.batch(), lengths=np.array([5, 1, 3, 5, 2], np.int32))
    long = replace(long, scored=long.scored & long.valid)
    short = Batch(long.x[:, :5], long.lengths, long.y[:, :5], long.scored[:, :5])
    (y, state), (want, last) = (model.outputs(model.put(batch)) for batch in (long, short))
    (_, grads), (_, wanted) = (model.grads(model.put(batch)) for batch in (long, short))
    pairs = {"outputs": ({"": y[:, :5]}, {"": want}), "states": (state, last), "gradients": (grads, wanted)}
    return {what: worst(what, got, short, 0.0).error for what, (got, short) in pairs.items()}


def exam(name: str, case: str) -> str:
    """What the exam says of a case's gradients, "" if they pass; without XLA, which would compile for seconds."""
    from backends.tensorflow.fused import loop
    from backends.tensorflow.scan import Scan
    from backends.tensorflow.trainer import Trainer

    def make(net: Net, prefix: str, dtype: Any, device: str) -> Scan:
        return Scan(net, prefix, dtype, loop=loop, share=lambda step, p, x: x)

    (at,) = (one for one in CASES if one.name == case)
    arch = ARCHS[name]
    model = Trainer(at.net(arch), make, at.optim, Snapshot(0, at.params(arch)), "float64", "cpu")
    found = check_case(model, arch, "float64", at, stock=False)
    check = next(check for check in found if not check.ok or check.check == f"{case}/gradients")
    return "" if check.ok else str(check)


def faults() -> dict[str, str]:
    """Each fault of WORDS -> what the exam says of it."""
    import tensorflow as tf

    from backends.tensorflow import cells, fused, fused_cells

    def put(saved: Any, place: int, value: Any) -> Any:
        return (*saved[:place], value, *saved[place + 1 :])

    def not_carried(own: Any, p: Any, s: Any, d: Any) -> Any:
        (dh,), back = own(p, s, d)
        return (dh - d[0] * s[2],), back

    def without_f(own: Any, p: Any, s: Any, d: Any) -> Any:
        (dh, dc), back = own(p, s, d)
        return (dh, dc / s[3]), back

    def old_cell(own: Any, s: Any, back: Any) -> Any:
        return own(s, back) | {"P_o": tf.reduce_sum(tf.split(back[0], 4, 2)[3] * s[1], (0, 1))}

    one_cell = {
        "none": ("weights", lambda own, s, back: own(s, back)),
        "rnn: the slope of tanh is missing": ("backward", lambda own, p, s, d: own(p, put(s, 1, 0 * s[1]), d)),
        "rnn_relu: a slope below the kink": ("backward", lambda own, p, s, d: own(p, put(s, 1, 1 + 0 * s[1]), d)),
        "gru: z dh' is not carried": ("backward", not_carried),
        "gru: r is missing in du": ("weights", lambda own, s, back: own(s, (back[0], back[0]))),
        "gru: h_t for h_{t-1} in dU": ("weights", lambda own, s, b: own(put(s, 0, tf.roll(s[0], -1, 0)), b)),
        "gru: c is not trained": ("weights", lambda own, s, back: own(s, back) | {"c": 0 * own(s, back)["c"]}),
        "gru_before: h for r h in dU_n": ("weights", lambda own, s, back: own(put(s, 1, 1 + 0 * s[1]), back)),
        "lstm: f is missing in dc": ("backward", without_f),
        "lstm_peephole: c for c' in dP_o": ("weights", old_cell),
        "lstm_peephole: nothing through o to c'": (
            "backward",
            lambda own, p, s, d: own(p | {"P_o": 0 * p["P_o"]}, s, d),
        ),
    }
    said = {}
    for name, (function, fault) in one_cell.items():
        arch = "gru" if name == "none" else name.split(":")[0]
        step, honest = cells.CELLS[arch], fused_cells.CELLS[cells.CELLS[arch]]
        fused_cells.CELLS[step] = replace(honest, **{function: partial(fault, getattr(honest, function))})
        said[name] = exam(arch, "label")
        fused_cells.CELLS[step] = honest

    honest_loop = fused.over_time

    def lost(body: Any, state: Any, read: Any, reverse: bool) -> Any:
        def back(dstate: Any, m: Any, *now: Any) -> Any:
            dstate, out = body(dstate, m, *now)
            return tuple(tf.where(m, d, 0 * d) for d in dstate), out

        return honest_loop(back if len(read) > 2 else body, state, read, reverse)  # forward reads valid and a alone

    fused.over_time = lost
    said["gru: dh is lost over pads"] = exam("gru", "translate")
    fused.over_time = honest_loop
    return said


def main() -> dict[str, Any]:
    """What TensorFlow has to say to the tests above."""
    backend.setup("float64", "cpu", 1)
    from backends.tensorflow import fused, slabs
    from backends.tensorflow.cells import CELLS
    from backends.tensorflow.fused import loop, make
    from backends.tensorflow.fused_cells import CELLS as DERIVED

    def ignoring(step: Any, p: Any, a: Any, valid: Any, state: Any, reverse: bool, taps: Any) -> Any:
        return loop(step, p, a, valid, state, reverse, tuple(0 * tap for tap in taps))

    def forgetting(body: Any, first: Any, read: Any, reverse: bool, numbers: int) -> Any:
        def one(carried: Any, *now: Any) -> Any:
            back = isinstance(carried[-1], dict)
            return body((carried[0], {k: 0 * d for k, d in carried[1].items()}) if back else carried, *now)

        return honest(one, first, read, reverse, numbers)

    whole = {name: against_scan(name, way == "bwd", loop) for name, way in WAYS.items()}
    large, slabs.SLAB = slabs.SLAB, 4 * 3 * 4  # four steps of the three rows and four units of `against_scan`
    in_slabs = {name: against_scan(name, way == "bwd", loop, steps=12) for name, way in WAYS.items()}
    honest, fused.in_slabs = fused.in_slabs, forgetting
    forgotten = against_scan("gru", False, loop, steps=12)
    fused.in_slabs, slabs.SLAB = honest, large
    return {
        "against scan": whole,
        "in slabs": in_slabs,
        "slabs forgotten": forgotten,
        "no taps": against_scan("lstm", True, loop, taps=0.0),
        "taps ignored": against_scan("gru", False, ignoring),
        "trimmed": trimmed(),
        "faults": faults(),
        "cells": [name for name, step in CELLS.items() if step in DERIVED],
        "ran": sorted(make(LABEL.net(ARCHS["gru"]), "", "float64", "cpu").ran()),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
