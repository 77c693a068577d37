"""One training step, one batch of outputs, and the step's matrix products alone, at the shape `small`.

    python -m pytest tests/perf/bench_kernels.py --backend jax --benchmark-json .benchmarks/jax.json

One framework a process. `extra_info` has the cell, the kernels that ran, the parameters, the seconds of the first call
and of the call's matrix products alone just before (`gemm_s`), and of steps and products the floating-point operations
and what they make a second at the median: a step's by formula, those of the products their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from suite import clock, registry
from suite.perf import probe, products
from suite.spec.cell import Cell
from suite.spec.contract import IMPLEMENTATIONS, Net, Optim, Precision, Sizes, Unsupported

ARCHS = ("rnn", "gru", "gru_before", "lstm", "lstm_peephole")
ROUNDS, WARM = 30, 5
SMALL = Cell(
    "noise",
    "gru",
    "reference",
    options=(("features", 32), ("time", 50)),
    sizes=Sizes(hidden=64),
    optim=Optim(lr=1e-4),
    batch=32,
    precision="float64",
)  # of suite/perf/shapes.toml


def cell(backend: str, arch: str, impl: str) -> Cell:
    """The cell of a backend at `small`; the oracle knows float64 alone."""
    precision: Precision = SMALL.precision if backend == "reference" else "float32"
    return replace(SMALL, arch=arch, backend=backend, impl=impl, precision=precision)


def run(benchmark: Any, chosen: Cell, what: str, flops: int | None = None) -> None:
    if (chosen.backend, chosen.impl) == ("pytorch", "scan-compiled"):
        pytest.skip("every shape takes a minute and more to compile")
    try:
        call, _, told = probe.prepare(chosen, what)
        alone, _, _ = probe.prepare(chosen, "gemm", of="step" if what == "gemm" else what)
    except Unsupported as reason:
        pytest.skip(str(reason))
    if what == "step":
        flops = told["flops"]
    benchmark.group = f"small {chosen.arch} {what}"
    benchmark.extra_info |= {
        "cell": chosen.as_json(),
        **{name: told[name] for name in ("ran", "parameters", "first_s")},
        "gemm_s": min(clock.seconds(alone)[1] for _ in range(WARM)),
    }
    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=WARM)
    if flops and benchmark.enabled:
        benchmark.extra_info |= {"flops": flops, "gflop_per_s": flops / benchmark.stats.stats.median / 1e9}


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_step(benchmark: Any, backend: str, arch: str, impl: str) -> None:
    run(benchmark, cell(backend, arch, impl), "step")


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_forward(benchmark: Any, backend: str, impl: str) -> None:
    run(benchmark, cell(backend, "gru", impl), "forward")


@pytest.mark.parametrize("arch", ARCHS)
def test_products(benchmark: Any, backend: str, arch: str) -> None:
    chosen = cell(backend, arch, "scan")
    task = registry.task(chosen.task, **dict(chosen.options))
    net, batch = Net(registry.arch(arch), task.signature, chosen.sizes), task.batch("train", 0, 0, chosen.batch)
    flops = sum(2 * m * k * n * times for m, k, n, times in products.products(net, batch))
    run(benchmark, chosen, "gemm", flops)
