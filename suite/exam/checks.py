"""The exam of one model maker: each function compares it with the oracle and yields a `Check` a comparison.

A maker builds a Model from (net, optim, snapshot); the exam knows no framework. Every property is seen to fail by a
planted fault in ``tests/test_exam_faults.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from suite.exam import twin
from suite.exam.calls import check_calls
from suite.exam.cases import CASES, Case, hub
from suite.exam.compare import Check, gradient_floor, l2_error, rel_error, worst
from suite.exam.diagnose import diagnose
from suite.exam.diagnose_loss import diagnose_loss
from suite.spec import network, optim, params
from suite.spec.arch import Arch
from suite.spec.contract import BOS, EOS, Array, Batch, Model, Net, Optim, Params, Snapshot, Unsupported

Maker = Callable[[Net, Optim, Snapshot], Model]
CALLED = ("gru", "gru_attention", "transformer")  # a call of several updates does not ask which cell they train
FEW, MANY = 10, 100  # updates compared by their parameters, and by their losses


def examine(
    make: Maker, arch: Arch, precision: str, cases: Sequence[Case] = CASES, stock: bool = False
) -> Generator[Check, None, Model]:
    """Every check of one (architecture, implementation) in one precision; returns the model of its `hub`.

    ``stock``: a framework's own layer, which may refuse the gradient flow because it hides its inner states.
    """
    cases = [
        replace(case, dropout=0.0) if stock and case.sizes.layers > 1 else case for case in cases if case.fits(arch)
    ]  # a framework's own stack takes no masks between its layers
    models = {case.name: make(case.net(arch), case.optim, Snapshot(0, case.params(arch))) for case in cases}
    for case in cases:
        yield from check_case(models[case.name], arch, precision, case, stock)
    model = models[hub(arch).name]
    yield from check_layout(model, arch, precision)
    yield from check_properties(model, arch, precision)
    yield from check_ownership(model, arch)
    if hub(arch).signature.kind == "label":
        yield from check_streaming(model, arch, precision)
    if arch.name in CALLED:
        yield from check_calls(model, arch, precision)
    yield from check_trajectory(model, arch, precision)
    return model


def check_case(model: Model, arch: Arch, precision: str, case: Case, stock: bool) -> Iterator[Check]:
    """Outputs, states, loss, every gradient, norms, flow, decoding, and parameters after updates."""
    limits, net, p, batch = twin.limits(precision, arch, case), case.net(arch), case.params(arch), case.masked(arch)
    handle = model.put(batch)
    outputs, state = model.outputs(handle)
    want_outputs, want_state, _ = network.forward(net, p, batch)
    error = rel_error(outputs, want_outputs)
    reason = "" if error <= limits["outputs"] else diagnose(net, p, batch, outputs)
    yield Check(f"{case.name}/outputs", error, limits["outputs"], reason=reason)
    yield Check(f"{case.name}/dtype", float(str(outputs.dtype) != precision), 0.0, str(outputs.dtype))
    yield worst(f"{case.name}/final state", state, want_state, limits["outputs"])
    want = network.gradients(net, p, batch)
    loss, grads = model.grads(handle)
    floor = gradient_floor(want.params)
    error = rel_error(loss, want.loss)
    reason = "" if error <= limits["loss"] else diagnose_loss(net.signature, want_outputs, batch, loss)
    yield Check(f"{case.name}/loss", error, limits["loss"], reason=reason)
    yield worst(f"{case.name}/gradients", grads, want.params, limits["gradients"], floor)
    yield from _check_flow(model, handle, want.flow, f"{case.name}/gradient flow", limits["gradients"], stock)
    if net.signature.kind == "translate":
        yield from _check_decoding(model, net, p, case.batch(), f"{case.name}/greedy decoding")
    yield from _check_updates(model, arch, precision, case)


def _check_flow(model: Model, handle: object, want: Params, name: str, limit: float, stock: bool) -> Iterator[Check]:
    try:
        got = model.flow(handle)
    except Unsupported as reason:
        yield Check(name, float(not stock), 0.0, reason=str(reason))
        return
    yield worst(name, got, want, limit, gradient_floor(want))


def _check_decoding(model: Model, net: Net, p: Params, batch: Batch, name: str) -> Iterator[Check]:
    """Greedy decoding with eos made likely until a row ends early, with two logits always equal, and as it stands."""
    likely = p | {"head/V": 3 * p["head/V"]}
    while not np.isin(network.decode(net, likely, batch), EOS)[:, :-1].any():
        likely["head/d"] = likely["head/d"] + 0.05 * (np.arange(net.signature.outputs) == EOS)
    last = net.signature.outputs - 1
    tied = p | {"head/V": 0 * p["head/V"], "head/d": np.eye(last + 1)[last] + np.eye(last + 1)[last - 1]}
    for these in (likely, tied, p):  # the model is left with the case's own
        model.load(Snapshot(0, these))
        got, want = model.decode(model.put(batch)), network.decode(net, these, batch)
        wrong = int(np.sum(got != want)) if got.shape == want.shape else want.size
        yield Check(name, float(wrong), 0.0, reason=f"{wrong} tokens differ" if wrong else "")
    yield Check(f"{name}, dtype", float(got.dtype != np.int32), 0.0, str(got.dtype))
    y_in = np.insert(got, 0, BOS, axis=1)[:, :-1]
    forced = replace(batch, y_in=y_in, y_lengths=np.full_like(batch.lengths, y_in.shape[1]))
    best = model.outputs(model.put(forced))[0].argmax(-1)
    wrong = int(np.sum((got != best) & (np.cumsum(y_in == EOS, axis=1) == 0)))  # up to eos, with it
    yield Check(f"{name}, teacher forced", float(wrong), 0.0, reason=f"{wrong} tokens differ" if wrong else "")


def _check_updates(model: Model, arch: Arch, precision: str, case: Case) -> Iterator[Check]:
    limits, few = (twin.limits(precision, arch, case, updates, slowing=True) for updates in (1, FEW))
    start = Snapshot(0, case.params(arch))
    for want, end in twin.train(case, arch, start, FEW, slowing=True):  # a changing rate tells momenta apart
        result = model.wait(model.step(model.put(case.masked(arch, end.step)), case.optim.lr / end.step))
        if end.step == 1:
            norms = {name: np.asarray(np.linalg.norm(g.ravel())) for name, g in want.params.items()}
            got = {name: np.asarray(value) for name, value in result.param_norms.items()}
            yield Check(f"{case.name}/loss of an update", rel_error(result.loss, want.loss), limits["loss"])
            yield Check(
                f"{case.name}/gradient norm",
                rel_error(result.grad_norm, optim.global_norm(want.params)),
                limits["gradients"],
            )
            yield worst(f"{case.name}/norm per parameter", got, norms, limits["gradients"], gradient_floor(norms))
            yield worst(f"{case.name}/1 {case.optim.name} update", model.snapshot().params, end.params, limits["step"])
    name = f"{case.name}/{FEW} {case.optim.name} updates"
    yield Check(name, l2_error(model.snapshot().params, end.params), few["steps"])
    for slot, values in model.snapshot().slots.items():
        want_slot = end.slots[slot]
        yield worst(f"{name}, slot {slot}", values, want_slot, few["gradients"], gradient_floor(want_slot))


def check_layout(model: Model, arch: Arch, precision: str) -> Iterator[Check]:
    """What goes in comes out, bit for bit after the cast to the compute dtype, and a model forgets what it had."""
    case = hub(arch)
    p = case.params(arch)
    slots = {
        slot: {n: np.abs(v) * 0.1 + k for n, v in p.items()} for k, slot in enumerate(optim.SLOTS[case.optim.name])
    }
    model.load(Snapshot(3, p, slots))
    got = model.snapshot()
    cast = {name: value.astype(precision).astype(np.float64) for name, value in p.items()}
    yield worst("layout/round trip of parameters", got.params, cast, 0.0)
    for slot, values in slots.items():
        kept = {name: value.astype(precision).astype(np.float64) for name, value in values.items()}
        yield worst(f"layout/round trip of slot {slot}", got.slots[slot], kept, 0.0)
    yield Check("layout/step count", abs(got.step - 3), 0.0)
    model.load(Snapshot(0, p))


def check_properties(model: Model, arch: Arch, precision: str) -> Iterator[Check]:
    """Pads and unscored targets change nothing, rows are independent, and the future does not move the past."""
    case = hub(arch)
    limits, p, b, sig = twin.limits(precision, arch, case), case.params(arch), case.batch(), case.signature
    model.load(Snapshot(0, p))
    outputs, _ = model.outputs(model.put(b))
    loss, grads = model.grads(model.put(b))
    floor = gradient_floor(grads)

    other = replace(
        b,
        x=_where_not(b.valid, b.x, sig.inputs),
        y=_where_not(b.scored, b.y, sig.outputs),
        y_in=None if b.y_in is None else _where_not(b.y_valid, b.y_in, sig.outputs),
    )
    got, _ = model.outputs(model.put(other))
    got_loss, got_grads = model.grads(model.put(other))
    yield Check("pads/outputs", rel_error(got, outputs), limits["outputs"])
    yield Check("pads/loss", rel_error(got_loss, loss), limits["loss"])
    yield worst("pads/gradients", got_grads, grads, limits["gradients"], floor)

    order = np.roll(np.arange(case.rows), 2)
    given = {f.name: getattr(b, f.name) for f in fields(b)}
    rows: dict[str, Any] = {name: a[order] for name, a in given.items() if isinstance(a, np.ndarray)}
    shuffled = replace(b, **rows)
    got, _ = model.outputs(model.put(shuffled))
    _, got_grads = model.grads(model.put(shuffled))
    yield Check("row order/outputs", rel_error(got, outputs[order]), limits["outputs"])
    yield worst("row order/gradients", got_grads, grads, limits["gradients"], floor)

    net, full = case.net(arch), case.batch(0, full=True)
    want = network.gradients(net, p, full).params
    yield worst("full rows/gradients", model.grads(model.put(full))[1], want, limits["gradients"], gradient_floor(want))

    half = outputs.shape[1] // 2
    later = np.arange(outputs.shape[1]) < half
    if b.y_in is None:
        future = replace(b, x=_where_not(later, b.x, sig.inputs))
    else:
        future = replace(b, y_in=_where_not(later, b.y_in, sig.outputs))
    got, _ = model.outputs(model.put(future))
    yield Check("causality/outputs", rel_error(got[:, :half], outputs[:, :half]), limits["outputs"])


def _where_not(kept: Array, ids: Array, size: int) -> Array:
    """Other ids wherever ``kept`` is false."""
    return np.where(kept, ids, (ids + 1) % size).astype(np.int32)


def check_ownership(model: Model, arch: Arch) -> Iterator[Check]:
    """Snapshots are copies, on the way in and out, and updates under way do not share their reports or batches."""
    case = hub(arch)
    mine = Snapshot(0, case.params(arch))
    first, second = case.batch(0), case.batch(1)
    model.load(mine)
    before = model.snapshot()
    kept = {name: v.copy() for name, v in before.params.items()}
    alone = [model.wait(model.step(model.put(batch), case.optim.lr)).loss for batch in (first, second)]
    yield worst("ownership/what was loaded", mine.params, case.params(arch), 0.0)
    yield worst("ownership/an earlier snapshot", before.params, kept, 0.0)
    yield Check("ownership/step count", abs(model.snapshot().step - 2), 0.0)
    model.load(mine)
    handles = [model.put(first), model.put(second)]
    pending = [model.step(handle, case.optim.lr) for handle in handles]
    together = [model.wait(p).loss for p in pending]
    yield Check("pipeline/losses", rel_error(np.array(together), np.array(alone)), 0.0)
    yield Check("ran", float(not model.ran()), 0.0, reason=model.ran())


def check_streaming(model: Model, arch: Arch, precision: str) -> Iterator[Check]:
    """State carried from call to call equals one long call of the oracle; where there is none, it is refused."""
    case, limit = hub(arch), twin.limits(precision, arch, hub(arch))["outputs"]
    p, net = case.params(arch), case.net(arch)
    model.load(Snapshot(0, p))
    first, second = case.batch(0, full=True), case.batch(1, full=True)
    if not params.state_shapes(net, case.rows):
        yield Check("streaming/refused", float(_takes_a_state(model, first)), 0.0, reason="a state that is none")
        return
    both = replace(
        first,
        x=np.concatenate([first.x, second.x], axis=1),
        y=np.concatenate([first.y, second.y], axis=1),
        scored=np.concatenate([first.scored, second.scored], axis=1),
        lengths=first.lengths + second.lengths,
    )
    want, want_state, _ = network.forward(net, p, both)
    head, state = model.outputs(model.put(first))
    tail, last = model.outputs(model.put(second), state)
    yield Check("streaming/outputs", rel_error(np.concatenate([head, tail], axis=1), want), limit)
    yield worst("streaming/final state", last, want_state, limit)


def _takes_a_state(model: Model, batch: Batch) -> bool:
    try:
        model.outputs(model.put(batch), {"layer0/h": np.zeros((len(batch.x), 1))})
    except Unsupported:
        return False
    return True


def check_trajectory(model: Model, arch: Arch, precision: str) -> Iterator[Check]:
    """The losses of 100 updates against the oracle's, and the same 20 updates twice, bit for bit."""
    case = hub(arch)
    p = case.params(arch)
    want = [g.loss for g, _ in twin.train(case, arch, Snapshot(0, p), MANY)]
    model.load(Snapshot(0, p))
    got = run(model, case, 0, MANY)
    error = max(rel_error(g, w) for g, w in zip(got, want, strict=True)) if np.isfinite(got).all() else np.nan
    yield Check(
        f"trajectory/losses of {MANY} updates", float(error), twin.limits(precision, arch, case, MANY)["trajectory"]
    )
    model.load(Snapshot(0, p))
    again = run(model, case, 0, 20)
    different = sum(a != b for a, b in zip(again, got[:20], strict=True))
    reason = f"{different} losses differ" if different else ""
    yield Check("repeatable/losses of 20 updates", float(different), 0.0, reason=reason)


def run(model: Model, case: Case, first: int, count: int) -> list[float]:
    """``count`` updates on the case's batches after number ``first`` -> their losses."""
    batches = (case.batch(t) for t in range(first + 1, first + count + 1))
    return [model.wait(model.step(model.put(batch), case.optim.lr)).loss for batch in batches]
