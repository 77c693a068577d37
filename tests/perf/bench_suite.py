"""What the suite itself costs: making batches, the oracle's gradients, one cell of the exam, a record.

    python -m pytest tests/perf/bench_suite.py --benchmark-json .benchmarks/suite.json

No framework comes into it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suite import record, registry
from suite.exam.cases import LABEL
from suite.exam.checks import examine
from suite.spec import network
from tests import records

ROUNDS = 10
TASKS = ("adding", "copy_memory", "dates", "dyck_check", "hmm_tag", "mqar", "noise", "numwords", "reber", "sessions")


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_of_64(benchmark: Any, name: str) -> None:
    task = registry.task(name)
    steps = iter(range(10**6))
    benchmark.group = "data"
    benchmark.extra_info |= {"task": name, "steps": task.batch("train", 0, 0, 64).x.shape[1]}
    benchmark.pedantic(lambda: task.batch("train", 0, next(steps), 64), rounds=ROUNDS, warmup_rounds=2)


@pytest.mark.parametrize("arch", ["rnn", "gru", "lstm", "gru_ln"])
def test_gradients_of_the_oracle(benchmark: Any, arch: str) -> None:
    net = LABEL.net(registry.arch(arch))
    p, batch = LABEL.params(net.arch), LABEL.batch()
    benchmark.group = "oracle"
    benchmark.extra_info |= {"arch": arch, "shape": batch.x.shape, "flops": network.flops(net, batch)}
    benchmark.pedantic(lambda: network.gradients(net, p, batch), rounds=ROUNDS, warmup_rounds=2)


def test_one_network_of_the_exam(benchmark: Any) -> None:
    module, arch = registry.backend("reference"), registry.arch("gru")

    def make(net: Any, optim: Any, snapshot: Any) -> Any:
        return module.build(net, "scan", optim, snapshot, "float64", "cpu")

    benchmark.group = "exam"
    checks = benchmark.pedantic(lambda: list(examine(make, arch, "float64", [LABEL])), rounds=2)
    assert all(check.ok for check in checks), [str(check) for check in checks if not check.ok]
    benchmark.extra_info["checks"] = len(checks)


def test_a_record_written_and_read(benchmark: Any, tmp_path: Path) -> None:
    r = records.ok(records.cell())
    benchmark.group = "records"
    benchmark.pedantic(lambda: record.read(record.write(r, tmp_path)), rounds=ROUNDS, warmup_rounds=2)
