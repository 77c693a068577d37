"""MLflow as a view of the records: one experiment, a parent run a sweep, a child run a cell. Only this file imports it.

`suite.sinks.tracker` calls `Sink` while cells run; `sync` replays finished records into a store that missed them.
A store that fails turns the sink off with one warning and costs no result. Replaying is idempotent: a cell is known by
plan, key and machine, a point by its own time.
"""

from __future__ import annotations

import http.client
import json
import logging
import sqlite3
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from suite import clock, facts, lock
from suite import record as records
from suite.record import SCHEMA, Record
from suite.sinks import rows, runs, store, views
from suite.sinks.store import ui_command
from suite.spec.cell import Cell

__all__ = ["Sink", "sync", "ui_command"]

EXPERIMENT = f"recurbench-v{SCHEMA}"
LOG = logging.getLogger(__name__)


class Sink:
    """What the runner tells MLflow. After the first failure ``online`` is False and every call does nothing."""

    def __init__(self, uri: str | None, results: Path, plan: str) -> None:
        """Open the store at ``uri`` (None: <results>/mlflow.db, made where there is none) for a plan's runs."""
        store.quiet()
        self.uri = uri or store.default_uri(results)
        self.plan = plan
        self.online = True
        self.why_offline = ""
        self.client: Any = None
        self.experiment = ""
        self.parent = ""
        self.ended: list[Record] = []
        self._runs: dict[str, str] = {}  # cell's key -> run
        self._tails: dict[str, rows.Tail] = {}
        try:
            self._open(results)
        except faults() as error:
            self.online, self.why_offline = False, f"{self.uri}: {first_line(error)}"

    def _open(self, results: Path) -> None:
        from mlflow.tracking import MlflowClient

        remote = self.uri.startswith(("http://", "https://"))
        if remote:
            urllib.request.urlopen(f"{self.uri.rstrip('/')}/health", timeout=10).close()
        else:
            results.mkdir(parents=True, exist_ok=True)
            for name in ("alembic", "mlflow.store.db.utils"):  # a new store is no news
                logging.getLogger(name).setLevel(logging.WARNING)
        with nullcontext() if remote else lock.held(results / "mlflow.lock", wait_s=60.0):  # two must not migrate it
            if self.uri.startswith("sqlite:///"):
                _file(self.uri)
            self.client = MlflowClient(tracking_uri=self.uri)
            found = self.client.get_experiment_by_name(EXPERIMENT)
        if found:
            self.experiment = found.experiment_id
        else:
            place = None if remote else store.artifacts(results)
            self.experiment = self.client.create_experiment(EXPERIMENT, artifact_location=place)
        self.client.set_experiment_tag(self.experiment, "mlflow.note.content", views.NOTE)
        self.client.set_experiment_tag(self.experiment, "mlflow.experimentKind", "custom_model_development")
        runs.close_stale(self.client, self.experiment)

    @contextmanager
    def _sending(self) -> Iterator[None]:
        """A failure turns the sink off; the records go on, and `sync` sends them later."""
        try:
            yield
        except faults() as error:
            self.online = False
            self.why_offline = f"{self.uri}: {first_line(error)}"
            LOG.warning("MLflow is off (%s); the records are complete: python -m suite sync", self.why_offline)

    def sweep(self, plan: str, description: str, cells: int) -> None:
        """The parent run."""
        if self.online:
            with self._sending():
                self.parent = self.create(plan, runs.sweep_tags(plan, description, cells), clock.wall_ms())

    def start(self, cell: Cell) -> None:
        """A child run in state RUNNING. What an earlier attempt at the cell left is removed (it can be restored)."""
        if self.online:
            with self._sending():
                machine = str(facts.machine()["machine_id"])
                for old in runs.search(self.client, self.experiment, self._own(cell)):
                    tags = old.data.tags
                    if tags.get("suite.begun_on", tags.get("suite.machine_id")) == machine:
                        self.client.delete_run(old.info.run_id)
                self.begin(cell, machine, clock.wall_ms())

    def begin(self, cell: Cell, machine: str, at_ms: int) -> None:
        """A child run with its parameters."""
        from mlflow.entities import Param

        tags = rows.cell_tags(cell, self.plan) | {"suite.machine_id": machine, "suite.runner": runs.runner()}
        tags |= {"mlflow.parentRunId": self.parent, "suite.begun_on": machine}  # it may end on another one
        run_id = self.create(cell.name, tags, at_ms)
        self.client.log_batch(run_id, params=[Param(k, v) for k, v in rows.params(cell).items()])
        self.adopt(cell, run_id)

    def adopt(self, cell: Cell, run_id: str) -> None:
        """Send what comes of this cell into this run, from its curves' beginning."""
        self._runs[cell.key], self._tails[cell.key] = run_id, rows.Tail(cell.steps)

    def create(self, name: str, tags: dict[str, str], at_ms: int) -> str:
        """A run in state RUNNING; returns its id."""
        return self.client.create_run(self.experiment, start_time=at_ms, tags=tags, run_name=name).info.run_id

    def find(self, cell: Cell, machine: str) -> list[Any]:
        """The runs of a cell of this plan on one machine, the youngest first."""
        return runs.search(self.client, self.experiment, self._own(cell) | {"suite.machine_id": machine})

    def _own(self, cell: Cell) -> dict[str, str]:
        return {"suite.cell_key": cell.key, "suite.plan": self.plan}

    def feed(self, cell: Cell, folder: Path) -> None:
        """Send what the worker has written since the last call."""
        if self.online and cell.key in self._runs:
            with self._sending():
                self._send(self._runs[cell.key], self._tails[cell.key].rows(folder, live=True))

    def _send(self, run_id: str, points: list[rows.Row]) -> None:
        from mlflow.entities import Metric

        for batch in rows.batches(points):
            self.client.log_batch(run_id, metrics=[Metric(*row) for row in batch])

    def end(self, record: Record, folder: Path) -> None:
        """The rest of the curves, the final numbers, data, artifacts and how it ended."""
        self.ended.append(record)
        if self.online and record.key in self._runs:
            with self._sending():
                self.finish(record, folder)

    def finish(self, record: Record, folder: Path) -> None:
        """What `end` sends, whose failures are raised."""
        from mlflow.entities import RunTag

        run_id = self._runs.pop(record.key)
        end_ms = rows.milliseconds(record.finished) if record.finished else clock.wall_ms()
        self._send(run_id, self._tails.pop(record.key).rows(folder))
        self._send(run_id, [(name, value, end_ms, 0) for name, value in rows.finals(record).items()])
        self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in rows.end_tags(record).items()])
        self._data(run_id, record)
        if (folder / "result.json").exists():  # under another name: what reads records must not find it twice
            self.client.log_text(run_id, (folder / "result.json").read_text(encoding="utf-8"), "record.json")
        for name in ("weights.safetensors", "flow.npz", *(["worker.log"] if record.log else [])):
            if (folder / name).exists():
                self.client.log_artifact(run_id, str(folder / name))
        if (folder / "flow.npz").exists():
            self._picture(run_id, record, folder)
        self.client.set_terminated(run_id, rows.status(record), end_ms)
        self.client.set_tag(run_id, "suite.sent", record.finished)  # last: before it, `sync` sends it all again

    def _data(self, run_id: str, record: Record) -> None:
        """The task as a dataset: its name, options and digest (36 characters of it are what the store takes)."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if digest := record.digests.get("data"):
            source = json.dumps({"tags": {k: str(v) for k, v in record.cell.options}})
            data = Dataset(name=record.cell.task, digest=digest[:36], source_type="code", source=source)
            self.client.log_inputs(run_id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", "train")])])

    def _picture(self, run_id: str, record: Record, folder: Path) -> None:
        from suite.report import figures
        from suite.report.groups import group

        with tempfile.TemporaryDirectory() as scratch:
            drawn = figures.write(group([record]), folder.parent.parent, Path(scratch), ["flow"])
            for path in drawn.get("flow", []):
                self.client.log_artifact(run_id, str(path), "figures")

    def close(self, status: str) -> None:
        """End the parent run with the table in its note, and cells that never ended; write the plan's chart view."""
        if self.online and self.parent:
            with self._sending():
                for run_id in self._runs.values():
                    self.client.set_terminated(run_id, "KILLED")
                self.table()
                self.client.set_terminated(self.parent, status)
                self.view()

    def table(self) -> None:
        """The table of what has ended, in the parent's note and as a file."""
        from suite.report.groups import group
        from suite.report.table import markdown

        if self.ended:
            text = markdown(group(self.ended))
            self.client.set_tag(self.parent, "mlflow.note.content", text[:8000])
            self.client.log_text(self.parent, text, "results.md")

    def view(self) -> None:
        """The plan's charts, of all its cells. The format is MLflow's own: a refusal is told and fails nothing."""
        from mlflow.exceptions import MlflowException

        cells = runs.search(self.client, self.experiment, {"suite.role": "cell", "suite.plan": self.plan})
        metrics = {run.data.tags["metric"] for run in cells if "metric" in run.data.tags}
        series = {run.data.tags["series"] for run in cells}
        try:
            value = views.encode(self.plan, metrics, series, clock.wall_ms())
            self.client.set_experiment_tag(self.experiment, views.PREFIX + views.key(self.plan), value)
        except (MlflowException, ValueError) as error:
            LOG.warning("MLflow: no chart view (%s)", error)

    def url(self) -> str:
        """Where the dashboard opens with the plan's charts; a local store needs ``python -m suite ui`` first."""
        remote = self.uri.startswith(("http://", "https://"))
        return views.address(self.uri if remote else store.UI, self.experiment, self.plan)


def _file(uri: str) -> None:
    """See whether a store in a file can be read; a new one is made aside, so that no half of one is ever left."""
    from sqlalchemy.engine import make_url

    path = Path(make_url(uri).database or "")
    if path.exists():
        with closing(sqlite3.connect(path)) as probe:
            probe.execute("PRAGMA schema_version")
        return
    from mlflow.tracking import MlflowClient

    part = path.with_name(f"{path.name}.part")
    for torn in path.parent.glob(f"{part.name}*"):  # with its journal
        torn.unlink()
    MlflowClient(tracking_uri=f"sqlite:///{part}").get_experiment_by_name(EXPERIMENT)
    part.replace(path)


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def faults() -> tuple[type[Exception], ...]:
    """What a store, a network or a disk may fail with; anything else is a bug."""
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, CommandError, SQLAlchemyError, sqlite3.Error, http.client.HTTPException, lock.Taken, OSError


def sync(results: Path, uri: str | None = None) -> int:
    """Send every record below ``results`` that the store does not have whole; returns how many were sent.

    ConnectionError where the store cannot be reached or fails on the way; a second call goes on from there.
    """
    from suite.sinks.replay import replay_sweep

    found = records.read_all(results)
    sent = 0
    for plan in sorted({r.plan for r in found}):
        sink = Sink(uri, results, plan)
        if not sink.online:
            raise ConnectionError(f"sync: {sink.why_offline}")
        try:
            sent += replay_sweep(sink, [r for r in found if r.plan == plan], results)
        except faults() as error:
            raise ConnectionError(f"sync: {sink.uri}: {first_line(error)}") from error
    return sent
