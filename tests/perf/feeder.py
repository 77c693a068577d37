"""What the runner's own process does while a cell is timed: tail its curve file and send what is new to MLflow.

    python -m tests.perf.feeder FOLDER CELL          a line of standard input = one feed; answers with its milliseconds

A process of its own, as in a run: there it feeds every `FEED_S` seconds of suite.sinks.tracker, here when told to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from suite import clock
from suite.sinks.mlflow import Sink
from suite.spec.cell import Cell


def main() -> None:
    """Feed on demand until standard input ends."""
    folder, cell = Path(sys.argv[1]), Cell.from_json(json.loads(sys.argv[2]))
    sink = Sink(None, folder, "overhead")
    sink.sweep("overhead", "what feeding costs a timed step", 1)
    sink.start(cell)
    print("ready", flush=True)
    for _ in sys.stdin:
        _, feed_s = clock.seconds(lambda: sink.feed(cell, folder))
        if not sink.online:
            sys.exit(f"feeder: MLflow is off: {sink.why_offline}")
        print(f"{1e3 * feed_s:.1f}", flush=True)


if __name__ == "__main__":
    main()
