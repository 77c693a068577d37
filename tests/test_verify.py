"""`verify` tells right models from wrong ones, in words, for PyTorch, Keras and JAX."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from suite.verify import verify

RIGHT = "checks passed"
EXPECTED = {
    "pytorch": {
        "gru": RIGHT,
        "deep gru, time first": RIGHT,
        "lstm": RIGHT,
        "rnn": RIGHT,
        "none": RIGHT,
        "swapped": "gates r and z are swapped",
        "before": "reset is applied before the product",
        "carry": "h_{t-1} is not carried and r multiplies the candidate's output",
        "gradient": "gradient at layer0/",
        "no bias_hh": "one bias is missing (layer0/c)",
        "half": "GRU computes in bfloat16; it must compute in float32 or float64",
        "not recurrent": "it must have those of torch.nn.GRU",
    },
    "tensorflow": {
        "gru": RIGHT,
        "gru float64": RIGHT,
        "reset before": RIGHT,
        "reset before for after": "one bias is missing",
        "both ways": RIGHT,
        "rnn": RIGHT,
        "mixed": "GRU computes in float16; it must compute in float32 or float64",
        "relu": "outputs: error",
    },
    "jax": {"lstm": RIGHT, "forget bias": "1 is added to the forget bias"},
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
        assert ok == (words == RIGHT), f"{name}: {text}"


def test_a_model_that_no_backend_reads_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got a list; it must be a torch\.nn\.Module, a keras layer"):
        verify([], "gru")
