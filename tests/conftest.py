"""What every test may rely on: browser tests are skipped with a reason, frameworks stay apart."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

import pytest

from tests import servers

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


@pytest.fixture
def hanging() -> Iterator[str]:
    """The address of a tracking server that is up and never answers."""
    with servers.hanging() as url:
        yield url
