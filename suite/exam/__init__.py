"""The exam: every (backend, architecture, implementation) in both precisions against the oracle.

Every backend is examined in processes of its own, one a precision (PyTorch and TensorFlow in one process can crash,
and x64 and floatx are process-wide); two run side by side, for the exam takes no timings. A process sees a few
architectures, for XLA keeps what it has compiled, and Linux limits how many pieces of memory a process may map.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from suite import registry
from suite.exam.cases import CASES
from suite.spec.contract import IMPLEMENTATIONS

Row = dict[str, Any]
Echo = Callable[[str], None]
SIDE_BY_SIDE = 2
ARCHS = 6  # a process: each takes some 5,000 of the 65,530 pieces of memory that TensorFlow's may map


def run_check(
    backends: Sequence[str] = (),
    archs: Sequence[str] = (),
    impls: Sequence[str] = (),
    precisions: Sequence[str] = ("float64", "float32"),
    slow: bool = False,
    json_path: Path | None = None,
    echo: Echo = print,
    device: str = "cpu",
    cases: Sequence[str] = (),
) -> int:
    """Examine what is named (empty = all). 0 if every check passed, 1 if one failed or nothing was checked.

    ``cases`` picks some of the exam's networks ("label", the one that properties and resuming are checked on, always).
    Prints one line a cell and one line a failure; ``json_path`` receives the list of rows.
    """
    backends, archs = backends or registry.backends(), archs or registry.archs()
    for impl in impls:
        if impl not in IMPLEMENTATIONS:
            raise registry.unknown("implementation", impl, IMPLEMENTATIONS)
    names = [registry.arch(a).name for a in archs]
    for name in backends:
        registry.backend(name)
    known = [case.name for case in CASES]
    for name in cases:
        if name not in known:
            raise registry.unknown("case", name, known)
    if json_path and not json_path.absolute().parent.is_dir():
        raise ValueError(f"check: {json_path} cannot be written: there is no folder {json_path.absolute().parent}")
    rows: list[Row] = []
    for few in (names[k : k + ARCHS] for k in range(0, len(names), ARCHS)):
        common = {"cells": [(a, i) for a in few for i in impls or IMPLEMENTATIONS], "slow": slow, "device": device}
        common |= {"cases": list(cases) or known}
        rows += _examine([{"backend": b, "precision": p, **common} for b in backends for p in precisions], echo)
    if json_path:
        json_path.write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return _verdict(rows, echo)


def _examine(jobs: list[Row], echo: Echo) -> list[Row]:
    """Jobs in processes side by side; then each continues what the others have trained."""
    with tempfile.TemporaryDirectory(prefix="recurbench-exam-") as folder:
        workers = [_Worker(job | {"folder": folder}, echo) for job in jobs]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            try:
                list(pool.map(_Worker.check, workers))
                list(pool.map(_Worker.resume, workers))
            finally:  # also on Ctrl-C: the threads end when their processes do
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in workers:
                    worker.stop()
    return [row for worker in workers for row in worker.rows]


class _Worker:
    """One exam process and the rows it has sent."""

    def __init__(self, job: Row, echo: Echo) -> None:
        self.rows: list[Row] = []
        self._job, self._echo = job, echo
        self._process: subprocess.Popen[str] | None = None

    def check(self) -> None:
        """Start the process and read its rows until the checks are done."""
        env = os.environ | {
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "suite.exam.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=env,
        )
        self._send(json.dumps(self._job))
        self._read("checked")

    def resume(self) -> None:
        """Let the process continue the other workers' snapshots."""
        if self._process is not None and self._process.poll() is None:
            self._send("resume")
            self._read("resumed")

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout, self._errors):
                if pipe is not None:
                    pipe.close()

    def _send(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None, "check() has started the process"
        with contextlib.suppress(BrokenPipeError):  # a dead process sends no rows either, and so is found out
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _read(self, phase: str) -> None:
        assert self._process is not None and self._process.stdout is not None, "check() has started the process"
        for line in self._process.stdout:
            row = json.loads(line)
            if row.get("phase") == phase:
                return
            if "seconds" in row:
                self._summary(**row)
                continue
            self.rows.append(row)
            if not row["ok"]:
                self._echo(failure(row))
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines() or ["no message"]
        reason = f"the process ended with exit code {self._process.wait()}: {lines[-1]}"
        row = {"backend": self._job["backend"], "arch": "", "impl": "", "precision": self._job["precision"]}
        row |= {"check": "process", "where": "", "error": None, "limit": 0.0, "ok": False, "reason": reason}
        self.rows.append(row)
        self._echo("\n".join([*lines[-20:], failure(row)]))

    def _summary(self, arch: str, impl: str, seconds: float) -> None:
        """One line for a cell whose checks are done."""
        rows = [r for r in self.rows if (r["arch"], r["impl"]) == (arch, impl)]
        name = f"{self._job['backend']}/{arch}/{impl} {self._job['precision']}"
        if rows[0]["check"] == "unsupported":
            self._echo(f"--    {name}: {rows[0]['reason']}")
        elif all(r["ok"] for r in rows):
            close = max((r for r in rows if r["limit"]), key=lambda r: r["error"] / r["limit"])
            share = f"{close['error'] / close['limit']:.0%} of a limit ({close['check']})"
            self._echo(f"ok    {name}: {len(rows)} checks in {seconds:.0f} s, at most {share}")


def failure(row: Row) -> str:
    """One line: what, where, error, limit, and the reason where one is known."""
    error = "not finite" if row["error"] is None else f"{row['error']:.2e}"
    where = f" at {row['where']}" if row["where"] else ""
    because = f" ({row['reason']})" if row["reason"] else ""
    cell = f"{row['backend']}/{row['arch']}/{row['impl']} {row['precision']}"
    return f"FAIL  {cell}: {row['check']}{where}: error {error} > limit {row['limit']:.0e}{because}"


def _verdict(rows: list[Row], echo: Echo) -> int:
    checked = [r for r in rows if r["check"] != "unsupported"]
    failed = sum(not r["ok"] for r in checked)
    if not checked:
        echo("nothing was checked: " + "; ".join(sorted({r["reason"] for r in rows})))
        return 1
    cells = len({(r["backend"], r["arch"], r["impl"], r["precision"]) for r in checked})
    echo(f"{len(checked)} checks of {cells} cells: " + (f"{failed} FAILED" if failed else "all passed"))
    return 1 if failed else 0
