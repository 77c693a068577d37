"""The command line: a thin shell over `suite.api`, `suite.exam`, `suite.report` and the MLflow sink.

Exit codes: 0 all well; 1 something that ran is not (a cell diverged or crashed, a check failed); 2 the command or one
of its names is wrong, said in one line; 130 interrupted. Only the commands that need MLflow import it; frameworks are
imported in worker processes, and for `show` in this one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from suite import __version__, api, facts, listing, registry
from suite.options import DEVICE, RESULTS, URI, Suite, examples, several
from suite.perf.compare_command import compare, trend
from suite.perf.speed_command import speed
from suite.run_command import cell, run


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


@main.command("list", epilog=examples("python -m suite list backends", "python -m suite list plans"))
@click.argument("what", metavar=f"[{'|'.join(listing.LISTS)}]")
def list_(what: str) -> None:
    """What there is, one line each: installed or not, and the reasons for gaps."""
    if what not in listing.LISTS:
        raise registry.unknown("list", what, listing.LISTS)
    for line in listing.LISTS[what]():
        click.echo(line)


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
    ctx.exit(exam.run_check(precisions=both, device=device or "cpu", echo=click.echo, **chosen))


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


main.add_command(cell)
main.add_command(compare)
main.add_command(run)
main.add_command(speed)
main.add_command(trend)
