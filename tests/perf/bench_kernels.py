"""One training step, one batch of outputs, and the step's matrix products alone, at the shape `small`.

    python -m pytest tests/perf/bench_kernels.py --backend jax --benchmark-json jax.json

One framework a process. Nothing is compared with an earlier run: that is the business of `python -m suite compare`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from suite.perf import probe, speed
from suite.spec.cell import Cell
from suite.spec.contract import IMPLEMENTATIONS, Unsupported

ROUNDS, WARM = 30, 5


def cell(backend: str, arch: str, impl: str) -> Cell:
    group = speed.group("small", arch, "step", [backend], [impl], threads=1)
    return replace(group.candidates[f"{backend} {impl}"], precision="float64" if backend == "reference" else "float32")


def run(benchmark: Any, chosen: Cell, what: str) -> None:
    try:
        call, told = probe.prepare(chosen, what)
    except Unsupported as reason:
        pytest.skip(str(reason))
    benchmark.group = f"small {chosen.arch} {what}"
    keys = ("ran", "flops", "parameters", "first_s")
    benchmark.extra_info |= {"cell": chosen.as_json(), **{key: told[key] for key in keys if key in told}}
    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=WARM)


@pytest.mark.parametrize("arch", speed.ARCHS)
@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_step(benchmark: Any, backend: str, arch: str, impl: str) -> None:
    if (backend, impl) == ("pytorch", "scan-compiled"):
        pytest.skip("every shape takes long to compile")
    run(benchmark, cell(backend, arch, impl), "step")


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_forward(benchmark: Any, backend: str, impl: str) -> None:
    if (backend, impl) == ("pytorch", "scan-compiled"):
        pytest.skip("every shape takes long to compile")
    run(benchmark, cell(backend, "gru", impl), "forward")


def test_products(benchmark: Any, backend: str) -> None:
    run(benchmark, cell(backend, "gru", "scan"), "gemm")
