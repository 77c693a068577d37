"""Benchmarks say on what machine they ran, and keep to one framework a process."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from suite import facts, registry

NAMES = ("pytorch", "tensorflow", "jax")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=("reference", *NAMES), default="reference", help="Whose kernels are timed.")


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The one backend of this process, or a skip with the reason."""
    name: str = request.config.getoption("--backend")
    if not registry.installed(registry.backend(name)):
        pytest.skip(f"{name} is not installed")
    return name


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """What a record keeps of its surroundings, so that the two can be laid side by side."""
    machine_info["recurbench"] = facts.facts()


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """The processor seconds of other processes are not known afterwards: at least the load is."""
    output_json["argv"] = sys.argv[1:]
