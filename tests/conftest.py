"""What every test may rely on: browser tests are skipped with a reason, frameworks stay apart."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.sinks import mlflow as sinks
from tests import servers
from tests.records import PLAN
from tests.stores import MACHINE

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

APART = ("torch", "tensorflow")  # in one process their OpenMP and protobuf runtimes can crash each other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        skip = pytest.mark.skip(
            reason=f"{' and '.join(missing)} not installed: apt-get install chromium chromium-driver"
        )
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(skip)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    together = [name for name in APART if name in sys.modules]
    assert len(together) < 2, f"{' and '.join(together)} are in one process; run one of them in a subprocess"


@pytest.fixture(scope="session")
def own_process() -> Callable[[str, str], Any]:
    """What a module prints as JSON, run in a process of its own where its framework is installed."""

    def said(module: str, framework: str) -> Any:
        if importlib.util.find_spec(framework) is None:
            pytest.skip(f"{framework} is not installed")
        command = [sys.executable, "-W", "error", "-m", module]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return said


@pytest.fixture
def hanging() -> Iterator[str]:
    """The address of a tracking server that is up and never answers."""
    with servers.hanging() as url:
        yield url


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store of MLflow's, which takes seconds to make and none to copy."""
    folder = tmp_path_factory.mktemp("template")
    sink = sinks.Sink(None, folder, PLAN)
    assert sink.online, sink.why_offline
    return folder / "mlflow.db"


@pytest.fixture
def results(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store of its own."""
    shutil.copy(template, tmp_path / "mlflow.db")
    monkeypatch.setattr(sinks.facts, "machine", lambda: {"machine_id": MACHINE})
    return tmp_path
