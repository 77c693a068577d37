"""One file of pytest-benchmark as one run in the store, tagged suite.role = perf; a table of its medians is its note.

    params     the machine, the versions, the revision, the backend: what tests/perf/conftest.py puts into the file
    metrics    "<group>/<name>/min_ms", ".../median_ms", ".../iqr_ms"
    artifact   the file

    python -m suite.sinks.benched .benchmarks/jax.json     what a store that was down has missed

The same bytes are one run, however often they are sent.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import click

from suite.options import FOLDER, URI
from suite.sinks import rows, runs
from suite.sinks.mlflow import Sink, faults, first_line

FIGURES = ("min", "median", "iqr")
FACTS = ("machine_id", "platform", "cpu", "cores", "cores_usable", "memory_bytes", "suite", "spec", "git", "git_dirty")
LIMIT = 8000  # characters of a note


def send(path: Path, uri: str | None, results: Path) -> str:
    """Send a file; "" or, where the store cannot be reached or fails, why not in one line. ValueError as `read`."""
    data = read(path)
    sink = Sink(uri, results, "bench")
    if not sink.online:
        return sink.why_offline
    own = {"suite.role": "perf", "suite.digest": hashlib.sha256(path.read_bytes()).hexdigest()}
    try:
        before = runs.search(sink.client, sink.experiment, own)
        if any(run.info.status == "FINISHED" for run in before):
            return ""
        for torn in before:
            sink.client.delete_run(torn.info.run_id)
        run = sink.create(f"bench {data['backend']}", tags(data) | own, rows.milliseconds(data["datetime"]))
        for name, text in params(data).items():
            sink.client.log_param(run, name, text)
        for name, value in metrics(data).items():
            sink.client.log_metric(run, name, value)
        sink.client.log_artifact(run, str(path))
        sink.client.set_terminated(run, "FINISHED")
    except faults() as error:
        return f"{sink.uri}: {first_line(error)}"
    return ""


def read(path: Path) -> dict[str, Any]:
    """What a file holds. ValueError, in one line with the file's name, where `send` could not use all of it."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tags(data), params(data), metrics(data), rows.milliseconds(data["datetime"])
    except KeyError as missing:
        raise ValueError(f"{path}: not a file of tests/perf: it has no {missing}; make it with `make bench`") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a file of tests/perf: {error}; make it with `make bench`") from error
    return data


def metrics(data: dict[str, Any]) -> dict[str, float]:
    """Milliseconds by name. ValueError for a time that is none, or for two benchmarks of one name."""
    out: dict[str, float] = {}
    for bench in data["benchmarks"]:
        for figure in FIGURES:
            name, value = f"{metric(bench)}/{figure}_ms", 1e3 * bench["stats"][figure]
            if not 0 <= value < math.inf:
                raise ValueError(f"{bench['name']} has {figure} = {bench['stats'][figure]} s")
            if name in out:
                raise ValueError(f"two benchmarks are called {metric(bench)}")
            out[name] = value
    if not out:
        raise ValueError("it has no benchmarks")
    return out


def metric(bench: dict[str, Any]) -> str:
    """The two parts of a benchmark's name, in letters that the store allows.

    >>> metric({"group": "small gru step", "name": "test_step[scan-gru]"})
    'small gru step/step.scan-gru'
    """
    return "/".join(
        re.sub(r"[^\w .:-]+", ".", part).strip(". ") for part in (bench["group"], bench["name"].removeprefix("test_"))
    )


def params(data: dict[str, Any]) -> dict[str, str]:
    """Where it was measured, and what."""
    info = data["machine_info"]
    versions = {f"version.{name}": version for name, version in info["versions"].items()}
    return {"backend": data["backend"], **{name: str(info[name]) for name in FACTS}, **versions}


def tags(data: dict[str, Any]) -> dict[str, str]:
    """What one filters by, and the note."""
    info = data["machine_info"]
    table = [f"| {metric(b)} | {1e3 * b['stats']['median']:.4g} |" for b in data["benchmarks"]]
    return {
        "backend": data["backend"],
        "suite.machine_id": info["machine_id"],
        "suite.runner": runs.runner(),
        "suite.version": info["suite"],
        "git.sha": info["git"],
        "git.dirty": str(info["git_dirty"]),
        "mlflow.note.content": "\n".join(["| benchmark | median, ms |", "|---|--:|", *table])[:LIMIT],
    }


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@URI
@click.option("--results", help="Where MLflow's store is.", **FOLDER)
@click.pass_context
def main(ctx: click.Context, file: Path, tracking_uri: str | None, results: Path) -> None:
    """Send FILE, unless the store has it."""
    try:
        why = send(file, tracking_uri, results)
    except ValueError as error:
        why = str(error)
    if why:
        click.echo(f"recurbench: {why}", err=True)
        ctx.exit(2)


if __name__ == "__main__":
    main()
