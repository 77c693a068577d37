"""PyTorch's native loop: beside scan, its pads, taps and threads, its build, and that the exam sees a wrong derivative.

PyTorch stays in processes of its own, native_probe.py as a script, and the libraries in a cache of the tests' own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from suite import registry
from tests.native_probe import FAULTS, STEPS, WAYS

ROOT = Path(__file__).parents[1]
PROBE = Path(__file__).with_name("native_probe.py")
pytestmark = [
    pytest.mark.skipif(
        not registry.installed(registry.backend("pytorch")), reason="torch is not installed: it takes recurbench[torch]"
    ),
    pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler: it takes g++"),
]


def started(cache: Path, *arguments: str, **env: str) -> tuple[dict[str, Any], str]:
    """What the script printed, and what it said on standard error."""
    without = {name: value for name, value in os.environ.items() if name != "CXX"}
    env = without | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)} | env
    command = [sys.executable, "-W", "error", str(PROBE), *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def found(cache: Path) -> dict[str, Any]:
    said, errors = started(cache, "everything")
    assert "native: c++" in errors
    assert "once" in errors
    return said


@pytest.mark.parametrize("way", WAYS)
def test_outputs_and_gradients_are_scans(found: dict[str, Any], way: str) -> None:
    """Pads or none, taps or none, one thread or two; widths that fill vectors and that do not."""
    assert found["errors"][way].pop("y without the taps") > 1e-3
    for name, error in found["errors"][way].items():
        assert error <= 1e-13, name


@pytest.mark.parametrize("way", WAYS)
def test_rows_and_threads_change_no_bit(found: dict[str, Any], way: str) -> None:
    """Two threads beside one, and half of the rows beside all of them."""
    assert found["bits"][way] == []


@pytest.mark.parametrize("way", WAYS)
def test_pads_change_no_bit(found: dict[str, Any], way: str) -> None:
    """A batch with three steps of nothing but pads, whatever stands there, beside the batch without them."""
    assert found["pads"][way] == []


@pytest.mark.parametrize("arch", STEPS)
def test_nan_stays(found: dict[str, Any], arch: str) -> None:
    """One input that is not a number makes its row's outputs so from there on, and no other row's."""
    assert found["nan"][arch] == [True, True]


def test_a_second_way_back_is_refused(found: dict[str, Any]) -> None:
    assert "modified by an inplace operation" in found["twice"]


def test_it_says_what_compiled_it(found: dict[str, Any]) -> None:
    assert found["ran"].startswith("C++ loop over time (c++")
    assert "-O3 -march=native" in found["ran"]


def test_cuda_is_refused(found: dict[str, Any]) -> None:
    assert found["cuda"] == "native is C++ for a CPU, and the device is 'cuda': set device = 'cpu' or impl = fused"


@pytest.mark.parametrize("arch", STEPS)
def test_the_honest_loop_passes(found: dict[str, Any], arch: str) -> None:
    assert found["honest"][arch] == []


@pytest.mark.parametrize("arch", STEPS)
def test_a_planted_fault_is_found(found: dict[str, Any], arch: str) -> None:
    said = "\n".join(found["faults"][arch])
    assert FAULTS[arch][2] in said, f"expected {FAULTS[arch][2]!r} in\n{said}"


def test_a_second_process_builds_nothing(found: dict[str, Any], cache: Path) -> None:
    libraries = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    said, errors = started(cache, "ran")
    assert (said["ran"], errors) == (found["ran"], "")
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == libraries


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    said, _ = started(tmp_path, "ran", CXX="/nonexistent")
    expected = "native finds no C++ compiler '/nonexistent': install g++ or set CXX; or use impl = fused"
    assert said["ran"] == expected


def test_a_build_that_fails_says_the_compilers_reason(tmp_path: Path) -> None:
    said, errors = started(tmp_path, "broken")
    assert said["ran"].startswith("native does not build: native.cpp:1:")
    assert "error: #error planted; " in said["ran"]
    assert said["ran"].endswith("or use impl = fused")
    assert "builds" in errors
    assert list(tmp_path.rglob("*.so")) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said, _ = started(tmp_path / "file", "ran")
    assert "native cannot keep or load its library: " in said["ran"]
    assert "set XDG_CACHE_HOME, or use impl = fused" in said["ran"]
