"""What a person sees: the dashboard of a synced sweep in a real browser, through the preset view of its plan."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.sinks import mlflow as sinks
from suite.sinks.mlflow import Sink
from tests.records import PLAN, cell, failed, ok, write_all
from tests.servers import Server

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver on the PATH"),
]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1600,2600"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WAIT_S = 120


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Any]:
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium, of the extra dev")
    options = selenium.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'browser'}"):
        options.add_argument(flag)
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder).start()
    yield server
    server.kill()


def shown(driver: Any, *words: str) -> str:
    """The page's text once it holds all of the words."""
    end, text = time.monotonic() + WAIT_S, ""
    while time.monotonic() < end:
        text = driver.execute_script("return document.body ? document.body.innerText : ''")
        if all(word in text for word in words):
            return text
        time.sleep(0.5)
    missing = [word for word in words if word not in text]
    pytest.fail(f"the page never showed {missing}; it shows:\n{text[:3000]}")


def test_runs_and_preset_charts_are_shown(server: Server, driver: Any, tmp_path: Path) -> None:
    cells = [cell(arch, backend, seed) for arch in ("gru", "lstm") for backend in ("pytorch", "jax") for seed in (0, 1)]
    refused = failed(cell("gru", "jax", impl="stock"), "unsupported", "JAX ships no recurrent layer")
    results = write_all(tmp_path / "results", [*map(ok, cells), refused], flow=False)
    assert sinks.sync(results, server.url) == 9
    sink = Sink(server.url, results, PLAN)

    driver.get(f"{server.url}/#/experiments/{sink.experiment}/runs?workflowType=machine_learning")
    shown(driver, "recurbench-v1", PLAN)

    driver.get("about:blank")  # the address differs after the # only, which would load nothing
    driver.get(sink.url())
    sections = ("Scores", "Learning", "Speed", "Gradients")
    charts = ("final/accuracy", "eval/accuracy", "train/loss", "final/ms_per_step", "grad/global_norm")
    text = shown(driver, f"recurbench: {PLAN}", *sections, *charts, "gru pytorch scan, hmm_tag")
    assert "Error loading shared view" not in text
    assert text.index("Scores") < text.index("Learning") < text.index("Speed") < text.index("Gradients")
    assert "lstm jax scan, hmm_tag" in text  # a group of seeds is one curve
    drawn = driver.execute_script("return document.querySelectorAll('.js-plotly-plot').length")
    assert drawn >= len(charts)

    driver.get("about:blank")  # and where there is no such view, the dashboard says so
    driver.get(sink.url().replace("viewStateShareKey=recurbench-", "viewStateShareKey=absent-"))
    shown(driver, f'share key "absent-{PLAN}" does not exist')
