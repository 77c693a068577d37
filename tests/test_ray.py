"""Cells in a Ray cluster of two nodes on this machine: the bits of local runs, and nothing lost with a node."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from suite import api
from suite.record import Record
from suite.spec.cell import Cell
from tests.probes import PLUGIN, ROOT, plan, tiny
from tests.processes import children_of_the_probe, words

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: recurbench[ray]"),
    pytest.mark.filterwarnings("ignore"),  # of Ray's own code and sockets
]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and one more node, each with one CPU and one place for timed cells; no file is shared by the code."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(PLUGIN))))
    monkeypatch.setenv("PROBE_GATE", str(tmp_path / "gate"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "resources": {"timing": 1}, "object_store_memory": 100 << 20}
    made = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    made.second = made.add_node(**node)
    yield made
    made.shutdown()


def run(results: Path, *cells: Cell, **options: Any) -> list[Record]:
    return api.run(plan(*cells), results, **({"tracking_uri": "none", "timeout_s": 120.0} | options))


def bits(records: list[Record]) -> list[Any]:
    return [(r.cell, r.outcome, r.digests, r.scores, r.last_loss) for r in records]


def test_the_bits_of_local_runs(cluster: Any, tmp_path: Path) -> None:
    cells = tiny(), tiny(seed=1), tiny("raise"), tiny(arch="gru", flow_at=(0, 4)), tiny(impl="stock")
    local = run(tmp_path / "local", *cells)
    remote = run(tmp_path / "remote", *cells, executor="ray")
    assert bits(remote) == bits(local)
    assert [r.outcome for r in remote] == ["ok", "ok", "crash", "ok", "unsupported"]
    for a, b in zip(local, remote, strict=True):
        names = [{p.name for p in (tmp_path / place / "probes" / a.key).iterdir()} for place in ("local", "remote")]
        assert names[0] == names[1]
        assert (a.step_s == ()) == (b.step_s == ())
    packed = run(tmp_path / "packed", *cells[:2], executor="ray", packed=True)
    assert bits(packed) == bits(local[:2])
    assert all(r.step_s == () and r.facts["packed"] for r in packed)


def test_a_node_is_killed_in_the_middle(cluster: Any, tmp_path: Path) -> None:
    cells = [tiny(seed=seed) for seed in range(5)] + [tiny("wait", seed=seed) for seed in range(2)]
    whole = run(tmp_path / "local", *cells[:5])
    done: list[Record] = []
    thread = threading.Thread(target=lambda: done.extend(run(tmp_path / "remote", *cells, executor="ray")))
    thread.start()
    end = time.monotonic() + 120
    while len(list((tmp_path / "remote").rglob("result.json"))) < 2 and time.monotonic() < end:
        time.sleep(0.2)
    cluster.remove_node(cluster.second, allow_graceful=False)
    (tmp_path / "gate").touch()
    thread.join(180)
    assert not thread.is_alive()
    assert [r.outcome for r in done] == ["ok"] * 7
    assert bits(done[:5]) == bits(whole)


def test_what_no_node_has_is_refused(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ray: none of 2 nodes has CPU 7, timing 1"):
        run(tmp_path, tiny(threads=7), executor="ray")


def test_limits_hold_there_and_nothing_is_left(cluster: Any, tmp_path: Path) -> None:
    slow, quick = run(tmp_path, tiny("child"), tiny(), executor="ray", timeout_s=8.0)
    assert (slow.outcome, quick.outcome) == ("timeout", "ok")
    assert children_of_the_probe() == []
    gate = os.environ["PROBE_GATE"]
    ours = [p for p in psutil.process_iter() if "worker" in words(p) and p.environ().get("PROBE_GATE") == gate]
    assert ours == []
