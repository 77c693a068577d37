"""Peers: the exam passes those that are installed, in both precisions, and names a fault planted in each one's mapping.

Each peer runs in processes of its own, `python -m tests.test_peers flax float64`, which print one line of JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from suite import cli, registry
from suite.exam.cases import LABEL
from suite.exam.checks import check_case
from suite.perf import reads
from suite.spec.archs import ARCHS
from suite.spec.contract import Snapshot, Unsupported

ROOT = Path(__file__).parents[1]
TIMED = [name for name in registry.PEERS if registry.backend(name).TABLE]
FAULTS = {  # peer -> the architecture in which a fault is planted, and what the exam says of it
    "flax": ("gru", "label/outputs", "gates r and z are swapped"),
    "equinox": ("gru", "label/outputs", "one bias is missing (c)"),
    "haiku": ("lstm", "label/outputs", "1 is added to the forget bias"),
    "torch_cells": ("lstm", "label/outputs", "only outputs at pads differ"),
    "keras_jit": ("gru", "label/outputs", "only outputs at pads differ"),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)


def skip_without(name: str) -> None:
    module = registry.backend(name)
    if not registry.installed(module):
        pytest.skip(f"{module.REQUIRES} is not installed")


@pytest.mark.parametrize("precision", [pytest.param("float64", marks=pytest.mark.slow), "float32"])  # the timed one
@pytest.mark.parametrize("name", TIMED)
def test_a_peer_is_the_specification_and_a_fault_in_its_mapping_is_named(name: str, precision: str) -> None:
    skip_without(name)
    done = run("-W", "error", "-m", "tests.test_peers", name, precision)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["failed"] == []
    assert (said["reads"], said["compiled"]) == (1, 0), "an update is dispatched, and read once"
    assert any(registry.backend(name).REQUIRES in package for package in said["versions"]), said
    _, *words = FAULTS[name]
    assert all(word in said["fault"] for word in words), said


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMED)
def test_everything_that_a_peer_offers_passes_the_exam(name: str, tmp_path: Path) -> None:
    skip_without(name)
    path = tmp_path / "rows.json"
    done = run("-m", "suite", "check", "--backend", name, "--case", "label", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(path.read_text(encoding="utf-8"))
    examined = {(row["arch"], row["impl"], row["precision"]) for row in rows if row["check"] == "label/gradients"}
    offered = registry.backend(name).TABLE
    assert examined == {(*cell, precision) for cell in offered for precision in ("float32", "float64")}


def test_peers_are_found_by_name_and_stand_in_no_list_of_backends() -> None:
    assert not set(registry.PEERS) & set(registry.backends())
    assert [registry.backend(name).NAME for name in registry.PEERS] == list(registry.PEERS)
    with pytest.raises(registry.UnknownName, match="'flex' is not known; did you mean 'flax'"):
        registry.backend("flex")


def test_they_are_listed_apart_with_the_reasons_for_gaps() -> None:
    listed = CliRunner().invoke(cli.main, ["list", "peers"]).output
    assert re.search(r"^flax +(installed|not installed: pip install 'recurbench\[peers\]')$", listed, re.MULTILINE)
    assert "  no gru/stock: hk.GRU resets before the recurrent product only" in listed
    assert "flax" not in CliRunner().invoke(cli.main, ["list", "backends"]).output


def test_keras_fit_says_why_it_offers_nothing() -> None:
    module = registry.backend("keras_fit")
    with pytest.raises(Unsupported, match="it cannot pass the exam; use backend = tensorflow"):
        module.build(LABEL.net(ARCHS["gru"]), "stock", LABEL.optim, Snapshot(0, {}), "float64", "cpu")


def plant(name: str) -> None:
    """The peer's fault of FAULTS."""
    stock: Any = registry.member(name, "stock")
    if name == "flax":
        own = stock._gru
        pairs = {"ir": "iz", "iz": "ir", "hr": "hz", "hz": "hr"}
        stock._gru = lambda p: own(p) | {to: own(p)[source] for to, source in pairs.items()}
    elif name == "equinox":
        own = stock._weights
        stock._weights = lambda p: own(p | {"c": 0 * p["c"]})
    elif name == "haiku":
        own = stock._lstm
        stock._lstm = lambda p: own(p | {"b": p["b"].at[6:12].add(1.0)})  # H = 6
    elif name == "keras_jit":
        run = stock.Stock.run
        stock.Stock.run = lambda layer, x, valid, *rest: run(layer, x, valid | True, *rest)
    else:
        own = stock.scan
        stock.scan = lambda step, p, x, mask, *rest: own(step, p, x, None, *rest)


def main(name: str, precision: Any) -> dict[str, Any]:
    """What a peer's process says: the checks that it fails, what an update costs, and what the planted fault fails."""
    arch, module = ARCHS[FAULTS[name][0]], registry.backend(name)
    module.setup(precision, "cpu", 1)
    start = Snapshot(0, LABEL.params(arch))

    def model() -> Any:
        return module.build(LABEL.net(arch), "stock", LABEL.optim, start, precision, "cpu")

    honest, counts = model(), registry.member(name, "counts")
    failed = [str(check) for check in check_case(honest, arch, precision, LABEL, stock=True) if not check.ok]
    handle, tensor, compiled = honest.put(LABEL.batch()), counts.tensor(), counts.compiled(honest)
    before = compiled()
    read = reads.count(tensor, lambda: honest.wait(honest.step(handle, 0.1)), 1)
    told = {"failed": failed, "reads": read, "compiled": compiled() - before, "versions": module.versions()}
    plant(name)
    return told | {"fault": next(str(c) for c in check_case(model(), arch, precision, LABEL, stock=True) if not c.ok)}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
