"""The exam of anyone's recurrent layer, for `suite.verify`: each function yields a `Check` a comparison.

A layer is held against the oracle and, for rows, time and pads, against itself. What it does not offer, a final state
or lengths, is named `Unexamined` and never passed in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from suite.exam.cases import make_batch
from suite.exam.compare import Check, rel_error
from suite.exam.diagnose import AGREES, diagnose
from suite.exam.examinee import During, Exam, Examinee, Unexamined, known
from suite.spec import params
from suite.spec.arch import Arch
from suite.spec.contract import Batch, Net, Params, Signature, State
from suite.spec.random import Stream

ROWS, STEPS = 4, 6
PIECES = (1, 3, STEPS)  # where each call of a stream ends

Findings = Iterator[Check | Unexamined]


def examine(model: Examinee, arch: Arch) -> Findings:
    """Every check of a user's model. Only one whose outputs are right is compared with the oracle in anything else."""
    features = model.sizes.hidden * (2 if model.sizes.bidirectional else 1)
    signature = Signature("label", "xent", model.inputs, features, tokens=False)
    net = Net(arch, signature, model.sizes)
    exam = Exam(model, net, _numbers(net) | {"head/V": np.eye(features), "head/d": np.zeros(features)})
    full, ragged = (make_batch(signature, ROWS, STEPS, Stream("verify"), full=full) for full in (True, False))
    for name in model.missing:
        kind = "bias" if name.rsplit("/", 1)[-1] in ("b", "c") else "parameter"
        yield Check("parameters", 1.0, 0.0, name, f"one {kind} is missing ({name})")
    if model.missing:
        yield Unexamined("everything else", f"the model has not all parameters of {arch.name}")
        return
    model.load({name: v for name, v in exam.p.items() if not name.startswith("head/")})
    with During("outputs"):
        outputs, dtype = _outputs(exam, full)
    yield from (outputs, dtype)
    if not math.isfinite(outputs.error):
        yield Unexamined("everything else", "the outputs have another shape or are not finite")
        return
    with During("the same call twice, other rows, another future"):
        properties = list(_properties(exam, full))
    yield from properties
    if not all(check.ok for check in (outputs, *properties)):
        yield Unexamined("gradients, states and lengths", "the outputs are different already")
        return
    with During("gradients"):
        yield from _gradients("gradient", exam, full)
    with During("the final state"):
        final = list(_final_state(exam, full))
    yield from final
    if all(isinstance(found, Unexamined) or found.ok for found in final):
        with During("gradients through the final state"):
            yield from _state_gradients(exam, full)
    else:
        yield Unexamined("states of other batches, gradients through them", "the final state is different already")
        exam = replace(exam, states=False)
    with During("one row, one step"):
        yield from _small(exam, full)
    for what, check, batch in (("lengths", _lengths, ragged), ("first state", _first_state, full)):
        if what in model.takes:
            with During(what):
                yield from check(exam, batch)
        else:
            yield Unexamined(what, f"needs {model.ways[what]}")


def _numbers(net: Net) -> Params:
    """Random asymmetric parameters, no bias zero, at any width with products of about 1: rounding does not build up."""
    s = Stream(f"verify/{net.arch.name}")
    return {
        name: s.uniform(p.shape, -1, 1) / len(p) ** 0.5 if p.ndim == 2 else p + s.uniform(p.shape, -0.3, 0.3)
        for name, p in params.init(net, 0).items()
    }


def _outputs(exam: Exam, full: Batch) -> tuple[Check, Check]:
    """The outputs, with a diagnosis where they are off, and the dtype of outputs and states."""
    y, _, dtype = exam.model.run(*exam.given(full))
    error, precision = rel_error(y, exam.honest(full)["outputs"]), exam.model.precision
    outputs = Check("outputs", error, exam.limits["outputs"])
    if not error <= AGREES:
        outputs = replace(outputs, reason=diagnose(exam.net, exam.p, full, y))
    words = f"outputs and states are {dtype}, the parameters {precision}"
    return outputs, known("dtype", float(dtype != precision), 0.0, words)


def _properties(exam: Exam, full: Batch) -> Iterator[Check]:
    """A call leaves nothing behind, rows are independent, and the future does not move the past."""
    limit, y = exam.limits["outputs"], exam.seen(full)["outputs"]
    again = rel_error(exam.seen(full)["outputs"], y)
    yield known("the same call twice", again, limit, "the same call twice gives different outputs")
    if not again <= limit:
        return
    other = make_batch(exam.net.signature, ROWS, STEPS, Stream("verify/other"), full=True).x
    rows = exam.seen(replace(full, x=np.concatenate([full.x[:1], other[1:]])))["outputs"]
    yield known("rows", rel_error(rows[0], y[0]), limit, "a row's outputs change with the other rows")
    if not exam.net.sizes.bidirectional:
        half = STEPS // 2
        future = exam.seen(replace(full, x=np.concatenate([full.x[:, :half], other[:, half:]], axis=1)))["outputs"]
        error = rel_error(future[:, :half], y[:, :half])
        yield known("causality", error, limit, "outputs change with the steps that come after them")


def _gradients(what: str, exam: Exam, batch: Batch, state: State | None = None) -> Iterator[Check]:
    """Of a loss that reads the outputs at valid steps."""
    dy = Stream("verify/dy").normal((ROWS, STEPS, exam.net.signature.outputs))
    yield from exam.compare_gradients(what, batch, np.where(batch.valid[..., None], dy, 0), {}, state)


def _small(exam: Exam, full: Batch) -> Iterator[Check]:
    """One row, one step, and both: the shapes that break first."""
    for what, rows, steps in (("one row", 1, STEPS), ("one step", ROWS, 1), ("one row of one step", 1, 1)):
        batch = _cut(full, 0, steps, rows)
        yield from exam.compare(what, exam.seen(batch), exam.honest(batch))


def _final_state(exam: Exam, full: Batch) -> Findings:
    """What the model returns as its state."""
    got, want = exam.seen(full), exam.honest(full)
    lost = [name for name in want if name not in got]
    if lost:
        yield Unexamined(f"final state {', '.join(lost)}", f"needs to be {exam.model.ways['final state']}")
    yield from exam.compare("final state", {name: s for name, s in got.items() if name != "outputs"}, want)


def _state_gradients(exam: Exam, full: Batch) -> Iterator[Check]:
    """Of a loss that reads the final states alone, all that are returned."""
    noise, y = Stream("verify/dstate"), np.zeros((ROWS, STEPS, exam.net.signature.outputs))
    dstate = {name: noise.normal(s.shape) for name, s in exam.seen(full).items() if name != "outputs"}
    if dstate:
        yield from exam.compare_gradients("gradient through the final state", full, y, dstate)


def _lengths(exam: Exam, ragged: Batch) -> Findings:
    """Outputs at valid steps, the state after the last of them, gradients, and pads that change nothing."""
    got, want = exam.seen(ragged), exam.honest(ragged)
    unmasked = exam.honest(replace(ragged, lengths=np.full_like(ragged.lengths, STEPS)))
    unmasked["outputs"] = np.where(ragged.valid[..., None], unmasked["outputs"], 0)
    yield from exam.compare("lengths", got, want, unmasked, "pads are read as input: lengths are ignored")
    yield from _gradients("gradient with lengths", exam, ragged)
    other = make_batch(exam.net.signature, ROWS, STEPS, Stream("verify/pads")).x
    pads = exam.seen(replace(ragged, x=np.where(ragged.valid[..., None], ragged.x, other)))
    changed = max(rel_error(pads[name], got[name]) for name in got)
    yield known("pads", changed, exam.limits["outputs"], "what stands in the pads changes outputs or state")
    if exam.states and set(got) == {"outputs"} and not exam.net.sizes.bidirectional:
        yield Unexamined("where lengths end the state", "a one-way layer shows it in its final state alone")
    y, _, _ = exam.model.run(*exam.given(ragged))
    if np.any(y[~ragged.valid]):
        yield Unexamined("outputs at pads", "zero in the specification and something else here; only valid steps count")


def _first_state(exam: Exam, full: Batch) -> Findings:
    """A given first state, and calls that continue one another, which equal one long call."""
    noise = Stream("verify/state")
    first = {name: noise.normal(shape) for name, shape in params.state_shapes(exam.net, ROWS).items()}
    want, zero = exam.honest(full, first), exam.honest(full)
    checks = list(exam.compare("first state", exam.seen(full, first), want, zero, "the given first state is ignored"))
    yield from checks
    if not all(check.ok for check in checks):
        return
    yield from _gradients("gradient with a first state", exam, full, first)
    if not exam.states or exam.net.sizes.bidirectional:  # a direction that runs backwards cannot be continued
        return
    state, pieces = first, []
    for start, stop in zip((0, *PIECES), PIECES, strict=False):
        got = exam.seen(_cut(full, start, stop), state)
        pieces.append(got.pop("outputs"))
        if set(got) != set(first):
            yield Unexamined("streaming", "needs the whole final state")
            return
        state = got
    yield from exam.compare("streaming", {"outputs": np.concatenate(pieces, axis=1)} | state, want)


def _cut(full: Batch, start: int, stop: int, rows: int = ROWS) -> Batch:
    """The first rows of a batch without pads, from step ``start`` to before ``stop``."""
    part = np.s_[:rows, start:stop]
    lengths = np.full(rows, stop - start, np.int32)
    return replace(full, x=full.x[part], y=full.y[part], scored=full.scored[part], lengths=lengths)
