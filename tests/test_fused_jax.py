"""JAX's derivatives by hand: what the exam does not see of them, and that it finds their mistakes by name.

JAX runs in a process of its own, `python -m tests.test_fused_jax`, which prints one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backends import jax as backend
from suite.exam.cases import CASES, LABEL
from suite.exam.checks import check_case
from suite.exam.compare import rel_error, worst
from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.contract import Batch, Net, Sizes, Snapshot
from suite.spec.random import Stream

PAIRS = [
    *((name, "fwd") for name in ("rnn", "rnn_relu", "gru", "gru_before", "lstm", "lstm_peephole")),
    ("lstm", "bwd"),
]
WORDS = {  # a planted fault -> what the exam says of it
    "none": "",
    "rnn: the slope of tanh is missing": "label/gradients at",
    "rnn_relu: a slope below the kink": "label/gradients at",
    "gru: z dh' is not carried": "label/gradients at",
    "gru: r is missing in du": "label/gradients at layer0/c",
    "gru: h_t for h_{t-1} in dU": "label/gradients at layer0/U",
    "gru: c is not trained": "label/gradients at layer0/c",
    "gru_before: h for r h in dU_n": "label/gradients at layer0/U",
    "lstm: f is missing in dc": "label/gradients at",
    "lstm_peephole: c for c' in dP_o": "label/gradients at layer0/P",
    "lstm_peephole: nothing through o to c'": "label/gradients at",
    "gru: dh is lost over pads": "translate/gradients at",
}


@pytest.fixture(scope="module")
def said(own_process: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    return own_process("tests.test_fused_jax", "jax")


@pytest.mark.parametrize(("arch", "way"), PAIRS)
def test_taps_states_and_pads_are_differentiated_as_the_framework_does(
    said: dict[str, Any], arch: str, way: str
) -> None:
    errors = said["against scan"][f"{arch} {way}"]
    assert max(errors.values()) <= 1e-14, errors


@pytest.mark.parametrize(("arch", "way"), PAIRS)
def test_slabs_of_time_are_added_up(said: dict[str, Any], arch: str, way: str) -> None:
    errors = said["in slabs"][f"{arch} {way}"]
    assert max(errors.values()) <= 1e-14, errors


def test_a_forgotten_slab_is_found(said: dict[str, Any]) -> None:
    errors = said["slabs forgotten"]
    assert min(errors["U"], errors["c"]) > 1e-3, errors
    assert errors["a"] <= 1e-14, errors


def test_ignored_taps_are_found(said: dict[str, Any]) -> None:
    errors = said["taps ignored"]
    assert min(errors["y"], errors["taps"]) > 1e-3, errors


def test_longer_pads_change_no_bit(said: dict[str, Any]) -> None:
    errors = said["trimmed"]
    assert errors.pop("gradients") <= 1e-15, "XLA adds up over more steps in another order, and no more than that"
    assert set(errors.values()) == {0.0}, errors


@pytest.mark.parametrize("fault", WORDS)
def test_a_planted_fault_is_found_by_name(said: dict[str, Any], fault: str) -> None:
    failed = said["faults"][fault]
    assert WORDS[fault] in failed, failed
    assert bool(WORDS[fault]) == bool(failed), failed


def test_every_architecture_of_a_derived_step_is_offered(said: dict[str, Any]) -> None:
    derived = [name for name, arch in ARCHS.items() if arch.equations in said["cells"]]
    plain = {name for name in derived if ARCHS[name].attention != "additive"}
    assert plain == {arch for arch, impl in backend.TABLE if impl == "fused"}
    assert said["ran"] == ["jax.jit of a jax.custom_vjp around lax.scan"]


def against_scan(name: str, reverse: bool, loop: Callable[..., Any], steps: int = 5) -> dict[str, float]:
    """Error of everything that a loop puts out, and of every gradient, with random taps and cotangents."""
    import jax
    import jax.numpy as jnp

    from backends.jax.cells import CELLS, before_loop
    from backends.jax.scan import scan

    rows, hidden, arch, step = 3, 4, ARCHS[name], CELLS[name]
    stream = Stream(f"fused/{name}")

    def random(*shape: int) -> jax.Array:
        return jnp.array(stream.normal(shape))

    p = {key: random(*shape) for key, shape in arch.shapes(2, hidden).items()}
    a, dy = random(steps, rows, hidden * len(arch.gates)), random(steps, rows, hidden)
    state, dfinal = (tuple(random(rows, hidden) for _ in arch.state) for _ in range(2))
    taps = tuple(random(steps, rows, hidden) for _ in arch.state)
    valid = jnp.arange(steps)[:, None, None] < jnp.array([steps, 1, 3])[:, None]

    @partial(jax.jit, static_argnums=0)
    def run(loop: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
        def both(given: dict[str, Any]) -> Any:
            own, read = before_loop(step, {key: given[key] for key in p}), given["a"]
            if loop is scan:
                read = tuple(jnp.split(read, len(arch.gates), axis=2))
            else:  # it makes a = x W + b itself
                own |= {"W": jnp.eye(read.shape[2]), "b": jnp.zeros(read.shape[2])}
            return loop(step, own, read, valid, given["state"], reverse, given["taps"])

        (y, final), vjp = jax.vjp(both, given)
        plain, _ = both(given)  # what runs where nobody asks for a derivative
        return {"y": y, "final": final, "plain": plain} | vjp((dy, dfinal))[0]

    given = p | {"a": a, "taps": taps, "state": state}
    got, want = run(loop, given), run(scan, given)
    return {key: rel_error(np.stack(got[key]), np.stack(want[key])) for key in want}


def trimmed() -> dict[str, float]:
    """How far two more steps of pads move what a network puts out, and its gradients."""
    net = Net(ARCHS["lstm"], LABEL.signature, Sizes(hidden=6, embed=5, bidirectional=True))
    model = backend.build(net, "fused", LABEL.optim, Snapshot(0, params.init(net, 0)), "float64", "cpu")
    long = replace(LABEL.batch(), lengths=np.array([5, 1, 3, 5, 2], np.int32))
    long = replace(long, scored=long.scored & long.valid)
    short = Batch(long.x[:, :5], long.lengths, long.y[:, :5], long.scored[:, :5])
    (y, state), (want, last) = (model.outputs(model.put(batch)) for batch in (long, short))
    (_, grads), (_, wanted) = (model.grads(model.put(batch)) for batch in (long, short))
    return {
        "outputs": rel_error(y[:, :5], want),
        "states": worst("", state, last, 0.0).error,
        "gradients": worst("", grads, wanted, 0.0).error,
    }


def exam(name: str, case: str) -> str:
    """What the exam says of a case's gradients, "" if they pass."""
    (at,) = (one for one in CASES if one.name == case)
    arch = ARCHS[name]
    model = backend.build(at.net(arch), "fused", at.optim, Snapshot(0, at.params(arch)), "float64", "cpu")
    found = check_case(model, arch, "float64", at, stock=False)
    check = next(check for check in found if not check.ok or check.check == f"{case}/gradients")
    return "" if check.ok else str(check)


def faults() -> dict[str, str]:
    """Each fault of WORDS -> what the exam says of it."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from backends.jax import cells, fused, fused_cells

    jax.config.update("jax_disable_most_optimizations", True)  # XLA compiles two functions for each fault

    def ones(own: Any, *given: Any) -> Any:
        return tuple(jnp.ones_like(k) for k in own(*given))

    def not_carried(own: Any, p: Any, k: Any, d: Any) -> Any:
        (dh,), more = own(p, k, d)
        return (dh - d[0] * fused_cells.cut(k[1], 1, 1)[1],), more

    def without_f(own: Any, p: Any, k: Any, d: Any) -> Any:
        (dh, dc), more = own(p, k, d)
        return (dh, dc / k[2]), more

    def without_r(own: Any, k: Any, *rest: Any) -> Any:
        d_rz, d_n = fused_cells.cut(k[0], 2, 1)
        r, _ = fused_cells.cut(k[1], 1, 1)
        return own((jnp.concatenate([d_rz, d_n / r], axis=2), k[1]), *rest)

    def state_after(own: Any, k: Any, saved: Any, old: Any, *rest: Any) -> Any:
        return own(k, saved, (jnp.roll(old[0], -1, 0),), *rest)

    def untrained(own: Any, *given: Any) -> Any:
        da, dp = own(*given)
        return da, dp | {"c": 0 * dp["c"]}

    def without_reset(own: Any, k: Any, *rest: Any) -> Any:
        return own((*k[:2], jnp.ones_like(k[2])), *rest)

    def old_cell(own: Any, k: Any, saved: Any, old: Any, *rest: Any) -> Any:
        d, dp = own(k, saved, old, *rest)
        return d, dp | {"P_o": (fused_cells.cut(d, 3, 1)[1] * old[1]).sum((0, 1))}

    one_cell = {
        "none": ("weights", lambda own, *given: own(*given)),
        "rnn: the slope of tanh is missing": ("factors", ones),
        "rnn_relu: a slope below the kink": ("factors", ones),
        "gru: z dh' is not carried": ("backward", not_carried),
        "gru: r is missing in du": ("weights", without_r),
        "gru: h_t for h_{t-1} in dU": ("weights", state_after),
        "gru: c is not trained": ("weights", untrained),
        "gru_before: h for r h in dU_n": ("weights", without_reset),
        "lstm: f is missing in dc": ("backward", without_f),
        "lstm_peephole: c for c' in dP_o": ("weights", old_cell),
        "lstm_peephole: nothing through o to c'": (
            "factors",
            lambda own, p, *rest: own(p | {"P_o": 0 * p["P_o"]}, *rest),
        ),
    }
    said = {}
    for name, (function, fault) in one_cell.items():
        arch = "gru" if name == "none" else name.split(":")[0]
        step, honest = cells.CELLS[arch], fused_cells.CELLS[cells.CELLS[arch]]
        fused_cells.CELLS[step] = replace(honest, **{function: partial(fault, getattr(honest, function))})
        said[name] = exam(arch, "label")
        fused_cells.CELLS[step] = honest

    def lost(body: Any, first: Any, read: Any, reverse: bool) -> Any:
        def back(dstate: Any, now: Any) -> Any:
            dstate, out = body(dstate, now)
            return tuple(jnp.where(now[0], d, 0) for d in dstate), out

        within_slab_back = len(read) == 3 and not isinstance(read[1], tuple) and isinstance(read[2], tuple)
        return lax.scan(back if within_slab_back else body, first, read, reverse=reverse)

    fused.lax = SimpleNamespace(scan=lost, optimization_barrier=lax.optimization_barrier)
    said["gru: dh is lost over pads"] = exam("gru", "translate")
    fused.lax = lax
    return said


def main() -> dict[str, Any]:
    """What JAX has to say to the tests above."""
    backend.setup("float64", "cpu", 1)
    from backends.jax import fused
    from backends.jax.cells import CELLS
    from backends.jax.fused import loop, make
    from backends.jax.fused_cells import CELLS as DERIVED

    def ignoring(step: Any, p: Any, a: Any, valid: Any, state: Any, reverse: bool, taps: Any) -> Any:
        return loop(step, p, a, valid, state, reverse, tuple(0 * tap for tap in taps))

    def forgetting(body: Any, first: Any, read: Any, reverse: bool, numbers: int) -> Any:
        def one(carried: Any, now: Any) -> Any:
            back = isinstance(carried[-1], dict)
            return body((carried[0], {k: 0 * d for k, d in carried[1].items()}) if back else carried, now)

        return honest(one, first, read, reverse, numbers)

    whole = {f"{name} {way}": against_scan(name, way == "bwd", loop) for name, way in PAIRS}
    large, fused.SLAB = fused.SLAB, 4 * 3 * 4  # four steps of the three rows and four units of `against_scan`
    in_slabs = {f"{name} {way}": against_scan(name, way == "bwd", loop, steps=12) for name, way in PAIRS}
    honest, fused.in_slabs = fused.in_slabs, forgetting
    forgotten = against_scan("gru", False, loop, steps=12)
    fused.in_slabs, fused.SLAB = honest, large
    return {
        "against scan": whole,
        "in slabs": in_slabs,
        "slabs forgotten": forgotten,
        "taps ignored": against_scan("gru", False, ignoring),
        "trimmed": trimmed(),
        "faults": faults(),
        "cells": [name for name, step in CELLS.items() if step in DERIVED],
        "ran": sorted(make(LABEL.net(ARCHS["gru"]), "").ran()),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
