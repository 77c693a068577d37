"""Each framework's ``counts``, in a process of its own: an update that compiles, reads or does more is caught without
a clock.

A plant replaces `Trainer.step`, or what it is made of; the sane one must count nothing that was not there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite.perf.gates import Exact, faults

ROOT = Path(__file__).parents[1]
CODE = """
import json, sys
from dataclasses import replace
from suite.perf import gates, probe
from suite.perf.driver import Block
from suite.spec.cell import Cell
from suite.spec.contract import Sizes
import suite.cell as cells

cell = Cell("hmm_tag", "rnn", "{backend}", "scan", (("test_size", 2), ("time", 3), ("val_size", 2)),
            Sizes(hidden=4, embed=3), batch=2)
cells.setup(cell.backend, cell.precision, cell.device, cell.threads)
from backends.{backend}.trainer import Trainer
sane = Trainer.step
{plant}
SAID = ("parameters", "flops", "losses", "reads", "ran", "first_s", "operations")
call, compiled, told = probe.prepare(cell, "step", check=True)
ran = probe._timed(call, compiled, gates.CALLS)
print(json.dumps({{name: told[name] for name in SAID}}
                 | {{"compiled": ran["compiled"]}}))
"""
PLANTS = {
    "pytorch": {
        "compiled": """
import torch
from torch._dynamo import config
config.recompile_limit = 1000
again = torch.compile(lambda x, step: x + 0.0 * step, backend="eager", dynamic=False)  # a graph for each number
Trainer.step = lambda self, handle, lr: again(sane(self, handle, lr), self._step)""",
        "reads": """
def step(self, handle, lr):
    report = sane(self, handle, lr)
    assert report.sum().item() > 0
    return report
Trainer.step = step""",
    },
    "jax": {
        "compiled": """
def step(self, handle, lr):
    self._run_update.clear_cache()
    return sane(self, handle, lr)
Trainer.step = step""",
        "reads": """
import numpy as np
def step(self, handle, lr):
    report = sane(self, handle, lr)
    assert np.asarray(report).sum() > 0
    return report
Trainer.step = step""",
    },
    "tensorflow": {
        "compiled": """
from backends.tensorflow.traced import Traced
def step(self, handle, lr):
    self._run_update = Traced(self._update, compiled=False)
    return sane(self, handle, lr)
Trainer.step = step""",
        "reads": """
def step(self, handle, lr):
    report = sane(self, handle, lr)
    assert float(report[0]) > 0
    return report
Trainer.step = step""",
    },
}
MORE = """
from backends.{backend} import trainer
own = trainer.norms
trainer.norms = lambda grads: own({{name: 2 * g / 2 for name, g in grads.items()}})
"""
WORDS = {
    "compiled": "compiles ",
    "reads": "the host reads values 2 times an update, was 1",
    "operations": "an update consists of ",
}
for backend, plants in PLANTS.items():
    plants["operations"] = MORE.format(backend=backend)
CASES = [
    pytest.param(
        backend,
        name,
        marks=[pytest.mark.slow] * (backend == "tensorflow" or name == "compiled"),
    )
    for backend in PLANTS
    for name in PLANTS[backend]
]


def told(backend: str, plant: str = "") -> Exact:
    """What the probe says of a tiny cell, with a plant in its trainer."""
    if importlib.util.find_spec({"pytorch": "torch"}.get(backend, backend)) is None:
        pytest.skip(f"{backend} is not installed")
    code = CODE.format(backend=backend, plant=plant)
    env = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    data = json.loads(done.stdout.splitlines()[-1])
    return Exact(**data | {"losses": tuple(data["losses"])})


@pytest.fixture(scope="module")
def sane() -> dict[str, Exact]:
    """Filled as it is asked for."""
    return {}


@pytest.mark.parametrize(("backend", "name"), CASES)
def test_a_planted_fault_is_caught_without_a_clock(backend: str, name: str, sane: dict[str, Exact]) -> None:
    was = sane.setdefault(backend, sane.get(backend) or told(backend))
    assert (was.compiled, was.reads) == (0, 1.0)
    found = dict(faults(was, told(backend, PLANTS[backend][name]), "float32"))
    assert found[name].startswith(WORDS[name]), found
    assert list(faults(was, was, "float32")) == []
