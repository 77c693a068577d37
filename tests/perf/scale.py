"""What the runner itself costs: a plan of trivial cells, run, listed and resumed; seconds a cell, and its memory.

    python -m tests.perf.scale --cells 1000            run them
    python -m tests.perf.scale --cells 10000 --planned  write their records, then only plan, list and resume

Prints JSON: the milliseconds a cell that no worker worked, and the runner's resident size as cells end.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import psutil

from suite import api, clock, facts, listing, plan, record
from suite.progress import Progress
from suite.record import Record
from suite.spec.cell import Cell

PLAN = """
name = "scale"
title = "t"
description = "d"
converged = false
[[grid]]
task = "adding"
options = {{ test_size = 2, time = 2, val_size = 2 }}
arch = "rnn"
backend = "reference"
precision = "float64"
sizes = {{ hidden = 1 }}
batch = 1
steps = 1
seed = {seeds}
"""


class Watch(Progress):
    """Notes the runner's resident size, and what the cells themselves took, as they end."""

    def __init__(self) -> None:
        super().__init__()
        self.rss: list[int] = []

    def done(self, cell: Cell, record: Record) -> None:
        """A cell has ended."""
        self.rss.append(psutil.Process().memory_info().rss)


@click.command()
@click.option("--cells", type=int, default=1000, show_default=True)
@click.option("--planned", is_flag=True, help="Run nothing.")
@click.option("--mlflow", is_flag=True, help="With the tracker beside it.")
def main(cells: int, planned: bool, mlflow: bool) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="recurbench-scale-") as scratch:
        results, path = Path(scratch), Path(scratch) / "p.toml"
        path.write_text(PLAN.format(seeds=list(range(cells))), encoding="utf-8")
        chosen, plan_s = clock.seconds(lambda: plan.load(str(path)))
        told: dict[str, Any] = {"cells": cells, "plan_s": plan_s}
        uri = None if mlflow else "none"
        if planned:
            first = api.run(replace(chosen, cells=chosen.cells[:1]), results, tracking_uri="none")[0]
            for cell in chosen.cells:
                record.write(replace(first, cell=cell), results / "scale" / cell.key)
        else:
            watch = Watch()
            _, run_s = clock.seconds(lambda: api.run(chosen, results, tracking_uri=uri, progress=watch))
            told["ms_per_cell"] = 1e3 * run_s / cells
            told["rss_mib"] = [n / 2**20 for n in watch.rss[:: max(1, cells // 10)]]
        lines, list_s = clock.seconds(lambda: list(listing.cells(chosen, results)))
        assert lines[-1].endswith(f"{cells} ok"), lines[-1]
        again, resume_s = clock.seconds(lambda: api.run(chosen, results, resume=True, tracking_uri="none"))
        assert len(again) == cells
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told |= {"list_s": list_s, "resume_s": resume_s, "peak_rss_mib": peak, "machine": facts.machine()["cpu"]}
    click.echo(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in told.items()}))
    sys.exit(0)


if __name__ == "__main__":
    main()
