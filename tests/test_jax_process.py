"""What JAX fixes for the life of a process, and what the backend refuses; each in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")

PROBE = """
import json
import numpy as np
from backends import jax as backend
from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.contract import Batch, Net, Optim, Signature, Sizes, Snapshot, Unsupported

net = Net(ARCHS["gru"], Signature("label", "xent", 5, 3), Sizes(hidden=2, embed=2))
start = Snapshot(0, params.init(net, 0))
said = {}

def build(impl="scan", precision="float64", device="cpu"):
    return backend.build(net, impl, Optim(lr=0.1), start, precision, device)

def refused(name, kind, call):
    try:
        said[name] = f"not refused: {call()}"
    except kind as error:
        said[name] = str(error)
"""
REFUSALS = """
refused("no setup", RuntimeError, build)
backend.setup("float64", "cpu", 3)
said["threads"] = backend.versions()["xla_cpu_threads"]
backend.setup("float64", "cpu", 3)
refused("other precision", RuntimeError, lambda: backend.setup("float32", "cpu", 3))
refused("other threads", RuntimeError, lambda: backend.setup("float64", "cpu", 1))
refused("other device", Unsupported, lambda: backend.setup("float64", "tpu", 3))
refused("unlike setup", RuntimeError, lambda: build(precision="float32"))
refused("no device", Unsupported, lambda: build(device="cuda"))
refused("gap", Unsupported, lambda: build("stock"))
refused("no such implementation", Unsupported, lambda: build("quantum"))

model = build()
from backends.jax import trainer
x = np.array([[0, 4], [1, 2]], np.int32)
batch = Batch(x, np.array([2, 1], np.int32), x % 3, np.ones((2, 2), bool))
refused("id", ValueError, lambda: model.put(Batch(x + 1, batch.lengths, batch.y, batch.scored)))
before = {name: p.copy() for name, p in start.params.items()}
taken = model.snapshot()
x[:] = 0  # the model must have its own copy of everything: a donated buffer is written to
traced, loss_rows = [], trainer.loss_rows
trainer.loss_rows = lambda *a: traced.append(1) or loss_rows(*a)
for lr in (0.1, 0.2, 0.3):
    model.wait(model.step(model.put(batch), lr))
    model.load(model.snapshot())
said["traced"] = len(traced)
moved = model.snapshot().params
said["aliases"] = [n for n, p in before.items() if not (p == start.params[n]).all() or not (p == taken.params[n]).all()]
said["moved"] = sorted(n for n, p in before.items() if (p != moved[n]).any()) == sorted(before)
print(json.dumps(said))
"""
TOO_LATE = """
import jax
jax.devices()
size = len(__import__("os").sched_getaffinity(0)) + 1
refused("late", RuntimeError, lambda: backend.setup("float64", "cpu", size))
print(json.dumps(said))
"""


def probe(code: str) -> dict[str, object]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", PROBE + code]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def said() -> dict[str, object]:
    return probe(REFUSALS)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no setup", "float64 was asked for, but setup chose nothing"),
        ("other precision", "needs a fresh process"),
        ("other threads", "needs a fresh process"),
        ("other device", "jax runs on 'cpu' or 'cuda' here, not on 'tpu'"),
        ("unlike setup", "float32 was asked for, but setup chose float64"),
        ("no device", "jax sees no cuda device in this process"),
        ("gap", "JAX ships no layer of this architecture"),
        ("no such implementation", "jax has no gru/quantum; it has rnn/scan"),
        ("id", "x holds ids 1..5; they must lie in 0..4"),
    ],
)
def test_it_refuses(said: dict[str, object], case: str, message: str) -> None:
    assert message in str(said[case])


def test_the_thread_pool_has_the_size_asked_for(said: dict[str, object]) -> None:
    assert said["threads"] in ("3", "3 asked for, not verified")


def test_updates_write_to_nobody_elses_memory(said: dict[str, object]) -> None:
    assert said["aliases"] == []
    assert said["moved"] is True


def test_neither_a_new_rate_nor_a_loaded_snapshot_traces_anew(said: dict[str, object]) -> None:
    assert said["traced"] == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc, which is Linux's")
def test_a_process_in_which_jax_ran_before_is_found() -> None:
    assert "JAX ran before setup" in str(probe(TOO_LATE)["late"])
