"""Cells under a random killer, for as long as one likes: nothing recorded is lost, nothing orphaned, no outcome wrong.

    python -m tests.soak --minutes 60

Again and again a plan of good and bad cells is run, resumed, and killed: SIGKILL, SIGTERM or SIGINT to the runner,
SIGKILL to its worker or to MLflow's process. It kills descendants of its own runner alone. After every end it looks for
processes that are left, and whether a record that was good is still the same; when every cell has the outcome that its
fault must have, it compares the numbers with those of a run that nobody disturbed, syncs, and begins anew.
Prints a summary as JSON; exit code 1 if anything was wrong.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import psutil

from suite import record
from tests.probes import environment
from tests.processes import words

PLAN = """
name = "soak"
title = "t"
description = "d"
converged = false
[defaults]
arch = ["rnn", "gru"]
backend = "reference"
precision = "float64"
sizes = {{ hidden = 8, embed = 4 }}
batch = 8
steps = 400
eval_every = 100
seed = {seeds}
[[grid]]
task = "probe"
[[grid]]
task = "probe"
backend = {backends}
precision = "float32"
arch = "gru"
seed = 0
""" + "".join(
    f'[[grid]]\ntask = "probe"\narch = "rnn"\nseed = 0\noptions = {{{{ fault = "{fault}" }}}}\n'
    for fault in ("raise", "memory", "kill", "segv", "full")
)
STRIKES = ("runner SIGKILL", "runner SIGTERM", "runner SIGINT", "worker SIGKILL", "tracker SIGKILL")
EXPECTED = {"raise": "crash", "memory": "oom", "kill": "oom", "segv": "crash", "full": "crash", "": "ok"}


class Soak:
    """One folder, one plan, and what was found."""

    def __init__(self, folder: Path, seeds: int, backends: list[str], rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.count: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.last = "nothing"
        (folder / "p.toml").write_text(PLAN.format(seeds=list(range(seeds)), backends=backends), encoding="utf-8")
        self.undisturbed = self.run_whole(folder / "undisturbed")

    def command(self, results: Path, *more: str) -> list[str]:
        """A run of the plan."""
        return [sys.executable, "-m", "suite", "run", "p.toml", "--checkpoint", "0", "--out", str(results), *more]

    def run_whole(self, results: Path) -> dict[str, Any]:
        """What the cells come to when nobody interferes."""
        command = self.command(results, "--tracking-uri", "none")
        subprocess.run(command, cwd=self.folder, env=environment(), capture_output=True, check=False)
        return {r.key: _numbers(r) for r in record.read_all(results)}

    def once(self, until: float) -> bool:
        """One plan, resumed until every outcome is right; False if time ran out before."""
        results = self.folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        good: dict[str, bytes] = {}
        while time.monotonic() < until:
            self.disturbed(results)
            found = {path.parent.name: path for path in results.glob("soak/*/result.json")}
            for key, content in good.items():
                if key not in found or found[key].read_bytes() != content:
                    self.wrong.append(f"the record of {key} is lost or changed")
            records = [record.read(path) for path in found.values()]  # every one must be whole
            good = {r.key: found[r.key].read_bytes() for r in records if r.outcome == "ok"}
            if len(records) == len(self.undisturbed) and all(_as_expected(r) for r in records):
                self.count["plans"] += 1
                self.compare(results, records)
                return True
        return False

    def compare(self, results: Path, records: list[record.Record]) -> None:
        """Against the undisturbed run; then three times sync."""
        self.count["cells"] += len(records)
        self.count["resumed from a checkpoint"] += sum(bool(r.resumed_at) for r in records)
        for r in records:
            if _numbers(r) != self.undisturbed[r.key]:
                self.wrong.append(f"{r.cell.name} differs from the undisturbed run")
        sync = [sys.executable, "-m", "suite", "sync", "--results", str(results)]
        said = [subprocess.run(sync, env=environment(), capture_output=True, text=True, check=False) for _ in range(3)]
        if any(s.returncode for s in said) or [s.stdout for s in said[1:]] != ["0 cells sent\n"] * 2:
            self.wrong.append(f"sync said {[(s.stdout, s.stderr) for s in said]}")

    def disturbed(self, results: Path) -> None:
        """One run, in which something may be killed."""
        with (self.folder / "said").open("w+b") as said:
            command = self.command(results, "--resume")
            runner = subprocess.Popen(
                command, cwd=self.folder, env=environment(), stdout=said, stderr=said, start_new_session=True
            )
            self.count["runs"] += 1
            everybody: dict[int, psutil.Process] = {}
            strike = time.monotonic() + self.rng.uniform(0.3, 10.0)
            while runner.poll() is None:
                everybody |= {p.pid: p for p in _descendants(runner.pid)}
                if time.monotonic() > strike:
                    self.strike(runner, list(everybody.values()))
                    strike = time.monotonic() + self.rng.uniform(0.3, 10.0)
                time.sleep(0.1)
            said.seek(0)
            if b"Traceback" in said.read():
                said.seek(0)
                self.wrong.append(said.read().decode(errors="replace")[-3000:])
        left = psutil.wait_procs(list(everybody.values()), timeout=10)[1]
        for process in left:
            self.wrong.append(f"orphan {process.pid}: {' '.join(words(process))}, after {self.last}")
            process.kill()

    def strike(self, runner: subprocess.Popen[bytes], everybody: list[psutil.Process]) -> None:
        """Kill one of them."""
        kind = self.rng.choice(STRIKES)
        who, name = kind.split()
        if who == "runner":
            runner.send_signal(signal.Signals[name])
        else:
            word = "worker" if who == "worker" else "suite.sinks.tracker"
            chosen = [p for p in everybody if word in words(p)]
            for process in self.rng.sample(chosen, min(1, len(chosen))):
                process.kill()
        self.count[kind] += 1
        self.last = kind


def _numbers(r: record.Record) -> Any:
    return (r.outcome, r.digests, r.scores, r.last_loss, r.last_grad_norm, r.updates)


def _as_expected(r: record.Record) -> bool:
    return r.outcome == EXPECTED[str(dict(r.cell.options).get("fault", ""))]


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@click.command()
@click.option("--minutes", type=float, default=60.0, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the killer.")
@click.option("--seeds", type=int, default=4, show_default=True, help="Of the plan's cells.")
@click.option("--backend", "backends", multiple=True, default=["jax", "pytorch"], show_default=True)
def main(minutes: float, seed: int, seeds: int, backends: tuple[str, ...]) -> None:
    """Disturb runs for so long, and say what came of it."""
    with tempfile.TemporaryDirectory(prefix="recurbench-soak-") as scratch:
        soak = Soak(Path(scratch), seeds, list(backends), random.Random(seed))
        until = time.monotonic() + 60 * minutes
        while soak.once(until):
            click.echo(json.dumps(dict(soak.count)), err=True)
    click.echo(json.dumps({"minutes": minutes, "wrong": soak.wrong, **soak.count}))
    sys.exit(bool(soak.wrong))


if __name__ == "__main__":
    main()
