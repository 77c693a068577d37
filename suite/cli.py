"""The command line: a thin shell over `suite.api`, `suite.exam`, `suite.report` and the MLflow sink.

Exit codes: 0 all well; 1 something that ran is not (a cell diverged or crashed, a check failed); 2 the command or one
of its names is wrong, said in one line; 130 interrupted. Only the commands that need MLflow import it; frameworks are
imported in worker processes, and for `show` in this one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from suite import __version__, api, facts, listing, registry
from suite.executors.local import Local
from suite.options import DEVICE, FOLDER, RESULTS, TIMEOUT, URI, Suite, examples, several
from suite.perf.compare_command import compare, trend
from suite.perf.speed_command import speed
from suite.progress import Progress
from suite.run import one
from suite.spec.cell import Cell


@click.group(
    cls=Suite,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "python -m suite run quick", "python -m suite list backends", "python -m suite check --backend jax"
    ),
)
@click.version_option(__version__, prog_name="recurbench")
def main() -> None:
    """Recurrent networks in PyTorch, TensorFlow and JAX: proven equal, then timed."""


@main.command(
    epilog=examples(
        "python -m suite run",
        "python -m suite run learn --backend jax --arch gru --seeds 5",
        "python -m suite run my/plan.toml --resume --tracking-uri none",
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
@click.option("--resume", is_flag=True, help="Keep the records that are there; run what is missing.")
@click.option("--isolate", is_flag=True, help="A fresh process for every cell; needed to report peak memory.")
@TIMEOUT
@URI
@click.option("--out", "--results", "results", help="Where records go.", **FOLDER)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    plan: str,
    resume: bool,
    isolate: bool,
    timeout: float,
    tracking_uri: str | None,
    results: Path,
    **narrow: Any,
) -> None:
    """Run PLAN (a name from `list plans`, or a TOML file), print the table, and keep every record.

    Exit code 1 if a cell diverged, crashed, or ran out of memory or time; unsupported cells are reported, not failed.
    """
    from suite.report import table_text

    chosen = api.load(plan, **narrow)
    show = Progress(sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end workers and MLflow for either signal
    try:
        records = api.run(
            chosen,
            results,
            resume=resume,
            isolate=isolate,
            timeout_s=timeout,
            tracking_uri=tracking_uri,
            progress=show,
        )
    except KeyboardInterrupt:
        click.echo("interrupted: what had ended is recorded; go on with the same command and --resume", err=True)
        ctx.exit(130)
    click.echo(table_text(records))
    click.echo(f"report:    python -m suite report --results {results} --plan {chosen.name}")
    if show.dashboard:
        serve = "" if (tracking_uri or "").startswith("http") else f"python -m suite ui --results {results}, then "
        click.echo(f"dashboard: {serve}{show.dashboard}")
    ctx.exit(api.exit_code(records))


@main.command("list", epilog=examples("python -m suite list backends", "python -m suite list plans"))
@click.argument("what", metavar=f"[{'|'.join(listing.LISTS)}]")
def list_(what: str) -> None:
    """What there is, one line each: installed or not, and the reasons for gaps."""
    if what not in listing.LISTS:
        raise registry.unknown("list", what, listing.LISTS)
    for line in listing.LISTS[what]():
        click.echo(line)


@main.command(
    epilog=examples("python -m suite cell spec.json --out out/", "python -m suite cell result.json --out again/")
)
@click.argument("spec", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The cell's folder.")
@TIMEOUT
@click.pass_context
def cell(ctx: click.Context, spec: Path, out: Path, timeout: float) -> None:
    """Run the one cell in SPEC, a JSON file with a cell's fields (or a record, to run its cell again)."""
    try:
        data = json.loads(spec.read_text(encoding="utf-8"))
        chosen = Cell.from_json(data.get("cell", data))
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{spec}: not a cell ({error})") from error
    plan, converged = data.get("plan", "cell"), data.get("facts", {}).get("converged", True)
    show = Progress(sys.stderr)
    show.start(1, skipped=0)
    with tempfile.TemporaryDirectory(prefix="recurbench-") as logs:
        executor = Local(Path(logs), timeout, isolate=True)
        try:
            record, _ = one(executor, chosen, out, plan, converged, lambda event: show.tick(chosen, event))
        except KeyboardInterrupt:
            ctx.exit(130)
        finally:
            executor.close()
    show.done(chosen, record)
    ctx.exit(api.exit_code([record]))


@main.command(
    epilog=examples("python -m suite worker < specs.jsonl", "echo '{\"warm\": {...}}' | python -m suite worker")
)
def worker() -> None:
    """Run the cells on standard input, JSON lines; events come on standard output (for other programs)."""
    from suite import worker as workers

    workers.main()


@main.command(
    epilog=examples(
        "python -m suite check",
        "python -m suite check --backend pytorch --arch lstm --precision float64",
        "python -m suite check --slow --json exam.json",
        "python -m suite check --backend jax --device cuda",
    )
)
@several("backend", "Only this backend")
@several("arch", "Only this architecture")
@several("impl", "Only this implementation")
@click.option(
    "--precision", "precisions", type=click.Choice(["float64", "float32"]), multiple=True, help="Default: both."
)
@DEVICE
@several(
    "case",
    "Only this network of the exam (label, deep, translate, attentive, one, both-ways, last, "
    "xent-batch, bpr-max, top1-max)",
)
@click.option("--slow", is_flag=True, help="Also what takes long to compile.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write every check here.")
@click.pass_context
def check(ctx: click.Context, /, precisions: tuple[str, ...], device: str | None, **chosen: Any) -> None:
    """The exam: hold every backend against the NumPy oracle."""
    from suite import exam

    both = precisions or ("float64", "float32")
    try:
        ctx.exit(exam.run_check(precisions=both, device=device or "cpu", echo=click.echo, **chosen))
    except KeyboardInterrupt:
        ctx.exit(130)


@main.command(
    epilog=examples(
        "python -m suite show results/quick/0123456789abcdef",
        "python -m suite show my/cell --rows 10 --width 8 --length-penalty 0.6",
        "python -m suite show my/cell --backend reference --precision float64 --figure attention.svg",
    )
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(min=1), default=5, show_default=True, help="How many examples.")
@click.option("--width", type=click.IntRange(min=1), default=4, show_default=True, help="Of the beam.")
@click.option("--length-penalty", type=click.FloatRange(min=0), default=0.0, help="Of Wu et al. 2016; 0 is off.")
@click.option(
    "--temperature", type=click.FloatRange(min=0, min_open=True), default=1.0, help="Of texts; below 1 is bolder."
)
@click.option("--seed", type=int, default=0, help="Other texts.")
@click.option("--backend", metavar="NAME", help="Put the weights into this backend's scan implementation.")
@click.option("--precision", type=click.Choice(["float32", "float64"]), help="Instead of the record's.")
@DEVICE
@click.option("--figure", metavar="FILE", type=click.Path(path_type=Path), help="Draw the attention: SVG and PNG.")
def show(folder: Path, **chosen: Any) -> None:
    """What the trained network in FOLDER (a record and its weights) does with a few examples.

    Translations beside the beam's and the right ones, texts and the share that is valid, or answers and what is right.
    """
    from suite.show import show as lines

    for line in lines(folder, **chosen):
        click.echo(line)


@main.command(
    epilog=examples(
        "python -m suite report",
        "python -m suite report --results results --plan quick --out out/",
        "python -m suite report --plan learn --fill README.md",
    )
)
@RESULTS
@click.option("--plan", metavar="NAME", help="Only this plan.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Default: <results>/report.")
@click.option(
    "--fill",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead: put the short table between the marks of this Markdown page.",
)
def report(results: Path, plan: str | None, out: Path | None, fill: Path | None) -> None:
    """Tables, figures and one HTML page from the records; needs no framework and no MLflow."""
    from suite import report as reports

    if fill:
        reports.fill(fill, results, plan)
        return
    for path in reports.write(results, out or results / "report", plan):
        click.echo(path)


@main.command(epilog=examples("python -m suite publish run learn", "python -m suite publish out learn --results docs"))
@click.argument("source", type=click.Path(file_okay=False, path_type=Path))
@click.argument("plan")
@click.option("--curves/--no-curves", default=True, show_default=True, help="With thinned curves, or results alone.")
@RESULTS
def publish(source: Path, plan: str, curves: bool, results: Path) -> None:
    """Copy PLAN's records from SOURCE for a repository: curves thinned, no weights."""
    from suite.publish import publish as copy

    click.echo(f"{copy(source, results, plan, curves)} records in {results / plan}")


@main.command(epilog=examples("python -m suite sync", "python -m suite sync --tracking-uri http://localhost:5000"))
@URI
@RESULTS
@click.pass_context
def sync(ctx: click.Context, /, tracking_uri: str | None, results: Path) -> None:
    """Send to MLflow what it does not have yet; sending twice changes nothing."""
    from suite.sinks import mlflow

    if tracking_uri == "none" or not api.read(results):
        raise ValueError(f"sync: {'no store is named' if tracking_uri == 'none' else f'no record below {results}'}")
    try:
        click.echo(f"{mlflow.sync(results, tracking_uri)} cells sent")
    except ConnectionError as error:
        click.echo(f"recurbench: {error}; try again when the server is up", err=True)
        ctx.exit(1)


@main.command(epilog=examples("python -m suite ui", "python -m suite ui --results results"))
@RESULTS
def ui(results: Path) -> None:
    """Open MLflow's dashboard on the results (until Ctrl-C)."""
    from suite.sinks import mlflow

    command = mlflow.ui_command(results)
    os.execvp(command[0], command)


@main.command(epilog=examples("python -m suite env", "python -m suite env > env.json"))
def env() -> None:
    """The machine, versions, revision and threads, as JSON: what each record keeps, and what a bug report needs."""
    click.echo(json.dumps(facts.facts(), indent=1))


main.add_command(compare)
main.add_command(speed)
main.add_command(trend)
