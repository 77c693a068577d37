"""The exam of one model maker: each function compares it with the oracle and yields a `Check` a comparison.

A maker builds a Model from (net, optim, snapshot); the exam knows no framework. Every property is seen to fail by a
planted fault in ``tests/test_exam_faults.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np

from suite.exam.cases import CASES, LABEL, Case
from suite.exam.compare import LIMITS, Check, gradient_floor, l2_error, rel_error, worst
from suite.exam.diagnose import diagnose
from suite.spec import network, optim
from suite.spec.arch import Arch
from suite.spec.contract import EOS, Batch, Model, Net, Optim, Params, Snapshot, Unsupported

Maker = Callable[[Net, Optim, Snapshot], Model]
FEW, MANY = 10, 100  # updates compared by their parameters, and by their losses


def examine(
    make: Maker, arch: Arch, precision: str, cases: Sequence[Case] = CASES, stock: bool = False
) -> Generator[Check, None, Model]:
    """Every check of one (architecture, implementation) in one precision; returns the model of the case LABEL.

    ``stock``: a framework's own layer, which may refuse the gradient flow because it hides its inner states.
    """
    models = {case.name: make(case.net(arch), case.optim, Snapshot(0, case.params(arch))) for case in cases}
    for case in cases:
        yield from check_case(models[case.name], arch, precision, case, stock)
    model = models[LABEL.name]
    yield from check_layout(model, arch, precision)
    yield from check_properties(model, arch, precision)
    yield from check_ownership(model, arch)
    yield from check_streaming(model, arch, precision)
    yield from check_trajectory(model, arch, precision)
    return model


def check_case(model: Model, arch: Arch, precision: str, case: Case, stock: bool) -> Iterator[Check]:
    """Outputs, states, loss, every gradient, norms, flow, decoding, and parameters after updates."""
    limits, net, p, batch = LIMITS[precision], case.net(arch), case.params(arch), case.batch()
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
    yield Check(f"{case.name}/loss", rel_error(loss, want.loss), limits["loss"])
    yield worst(f"{case.name}/gradients", grads, want.params, limits["gradients"], floor)
    yield from _check_flow(model, handle, want.flow, f"{case.name}/gradient flow", limits["gradients"], stock)
    if net.signature.kind == "translate":
        yield from _check_decoding(model, net, p, batch, f"{case.name}/greedy decoding")
    yield from _check_updates(model, net, p, precision, case)


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
    for params in (likely, tied, p):  # the model is left with the case's own
        model.load(Snapshot(0, params))
        got, want = model.decode(model.put(batch)), network.decode(net, params, batch)
        wrong = int(np.sum(got != want)) if got.shape == want.shape else want.size
        yield Check(name, float(wrong), 0.0, reason=f"{wrong} tokens differ" if wrong else "")
    yield Check(f"{name}, dtype", float(got.dtype != np.int32), 0.0, str(got.dtype))


def _check_updates(model: Model, net: Net, p: Params, precision: str, case: Case) -> Iterator[Check]:
    limits = LIMITS[precision]
    slots = optim.init_slots(case.optim, p)
    for t in range(1, FEW + 1):
        batch = case.batch(t)
        want = network.gradients(net, p, batch)
        lr = case.optim.lr / t  # a changing rate tells momentum conventions apart
        result = model.wait(model.step(model.put(batch), lr))
        p, slots, norm = optim.update(case.optim, lr, t, p, want.params, slots)
        if t == 1:
            norms = {name: np.asarray(np.linalg.norm(g.ravel())) for name, g in want.params.items()}
            got = {name: np.asarray(value) for name, value in result.param_norms.items()}
            yield Check(f"{case.name}/loss of an update", rel_error(result.loss, want.loss), limits["loss"])
            yield Check(f"{case.name}/gradient norm", rel_error(result.grad_norm, norm), limits["gradients"])
            yield worst(f"{case.name}/norm per parameter", got, norms, limits["gradients"], gradient_floor(norms))
            yield worst(f"{case.name}/1 {case.optim.name} update", model.snapshot().params, p, limits["step"])
    name = f"{case.name}/{FEW} {case.optim.name} updates"
    yield Check(name, l2_error(model.snapshot().params, p), limits["steps"])
    for slot, values in model.snapshot().slots.items():
        yield worst(f"{name}, slot {slot}", values, slots[slot], limits["gradients"], gradient_floor(slots[slot]))


def check_layout(model: Model, arch: Arch, precision: str) -> Iterator[Check]:
    """What goes in comes out, bit for bit after the cast to the compute dtype, and a model forgets what it had."""
    p = LABEL.params(arch)
    slots = {slot: {n: np.abs(v) * 0.1 + k for n, v in p.items()} for k, slot in enumerate(optim.SLOTS["adam"])}
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
    limits, p, b = LIMITS[precision], LABEL.params(arch), LABEL.batch()
    model.load(Snapshot(0, p))
    outputs, _ = model.outputs(model.put(b))
    loss, grads = model.grads(model.put(b))
    floor = gradient_floor(grads)

    other = replace(
        b,
        x=np.where(b.valid, b.x, (b.x + 1) % LABEL.signature.inputs).astype(np.int32),
        y=np.where(b.scored, b.y, (b.y + 1) % LABEL.signature.outputs).astype(np.int32),
    )
    got, _ = model.outputs(model.put(other))
    got_loss, got_grads = model.grads(model.put(other))
    yield Check("pads/outputs", rel_error(got, outputs), limits["outputs"])
    yield Check("pads/loss", rel_error(got_loss, loss), limits["loss"])
    yield worst("pads/gradients", got_grads, grads, limits["gradients"], floor)

    order = np.roll(np.arange(LABEL.rows), 2)
    shuffled = replace(b, x=b.x[order], lengths=b.lengths[order], y=b.y[order], scored=b.scored[order])
    got, _ = model.outputs(model.put(shuffled))
    _, got_grads = model.grads(model.put(shuffled))
    yield Check("row order/outputs", rel_error(got, outputs[order]), limits["outputs"])
    yield worst("row order/gradients", got_grads, grads, limits["gradients"], floor)

    net, full = LABEL.net(arch), LABEL.batch(0, full=True)
    want = network.gradients(net, p, full).params
    yield worst("full rows/gradients", model.grads(model.put(full))[1], want, limits["gradients"], gradient_floor(want))

    half = LABEL.steps // 2
    future = b.x.copy()
    future[:, half:] = (future[:, half:] + 1) % LABEL.signature.inputs
    got, _ = model.outputs(model.put(replace(b, x=future)))
    yield Check("causality/outputs", rel_error(got[:, :half], outputs[:, :half]), limits["outputs"])


def check_ownership(model: Model, arch: Arch) -> Iterator[Check]:
    """Snapshots are copies, on the way in and out, and updates under way do not share their reports or batches."""
    mine = Snapshot(0, LABEL.params(arch))
    first, second = LABEL.batch(0), LABEL.batch(1)
    model.load(mine)
    before = model.snapshot()
    kept = {name: v.copy() for name, v in before.params.items()}
    alone = [model.wait(model.step(model.put(batch), LABEL.optim.lr)).loss for batch in (first, second)]
    yield worst("ownership/what was loaded", mine.params, LABEL.params(arch), 0.0)
    yield worst("ownership/an earlier snapshot", before.params, kept, 0.0)
    yield Check("ownership/step count", abs(model.snapshot().step - 2), 0.0)
    model.load(mine)
    handles = [model.put(first), model.put(second)]
    pending = [model.step(handle, LABEL.optim.lr) for handle in handles]
    together = [model.wait(p).loss for p in pending]
    yield Check("pipeline/losses", rel_error(np.array(together), np.array(alone)), 0.0)
    yield Check("ran", float(not model.ran()), 0.0, reason=model.ran())


def check_streaming(model: Model, arch: Arch, precision: str) -> Iterator[Check]:
    """State carried from call to call equals one long call of the oracle."""
    limit, p, net = LIMITS[precision]["outputs"], LABEL.params(arch), LABEL.net(arch)
    model.load(Snapshot(0, p))
    first, second = LABEL.batch(0, full=True), LABEL.batch(1, full=True)
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


def check_trajectory(model: Model, arch: Arch, precision: str) -> Iterator[Check]:
    """The losses of 100 updates against the oracle's, and the same 20 updates twice, bit for bit."""
    net, p = LABEL.net(arch), LABEL.params(arch)
    want, _ = trajectory(net, Snapshot(0, p), MANY)
    model.load(Snapshot(0, p))
    got = run(model, 0, MANY)
    error = max(rel_error(g, w) for g, w in zip(got, want, strict=True)) if np.isfinite(got).all() else np.nan
    yield Check(f"trajectory/losses of {MANY} updates", float(error), LIMITS[precision]["trajectory"])
    model.load(Snapshot(0, p))
    again = run(model, 0, 20)
    different = sum(a != b for a, b in zip(again, got[:20], strict=True))
    reason = f"{different} losses differ" if different else ""
    yield Check("repeatable/losses of 20 updates", float(different), 0.0, reason=reason)


def run(model: Model, first: int, count: int) -> list[float]:
    """``count`` updates on LABEL's batches from number ``first`` -> their losses."""
    return [model.wait(model.step(model.put(LABEL.batch(t)), LABEL.optim.lr)).loss for t in range(first, first + count)]


def trajectory(net: Net, start: Snapshot, count: int) -> tuple[list[float], Snapshot]:
    """The oracle's losses over ``count`` updates from a snapshot, and where it arrives."""
    p, slots = start.params, start.slots or optim.init_slots(LABEL.optim, start.params)
    losses = []
    for t in range(start.step, start.step + count):
        g = network.gradients(net, p, LABEL.batch(t))
        p, slots, _ = optim.update(LABEL.optim, LABEL.optim.lr, t + 1, p, g.params, slots)
        losses.append(g.loss)
    return losses, Snapshot(start.step + count, p, slots)
