"""Benchmarks: one framework a process, one thread, the machine without its name, and their file in MLflow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from suite import facts, registry

FILE = pytest.StashKey[Path]()  # what pytest-benchmark has written in this session


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend", choices=registry.BACKENDS, default="reference", help="Whose kernels and start are timed."
    )
    parser.addoption(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or store that --benchmark-json's file is sent to; default <results>/mlflow.db; "
        "'none' switches it off.",
    )
    parser.addoption("--results", type=Path, default=Path("results"), help="Where MLflow's store is.")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot be sent before minutes are spent on it, and what could not be written at their end."""
    path: Path | None = config.getoption("benchmark_json")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        config.addinivalue_line("filterwarnings", "default:Not saving anything")  # every benchmark was skipped
    elif config.getoption("tracking_uri", None) not in (None, "none"):
        raise pytest.UsageError("--tracking-uri sends a file and there will be none; add --benchmark-json FILE")


def pytest_sessionstart() -> None:
    """NumPy's products keep to one thread, as every cell's process does."""
    threadpool_limits(1)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The one backend of this process, or a skip with the reason."""
    name: str = request.config.getoption("--backend")
    if not registry.installed(registry.backend(name)):
        pytest.skip(f"{name} is not installed")
    return name


def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    """What a record keeps of its surroundings. pytest-benchmark's own would name the machine."""
    return facts.facts()


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    output_json["backend"] = config.getoption("--backend")
    config.stash[FILE] = config.getoption("benchmark_json")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Send the file, which is written by now; a store that is down costs a warning, as it does in `compare`."""
    path = config.stash.get(FILE, None)
    if path is None or config.getoption("--tracking-uri") == "none":
        return
    from suite.sinks import benched  # seconds, and nobody's while nothing is sent

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The ``noload`` loader", DeprecationWarning)  # inside MLflow
        why = benched.send(path, config.getoption("--tracking-uri"), config.getoption("--results"))
    if why:
        terminalreporter.write_line(f"warning: MLflow is off ({why}); later: python -m suite.sinks.benched {path}")
