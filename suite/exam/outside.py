"""The exam of anyone's recurrent layer, for `suite.verify`: each function yields a `Check` a comparison.

A layer is held against the oracle and, for rows, time and pads, against itself. What it does not offer, a final state
or lengths, is named `Unexamined` and never passed in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from suite.exam.cases import Case, make_batch
from suite.exam.compare import Check, rel_error
from suite.exam.diagnose import diagnose
from suite.exam.examinee import During, Exam, Examinee, Unexamined, known
from suite.spec import params
from suite.spec.arch import Arch
from suite.spec.contract import Batch, Optim, Signature
from suite.spec.loss import loss_rows
from suite.spec.random import Stream

ROWS, STEPS = 4, 6
PIECES = (1, 3, STEPS)  # where each call of a stream ends

Findings = Iterator[Check | Unexamined]


def examine(model: Examinee, arch: Arch) -> Findings:
    """Every check of a user's model. Only one whose outputs are right is compared with the oracle in anything else."""
    features = model.sizes.hidden * (2 if model.sizes.bidirectional else 1)
    signature = Signature("label", "xent", model.inputs, features, tokens=False)
    case = Case("verify", signature, model.sizes, Optim(), ROWS, STEPS)
    exam = Exam(model, case.net(arch), case.params(arch) | {"head/V": np.eye(features), "head/d": np.zeros(features)})
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
    if math.isinf(outputs.error):
        yield Unexamined("everything else", "the outputs have another shape")
        return
    with During("the same call twice, other rows, another future"):
        yield from _properties(exam, full)
    if not outputs.ok:
        yield Unexamined("gradients, states and lengths", "the outputs are different already")
        return
    with During("gradients"):
        yield from _gradients("gradient", exam, full)
    with During("one row, one step"):
        yield from _small(exam, full)
    with During("the final state and gradients through it"):
        yield from _final_state(exam, full)
    for what, check, batch in (("lengths", _lengths, ragged), ("first state", _first_state, full)):
        if what in model.takes:
            with During(what):
                yield from check(exam, batch)
        else:
            yield Unexamined(what, f"needs {model.ways[what]}")


def _outputs(exam: Exam, full: Batch) -> tuple[Check, Check]:
    """The outputs, with a diagnosis where they are off, and the dtype of outputs and states."""
    y, _, dtype = exam.model.run(*exam.given(full))
    limit, precision = exam.limits["outputs"], exam.model.precision
    error = rel_error(y, exam.honest(full)["outputs"])
    reason = "" if error <= limit else diagnose(exam.net, exam.p, full, y)
    words = f"outputs and states are {dtype}, the parameters {precision}"
    return Check("outputs", error, limit, reason=reason), known("dtype", float(dtype != precision), 0.0, words)


def _properties(exam: Exam, full: Batch) -> Iterator[Check]:
    """A call leaves nothing behind, rows are independent, and the future does not move the past."""
    limit, y = exam.limits["outputs"], exam.seen(full)["outputs"]
    error = rel_error(exam.seen(full)["outputs"], y)
    yield known("the same call twice", error, limit, "the same call twice gives different outputs")
    other = make_batch(exam.net.signature, ROWS, STEPS, Stream("verify/other"), full=True).x
    rows = exam.seen(replace(full, x=np.concatenate([full.x[:1], other[1:]])))["outputs"]
    yield known("rows", rel_error(rows[0], y[0]), limit, "a row's outputs change with the other rows")
    if not exam.net.sizes.bidirectional:
        half = STEPS // 2
        future = exam.seen(replace(full, x=np.concatenate([full.x[:, :half], other[:, half:]], axis=1)))["outputs"]
        error = rel_error(future[:, :half], y[:, :half])
        yield known("causality", error, limit, "outputs change with the steps that come after them")


def _gradients(what: str, exam: Exam, batch: Batch) -> Iterator[Check]:
    """Towards every parameter and x, of a loss that reads the outputs at valid steps."""
    _, dy = loss_rows(exam.net.signature, exam.honest(batch)["outputs"], batch)
    yield from exam.compare_gradients(what, batch, dy, {})


def _small(exam: Exam, full: Batch) -> Iterator[Check]:
    """One row, one step, and both: the shapes that break first."""
    for what, rows, steps in (("one row", 1, STEPS), ("one step", ROWS, 1), ("one row of one step", 1, 1)):
        batch = _cut(full, 0, steps, rows)
        yield from exam.compare(what, exam.seen(batch), exam.honest(batch))


def _final_state(exam: Exam, full: Batch) -> Findings:
    """What the model returns as its state, and the gradient that flows back through it, of a loss that reads h."""
    got, want = exam.seen(full), exam.honest(full)
    lost = [name for name in want if name not in got]
    if lost:
        yield Unexamined(f"final state {', '.join(lost)}", f"needs to be {exam.model.ways['final state']}")
    yield from exam.compare("final state", {name: s for name, s in got.items() if name != "outputs"}, want)
    tops = [d.prefix + exam.net.arch.state[0] for d in params.stack(exam.net)[-1]]
    if any(name not in got or got[name].shape != want[name].shape for name in tops):
        return
    dy = np.zeros_like(want["outputs"])
    last = replace(exam, net=replace(exam.net, signature=replace(exam.net.signature, kind="final", loss="mse")))
    batch = replace(full, y=Stream("verify/final").normal((ROWS, dy.shape[-1])), scored=np.ones(ROWS, bool))
    _, dfinal = loss_rows(last.net.signature, last.honest(batch)["outputs"], batch)
    dstate = dict(zip(tops, np.split(dfinal, len(tops), axis=1), strict=True))
    yield from last.compare_gradients("gradient through the final state", batch, dy, dstate)


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
    if set(got) == {"outputs"} and not exam.net.sizes.bidirectional:
        yield Unexamined("where lengths end the state", "a one-way layer shows it in its final state alone")
    y, _, _ = exam.model.run(*exam.given(ragged))
    if np.any(y[~ragged.valid]):
        yield Unexamined("outputs at pads", "zero in the specification and something else here; only valid steps count")


def _first_state(exam: Exam, full: Batch) -> Findings:
    """A given first state, and calls that continue one another, which equal one long call."""
    noise = Stream("verify/state")
    first = {name: noise.normal(shape) for name, shape in params.state_shapes(exam.net, ROWS).items()}
    want = exam.honest(full, first)
    words = "the given first state is ignored"
    yield from exam.compare("first state", exam.seen(full, first), want, exam.honest(full), words)
    if exam.net.sizes.bidirectional:  # a direction that runs backwards cannot be continued
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
