"""Synthetic records for tests of tables, figures and MLflow: plausible shapes, invented numbers, no benchmark."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from suite import record as records
from suite.record import Record
from suite.spec.cell import Cell
from suite.spec.contract import Bound, Optim, Sizes

PLAN = "synthetic"
START_MS = 1_700_000_000_000
FLOOR = Bound("floor", 0.25, "most frequent tag")
CEILING = Bound("ceiling", 0.80, "exact Bayes")
PARAMETERS = {"rnn": 5_000, "gru": 12_000, "lstm": 16_000}


def cell(arch: str = "gru", backend: str = "pytorch", seed: int = 0, task: str = "hmm_tag", **more: object) -> Cell:
    """A small cell."""
    base = Cell(task=task, arch=arch, backend=backend, seed=seed, steps=200, eval_every=20, sizes=Sizes(hidden=32))
    return replace(base, **more)  # type: ignore[arg-type]


def ok(c: Cell, plan: str = PLAN, score: float | None = None) -> Record:
    """A cell that ended well; the numbers depend on its key only."""
    rng = np.random.default_rng(int(c.key[:8], 16))
    top = {"rnn": 0.62, "gru": 0.76, "lstm": 0.74}.get(c.arch, 0.7) + 0.004 * rng.standard_normal()
    top = score if score is not None else float(top)
    ms = {"pytorch": 4.0, "tensorflow": 6.0, "jax": 3.0}.get(c.backend, 20.0) * {"rnn": 1.0, "gru": 2.2}.get(
        c.arch, 2.6
    )
    ms *= {"stock": 0.4, "scan": 1.0, "scan-compiled": 0.7, "fused": 0.5, "native": 0.3}[c.impl]
    steps = range(20, c.steps + 1, 20)
    curve = [
        {
            "step": float(s),
            "train_s": s * ms / 1e3,
            "accuracy": float(top - (top - 0.25) * np.exp(-s / 45) + 0.005 * rng.standard_normal()),
        }
        for s in steps
    ]
    return Record(
        plan=plan,
        cell=c,
        outcome="ok",
        ran=f"synthetic {c.backend}",
        metric="accuracy",
        better="higher",
        bounds=(FLOOR, CEILING),
        digests={"data": "d" * 64, "initial": "a" * 64, "final": "b" * 64},
        checks=({"check": "gradients", "error": 1e-7, "limit": 1e-4, "ok": True},),
        scores={"test": {"accuracy": top, "accuracy_se": 0.004, "xent": 1.1}, "val": {"accuracy": top + 0.001}},
        curve=tuple(curve),
        step_s=tuple((ms / 1e3 * (1 + 0.3 * rng.gamma(1.0, 0.2, c.steps - 1))).tolist()),
        first_step_s=1.7,
        build_s=0.2,
        tokens_per_step=3200.0,
        flops_per_step=40_000_000,
        parameters=PARAMETERS.get(c.arch, 9_000),
        peak_rss_bytes=400 << 20,
        fresh_process=True,
        last_loss=0.9,
        last_grad_norm=float(0.4 + 0.05 * rng.random()),
        started="2023-11-14T22:13:20+00:00",
        finished="2023-11-14T22:13:40+00:00",
        facts={"host": "synthetic", "cpu": "none", "versions": {"numpy": "0"}},
    )


def failed(c: Cell, outcome: records.Outcome, reason: str, plan: str = PLAN) -> Record:
    """A cell that did not end well."""
    times = {"started": "2023-11-14T22:13:20+00:00", "finished": "2023-11-14T22:13:21+00:00"}
    return Record(plan=plan, cell=c, outcome=outcome, reason=reason, **times)


def matrix(seeds: int = 3, tasks: tuple[str, ...] = ("hmm_tag", "copy")) -> list[Record]:
    """Three architectures in three backends, stock beside scan, one refusal, one divergence, one crash."""
    out = []
    for task in tasks:
        for arch in ("rnn", "gru", "lstm"):
            for backend in ("pytorch", "tensorflow", "jax"):
                for impl in ("stock", "scan"):
                    for seed in range(seeds):
                        c = cell(arch, backend, seed, task, impl=impl, optim=Optim(lr=0.003))
                        if (backend, impl) == ("jax", "stock"):
                            out.append(failed(c, "unsupported", "JAX ships no recurrent layer on a CPU"))
                        elif (task, arch, backend, impl, seed) == ("copy", "rnn", "tensorflow", "scan", 1):
                            out.append(failed(c, "diverged", "loss is nan at step 57"))
                        else:
                            out.append(ok(c))
    c = cell("gru", "tensorflow", 0, tasks[0], impl="scan-compiled", optim=Optim(lr=0.003))
    return [*out, failed(c, "crash", "signal 11 (SIGSEGV)")]


def curve_lines(c: Cell, upto: int | None = None) -> list[str]:
    """The lines of ``metrics.jsonl``, one a step, as a worker writes them."""
    rng = np.random.default_rng(int(c.key[:8], 16))
    lines = []
    for step in range(1, (upto or c.steps) + 1):
        norm = 0.5 + 4 * np.exp(-step / 30) * {"rnn": 3.0}.get(c.arch, 1.0) * (1 + 0.2 * rng.standard_normal())
        values = {"train/loss": 1.4 * np.exp(-step / 80) + 0.5, "grad/global_norm": norm, "grad/layer0.U": norm / 2}
        if step % 20 == 0:
            values["eval/accuracy"] = 0.25 + 0.5 * (1 - np.exp(-step / 45))
        point = {"step": step, "time_ms": START_MS + 10 * step, "values": {k: float(v) for k, v in values.items()}}
        lines.append(json.dumps(point) + "\n")
    return lines


def write_folder(results: Path, r: Record, flow: bool = True) -> Path:
    """The record's folder as a worker leaves it."""
    folder = results / r.plan / r.key
    records.write(r, folder)
    if r.outcome in ("ok", "diverged"):
        (folder / "metrics.jsonl").write_text("".join(curve_lines(r.cell)), encoding="utf-8")
    if r.outcome == "ok":
        (folder / "weights.safetensors").write_bytes(b"synthetic")
        if flow:
            t = np.arange(60)
            rate = {"rnn": 0.75, "gru": 0.96, "lstm": 0.97}.get(r.cell.arch, 0.9)
            decay = {f"{s}/layer0/h": 0.1 * min(0.999, rate + 0.01 * (s > 1)) ** (59 - t) for s in (1, r.cell.steps)}
            np.savez(folder / "flow.npz", **decay)
    return folder


def write_all(results: Path, many: list[Record], flow: bool = True) -> Path:
    """Every record's folder; returns ``results``."""
    for r in many:
        write_folder(results, r, flow)
    return results
