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

OWN = {"tests.test_fused_jax": "jax", "tests.test_fused_tensorflow": "tensorflow"}  # probes that XLA takes a minute for
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
def own_process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Any]]:
    """What a module of `OWN` prints as JSON when it is run. All that this session needs are started side by side."""
    folder = tmp_path_factory.mktemp("own")
    wanted = {item.module.__name__ for item in request.session.items if isinstance(item, pytest.Function)} & OWN.keys()
    started = {}
    for name in (name for name in wanted if importlib.util.find_spec(OWN[name])):
        with (folder / f"{name}.out").open("w") as out, (folder / f"{name}.err").open("w") as err:
            command = [sys.executable, "-W", "error", "-m", name]
            started[name] = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=out, stderr=err)

    def said(name: str) -> Any:
        if name not in started:
            pytest.skip(f"{OWN[name]} is not installed")
        code = started[name].wait(timeout=300)
        assert code == 0, (folder / f"{name}.err").read_text()[-3000:]
        return json.loads((folder / f"{name}.out").read_text().splitlines()[-1])

    yield said
    for process in started.values():
        process.kill()
        process.wait()


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
