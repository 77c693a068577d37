"""`verify` tells right models from wrong ones, in words, in all three frameworks, and says what it left out."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from suite import registry
from suite.exam.compare import Check
from suite.exam.outside import examine
from suite.spec import params, stack
from suite.spec.arch import Arch
from suite.spec.archs import ARCHS
from suite.spec.contract import Array, Net, Params, Signature, Sizes, State, Unsupported
from suite.spec.network import zero_state
from suite.verify import Function, verify

WHOLE = "checks passed."  # and nothing was left out
RIGHT = "checks passed\nnot examined: "
FAULTS = {
    "lengths ignored": "pads are read as input: lengths are ignored",
    "first state ignored": "the given first state is ignored",
    "rows mixed": "a row's outputs change with the other rows",
    "peeks": "outputs change with the steps that come after them",
    "dtype": "outputs and states are float32 and float64, the parameters",
    "state detached": "specification: gradient through the final state at layer0/",
}
EXPECTED = {
    "pytorch": {
        "gru": WHOLE,
        "deep gru, time first": WHOLE,
        "lstm": WHOLE,
        "rnn": WHOLE,
        "peephole": f"{RIGHT}lengths (needs a parameter `lengths` of forward).",
        "gru for lstm": "GRU has weight_ih_l0 of shape (12, 3); lstm with 3 inputs and H = 4 needs (16, 3)",
        "none": f"{RIGHT}final state layer0/h (needs to be returned as (y, h) or (y, (h, c)))\n"
        "not examined: lengths (needs a parameter `lengths` of forward)\n"
        "not examined: first state (needs a parameter `hx` of forward).",
        "swapped": "gates r and z are swapped\nnot examined: gradients, states and lengths",
        "before": "reset is applied before the product",
        "carry": "h_{t-1} is not carried and r multiplies the candidate's output",
        "gradient": "gradient at layer0/W, layer0/U, layer0/b, layer0/c, x: error",
        "no bias_hh": "one bias is missing (layer0/c)\nnot examined: everything else",
        "not finite": "outputs are not finite\nnot examined: everything else",
        "half": "GRU computes in bfloat16; it must compute in float32 or float64",
        "not recurrent": "it must have those of torch.nn.GRU",
        "whole": WHOLE,
        "insists": WHOLE,
        **FAULTS,
        "reads pads": "what stands in the pads changes outputs or state",
        "keeps": "the same call twice gives different outputs\n",
        "x detached": "specification: gradient at x: error",
        "state shaped": "final state: layer0/h has shape (4, 1, 1, 4), expected (4, 4)\nnot examined: states of other",
        "squeezed": "one row: outputs has shape (6, 4), expected (1, 6, 4)",
        "breaks": "one row is too few\nverify: raised while the model was asked for: one row, one step",
    },
    "tensorflow": {
        "gru": f"{RIGHT}final state layer0/h (needs to be returned after y: return_state=True)\n"
        "not examined: where lengths end the state (a one-way layer shows it in its final state alone)\n"
        "not examined: outputs at pads (zero in the specification and something else here; only valid steps count)\n"
        "not examined: streaming (needs the whole final state).",
        "reset before": WHOLE,
        "reset before for after": "one bias is missing (layer0/c)",
        "reset after for before": "layer0/b of shape (2, 12); gru_before with 3 inputs and H = 4 needs (12,)",
        "both ways": WHOLE,
        "rnn": WHOLE,
        "mixed": "GRU computes in float16; it must compute in float32 or float64",
        "relu": "max(0, a) for tanh(a)",
        "last step alone": "outputs have shape (4, 4), expected (4, 6, 4)\nnot examined: everything else",
        "not built": "this GRU has no weights yet; say layer.build((None, None, inputs)) first",
        "stateful": "it must have stateful=False",
        "none": f"{RIGHT}outputs at pads",
        **FAULTS,
    },
    "jax": {
        "lstm": f"{RIGHT}final state layer0/h, layer0/c (needs to be returned as (y, state)",
        "forget bias": "1 is added to the forget bias",
        "whole": WHOLE,
        "state no names": "it must be a dict by names like 'layer0/h'",
        "state other names": "final state: 'h' is not one of layer0/h, layer0/c",
        **FAULTS,
        "h and c exchanged": "final state at layer0/h, layer0/c: error",
    },
}


@pytest.mark.parametrize("backend", EXPECTED)
def test_verdicts(backend: str) -> None:
    requires = {"pytorch": "torch"}.get(backend, backend)
    if importlib.util.find_spec(requires) is None:
        pytest.skip(f"{requires} is not installed")
    run = subprocess.run(
        [sys.executable, "-m", "tests.verify_subjects", backend], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    results = json.loads(run.stdout.splitlines()[-1])
    assert list(results) == list(EXPECTED[backend])
    for name, words in EXPECTED[backend].items():
        ok, text = results[name]
        assert words in text, f"{name}: {text}"
        assert ok == words.startswith("checks passed"), f"{name}: {text}"


LAYERS = [a for a in registry.archs() if registry.arch(a).family == "recurrent" and not registry.arch(a).attention]


class Oracle:
    """The specification as a model under examination."""

    missing, takes, ways, precision = (), {"lengths": False, "first state": False}, {}, "float64"

    def __init__(self, arch: Arch, sizes: Sizes) -> None:
        self.inputs, self.sizes = 3, sizes
        self.net = Net(arch, Signature("label", "xent", 3, 1, tokens=False), sizes)

    def load(self, p: Params) -> None:
        self.p = p

    def run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State, str]:
        y, final, _ = stack.run(*self._given(x, lengths, state))
        return y, final, "float64"

    def vjp(self, x: Array, lengths: Array | None, state: State | None, dy: Array, dstate: State) -> Params:
        net, p, layers, _, valid, first = self._given(x, lengths, state)
        _, _, tape = stack.run(net, p, layers, x, valid, first)
        dfinal = zero_state(net, len(x)) | dstate
        dx, dfirst, dp, _ = stack.run_vjp(net, p, layers, tape, valid, dy, dfinal)
        return dp | dfirst | {"x": dx}

    def _given(self, x: Array, lengths: Array | None, state: State | None) -> Any:
        lengths = np.full(len(x), x.shape[1]) if lengths is None else lengths
        state = zero_state(self.net, len(x)) if state is None else state
        return self.net, self.p, params.stack(self.net), x, np.arange(x.shape[1]) < lengths[:, None], state


@pytest.mark.parametrize("sizes", [Sizes(hidden=4), Sizes(hidden=3, layers=2, bidirectional=True)], ids=["one", "deep"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_recurrent_architecture_can_be_examined(name: str, sizes: Sizes) -> None:
    found = list(examine(Oracle(registry.arch(name), sizes), registry.arch(name)))
    assert found
    assert [str(f) for f in found if not (isinstance(f, Check) and f.ok)] == []


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ({"family": "transformer"}, "gru is a transformer"),
        ({"attention": "additive"}, "gru/label: its attention leads"),
    ],
)
def test_an_architecture_that_is_no_layer_is_refused(
    family: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHS, "gru", replace(ARCHS["gru"], **family))
    monkeypatch.setattr(registry, "member", lambda *_: SimpleNamespace(Examinee=lambda _, arch: Oracle(arch, Sizes())))
    with pytest.raises(Unsupported, match=words):
        verify(Function(abs, 3, 4), "gru")


def test_a_model_that_no_backend_reads_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got a list; it must be a torch\.nn\.Module, a keras layer"):
        verify([], "gru")
