"""The commands `compare` and `trend`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click

from suite.options import FOLDER, URI, examples
from suite.perf.gates import INTENDED
from suite.perf.outcome import Settings

FILE = click.Path(dir_okay=False, path_type=Path)


def pairs(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """6..12 -> (6, 12): a first look after 6 pairs, a second after 12; 8 -> (8,): one look."""
    if not re.fullmatch(r"\d+(\.\.\d+)?", value):
        raise click.BadParameter(f"{value!r} is no number of pairs; give 6..12, or one number")
    return tuple(int(word) for word in value.split(".."))


def seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """90s, 15m or 2h, in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no time; give 90s, 15m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


CELLS = click.option(
    "--cells", "plan", metavar="PLAN", default="smoke", show_default=True, help="A plan's name, or a TOML file."
)


@click.command(
    epilog=examples(
        "python -m suite compare main .",
        "python -m suite compare v0.1 HEAD --cells my/plan.toml --min-effect 0.05",
        "python -m suite compare main . --exact",
        "python -m suite compare main . --intended losses --intended flops",
        "python -m suite compare . . --pairs 8",
        "python -m suite compare . . --base-python ../old/.venv/bin/python",
        "python -m suite compare origin/main . --markdown summary.md --json compare.json --tracking-uri none",
    )
)
@click.argument("base")
@click.argument("head", default=".")
@CELLS
@click.option(
    "--pairs",
    callback=pairs,
    metavar="K..K",
    default="6..12",
    show_default=True,
    help="Of processes, at each of two looks.",
)
@click.option("--min-effect", type=float, default=0.02, show_default=True, help="The least slow-down that matters.")
@click.option(
    "--budget",
    callback=seconds,
    metavar="TIME",
    default="30m",
    show_default=True,
    help="Of what is timed: after it nothing more is measured but what was slower once; the rest is inconclusive.",
)
@click.option(
    "--intended",
    multiple=True,
    metavar="GATE",
    help=f"Tell a change of this, and do not fail: of {', '.join(INTENDED)}. May be repeated.",
)
@click.option(
    "--base-python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What runs BASE, for a change of what is installed: the Python of an environment with the old versions.",
)
@click.option("--exact", is_flag=True, help="Only what needs no clock: for a machine that others use as well.")
@click.option("--strict", is_flag=True, help="Exit code 3 where a cell stays inconclusive.")
@click.option("--markdown", type=FILE, help="Append the table to this file, such as $GITHUB_STEP_SUMMARY.")
@click.option("--json", "json_path", type=FILE, help="Write everything here.")
@URI
@click.option("--results", help="Where MLflow's store is.", **FOLDER)
@click.pass_context
def compare(
    ctx: click.Context,
    /,
    base: str,
    head: str,
    plan: str,
    pairs: tuple[int, ...],
    min_effect: float,
    budget: float,
    intended: tuple[str, ...],
    base_python: Path | None,
    exact: bool,
    strict: bool,
    markdown: Path | None,
    json_path: Path | None,
    tracking_uri: str | None,
    results: Path,
) -> None:
    """Whether HEAD is slower than BASE: a folder or a git ref each, HEAD is this folder if it is left out.

    Each cell is timed in pairs of fresh processes in turn; what is slower is measured again, and fails only if it is
    slower twice. Exit codes: 0 well, or inconclusive and said so; 1 slower, or not the same work; 2 usage; 3
    inconclusive under --strict; 4 the machine is too noisy; 5 a cell is missing in HEAD, or crashed.
    """
    from suite.perf import compare as comparing
    from suite.perf import summary, tree

    settings = Settings(pairs, min_effect, budget, exact, intended)
    sides = tree.find(base, "BASE"), tree.find(head, "HEAD")
    if base_python:
        sides = replace(sides[0], python=base_python.absolute()), sides[1]
    for path in filter(None, (json_path, markdown)):  # before the minutes that measuring takes
        if not path.absolute().parent.is_dir():
            raise ValueError(f"compare: {path} cannot be written: there is no folder {path.absolute().parent}")
    cells = comparing.plan_cells(str(Path(plan).resolve()) if plan.endswith(".toml") else plan, *sides)

    def say(line: str) -> None:
        click.echo(line, err=True)

    found = comparing.compare(*sides, cells, settings, say)
    click.echo(summary.terminal(found, strict))
    if json_path:
        json_path.write_text(summary.as_json(found, strict), encoding="utf-8")
    if markdown:
        with markdown.open("a", encoding="utf-8") as file:
            file.write(summary.markdown(found, strict))
    if tracking_uri != "none":
        from suite.sinks import compared

        if why := compared.send(found, tracking_uri, results, strict):
            say(f"warning: MLflow is off ({why}); the comparison stands")
    ctx.exit(found.exit_code(strict))


@click.command(
    epilog=examples("python -m suite trend trend.jsonl", "python -m suite trend trend.jsonl --cells my/plan.toml")
)
@click.argument("file", type=FILE)
@CELLS
def trend(file: Path, plan: str) -> None:
    """Add tonight's speeds to FILE, each beside a fixed matrix product, and say which cell has become slower.

    A cell's last 3 nights are held against its 20 before them, on the same processor only. A look-out, no gate: the
    exit code is 0 whatever it says, but 2 where nothing could be measured.
    """
    from suite import api
    from suite.perf import trend as trends

    trends.read(file)  # a broken file is found before the minutes that measuring takes
    trends.append(file, trends.night(api.load(plan).cells, click.echo))
    nights = trends.read(file)
    for line in trends.alerts(nights):
        click.echo(f"SLOWER {line}")
    click.echo(f"{len(nights)} nights in {file}")
