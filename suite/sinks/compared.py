"""A comparison of two checkouts as one run in the store, tagged suite.role = compare; the table is its note."""

from __future__ import annotations

from pathlib import Path

from suite import clock
from suite.perf import summary
from suite.perf.outcome import Comparison
from suite.sinks import runs
from suite.sinks.mlflow import Sink, faults, first_line

LIMIT = 8000  # characters of a note


def send(found: Comparison, uri: str | None, results: Path, strict: bool = False) -> str:
    """Send it; "" or, where the store cannot be reached or fails, why not in one line."""
    sink = Sink(uri, results, "compare")
    if not sink.online:
        return sink.why_offline
    table, code = summary.markdown(found, strict), found.exit_code(strict)
    tags = {
        "suite.role": "compare",
        "suite.runner": runs.runner(),
        "suite.machine_id": str(found.machine["machine_id"]),
        "base": found.base.revision,
        "head": found.head.revision,
        "exit_code": str(code),
        "mlflow.note.content": table[:LIMIT],
    }
    try:
        run = sink.create(f"{found.head} against {found.base}", tags, clock.wall_ms())
        for name, value in summary.metrics(found).items():
            sink.client.log_metric(run, name, value)
        sink.client.log_text(run, summary.as_json(found, strict), "compare.json")
        sink.client.log_text(run, table, "compare.md")
        sink.client.set_terminated(run, "FINISHED" if code in (0, 3) else "FAILED")
    except faults() as error:
        return f"{sink.uri}: {first_line(error)}"
    return ""
