"""The commands ``run`` and ``cell``: a plan, or one cell, in processes of its own."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from suite import api, listing, lock, protocol
from suite import plan as plans
from suite.executors import Job
from suite.executors.local import Local
from suite.options import CHECKPOINT, DEVICE, FOLDER, MEMORY, TIMEOUT, URI, Seconds, examples, several
from suite.progress import Progress
from suite.run import BAD, Sweep
from suite.stop import Stop


@click.command(
    epilog=examples("python -m suite cell spec.json --out out/", "python -m suite cell result.json --out again/")
)
@click.argument("spec", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The cell's folder.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in the folder.")
@click.option("--end-with-parent", is_flag=True, hidden=True, help="For engines, whose processes may be killed.")
@TIMEOUT
@MEMORY
@CHECKPOINT
@click.pass_context
def cell(
    ctx: click.Context,
    spec: Path,
    out: Path,
    resume: bool,
    end_with_parent: bool,
    timeout: float,
    memory: int | None,
    checkpoint: float,
) -> None:
    """Run the one cell in SPEC, a JSON file with a cell's fields (or a record, to run its cell again)."""
    if end_with_parent:
        protocol.end_with_parent()
    try:
        data = json.loads(spec.read_text(encoding="utf-8"))
        plan, told = plans.checked_name(data.get("plan", "cell"), str(spec)), data.get("facts", {})
        converged, packed = bool(told.get("converged", True)), bool(told.get("packed", False))
    except (AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"{spec}: not a cell: {error}") from error
    chosen = plans.cell(data.get("cell", data), str(spec))
    job = Job(chosen, out, plan, converged, resume, timeout, memory or 0, checkpoint, packed)
    stop, sweep = Stop(), Sweep(Progress(sys.stderr))
    sweep.show.start(1, skipped=0)
    with (
        lock.held(out / "lock", lock.WAIT_S) as held,
        tempfile.TemporaryDirectory(prefix="recurbench-") as logs,
        stop.listening(),
    ):
        executor = Local(Path(logs), isolate=True, held=[held])
        try:
            sweep.run(executor, [job], stop)
        finally:
            executor.close()
    if stop.asked and not sweep.ended:
        ctx.exit(130)
    ctx.exit(int(any(outcome in BAD for outcome in sweep.ended.values())))


@click.command(
    epilog=examples(
        "python -m suite run",
        "python -m suite run learn --backend jax --arch gru --seeds 5",
        "python -m suite run my/plan.toml --resume --tracking-uri none",
        "python -m suite run learn --timeout 600 --memory 4GiB --budget 7200",
        "python -m suite run learn --dry-run",
        "python -m suite run learn --executor slurm --slurm partition=cpu",
        "python -m suite run quick --backend reference --precision float64 --steps 20",
    )
)
@click.argument("plan", default="quick")
@several("backend", "Only this backend, or this one instead")
@several("arch", "Only this architecture, or this one instead")
@several("task", "Only this task")
@several("impl", "Only this implementation, or this one instead")
@click.option("--seeds", type=click.IntRange(min=1), help="Run seeds 0..N-1.")
@click.option("--steps", type=click.IntRange(min=1), help="Updates a cell, instead of the plan's.")
@click.option(
    "--steps-per-call",
    type=click.IntRange(min=1),
    metavar="K",
    help="Updates that JAX or TensorFlow makes in one call, which saves small shapes its overhead; divides all steps.",
)
@click.option("--precision", type=click.Choice(["float32", "float64"]), help="Instead of the plan's.")
@DEVICE
@click.option("--resume", is_flag=True, help="Keep what ended well; go on with the rest, from its last checkpoint.")
@click.option("--dry-run", is_flag=True, help="Run nothing: list the cells, and what there is of each.")
@click.option("--isolate", is_flag=True, help="A fresh process for every cell; needed to report peak memory.")
@TIMEOUT
@MEMORY
@click.option(
    "--budget",
    type=Seconds(min=0, min_open=True),
    default=math.inf,
    help="Seconds of the whole run; cells that have not begun by then are recorded as skipped.",
)
@CHECKPOINT
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="Where cells run: here, in the Ray cluster of RAY_ADDRESS, or as Slurm jobs.",
)
@click.option("--packed", is_flag=True, help="With ray or slurm: cells share machines, and report no speed.")
@click.option(
    "--slurm",
    "slurm_settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of sbatch, as partition=cpu or account=me; may be repeated.",
)
@URI
@click.option("--out", "--results", "results", help="Where records go.", **FOLDER)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    plan: str,
    resume: bool,
    dry_run: bool,
    isolate: bool,
    timeout: float,
    memory: int | None,
    budget: float,
    checkpoint: float,
    executor: str,
    packed: bool,
    slurm_settings: tuple[str, ...],
    tracking_uri: str | None,
    results: Path,
    **narrow: Any,
) -> None:
    """Run PLAN (a name from `list plans`, or a TOML file), print the table, and keep every record.

    Ctrl-C once finishes the cell that runs, twice stops now; --resume goes on. Exit code 1 if a cell diverged, crashed,
    or ran out of memory or time; unsupported and skipped cells are reported, not failed; 130 interrupted.
    """
    from suite.report import table_text

    chosen = api.load(plan, **narrow)
    if dry_run:
        for line in listing.cells(chosen, results):
            click.echo(line)
        return
    show = Progress(sys.stderr)
    stop = Stop()
    try:
        records = api.run(
            chosen,
            results,
            resume=resume,
            isolate=isolate,
            timeout_s=timeout,
            memory_bytes=memory or 0,
            budget_s=budget,
            checkpoint_s=checkpoint,
            executor=executor,
            packed=packed,
            slurm=_pairs(slurm_settings),
            tracking_uri=tracking_uri,
            progress=show,
            stop=stop,
        )
    except KeyboardInterrupt:
        records, stop.asked = [], True
    if stop.asked and len(records) < len(chosen.cells):
        click.echo("interrupted: what had ended is recorded; go on with the same command and --resume", err=True)
        ctx.exit(130)
    click.echo(table_text(records))
    click.echo(f"report:    python -m suite report --results {results} --plan {chosen.name}")
    if show.dashboard:
        serve = "" if (tracking_uri or "").startswith("http") else f"python -m suite ui --results {results}, then "
        click.echo(f"dashboard: {serve}{show.dashboard}")
    ctx.exit(api.exit_code(records))


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    wrong = [text for text in settings if "=" not in text]
    if wrong:
        raise ValueError(f"--slurm: {wrong[0]!r} must be NAME=VALUE, such as partition=cpu")
    return dict(text.split("=", 1) for text in settings)
