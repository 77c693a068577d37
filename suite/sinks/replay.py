"""Finished records into a store that has missed them, as if it had been there. Failures of the store are raised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.record import Record
from suite.report.groups import folder as folder_of
from suite.sinks import rows, runs

if TYPE_CHECKING:
    from suite.sinks.mlflow import Sink


def replay_sweep(sink: Sink, ended: list[Record], results: Path) -> int:
    """Send the records of one plan that the store does not have whole; how many. Their sweep ends with them."""
    sweeps = runs.search(sink.client, sink.experiment, {"suite.role": "sweep", "suite.plan": sink.plan})
    if sweeps:
        sink.parent = sweeps[0].info.run_id
        tags, status = sweeps[0].data.tags, sweeps[0].info.status
    else:
        tags, status = runs.sweep_tags(sink.plan, "sent afterwards", len(ended)), ""
        sink.parent = sink.create(sink.plan, tags, min(rows.milliseconds(r.started) for r in ended))
    sent = replay(sink, ended, results)
    sink.ended = ended
    sink.table()
    sink.view()
    if status != "RUNNING" or tags["suite.runner"] == runs.runner():  # else its own runner will end it
        whole = len(ended) >= int(tags["suite.cells"])
        sink.client.set_terminated(sink.parent, "FINISHED" if whole else "KILLED")
    return sent


def replay(sink: Sink, ended: list[Record], results: Path) -> int:
    """Send the records that the store does not have whole into the sink's sweep; how many."""
    return sum(_replay_one(sink, r, folder_of(results, r)) for r in ended)


def _replay_one(sink: Sink, record: Record, folder: Path) -> bool:
    """Send one record, into the run that its attempt began where there is one. False if it was there already."""
    machine = str(record.facts.get("machine_id", ""))
    found = sink.find(record.cell, machine)
    if found and found[0].data.tags.get("suite.sent") == record.finished:
        return False
    own = [run for run in found if _same_attempt(sink.client, run, record, folder)][:1]
    for run in found:
        if run not in own:
            sink.client.delete_run(run.info.run_id)
    if own:
        sink.adopt(record.cell, own[0].info.run_id)
    else:
        sink.begin(record.cell, machine, rows.milliseconds(record.started))
    sink.finish(record, folder)
    return True


def _same_attempt(client: Any, run: Any, record: Record, folder: Path) -> bool:
    """Whether a run holds the beginning of this very record: the times of what is stored are all in the file."""
    if "suite.sent" in run.data.tags:
        return False
    written = {(name, time_ms, step) for name, _, time_ms, step in rows.Tail(record.cell.steps).rows(folder)}
    curve = next((name for name in sorted({row[0] for row in written}) if name in run.data.metrics), "")
    stored = client.get_metric_history(run.info.run_id, curve) if curve else []
    return all((curve, p.timestamp, p.step) in written for p in stored)
