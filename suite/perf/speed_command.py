"""The command `speed`: measure groups that have no file yet, and draw what there is."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from suite import registry
from suite.options import RESULTS, examples, several
from suite.perf import speed as speeds
from suite.perf.driver import ProbeFailed
from suite.perf.shapes import shape, shapes

BACKENDS = ("pytorch", "tensorflow", "jax")


@click.command(
    epilog=examples(
        "python -m suite speed --results results",
        "python -m suite speed --shape small --arch gru --backend jax --sets 2",
        "python -m suite speed --shape braun --arch lstm --subject forward --threads 1",
        "python -m suite speed --draw",
        "python -m suite speed --fill README.md --results results/published",
    )
)
@several("shape", "Only this shape")
@several("arch", "Only this architecture")
@several("subject", "Only this subject, of step, gradients, forward, latency, stream and decode")
@several("backend", "Only this backend")
@several("impl", "Only this implementation")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Of each process.")
@click.option("--sets", type=click.IntRange(min=2), help="Of fresh processes, instead of the shape's.")
@click.option("--rounds", type=click.IntRange(min=1), help="In each set, instead of the shape's.")
@click.option("--peers/--no-peers", default=True, help="Other people's layers beside ours, where they are installed.")
@click.option("--slow", is_flag=True, help="Also what takes minutes to compile.")
@click.option("--again", is_flag=True, help="Measure also what has been measured before.")
@click.option("--draw", is_flag=True, help="Measure nothing: draw what there is.")
@click.option(
    "--fill",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing: put a GRU's table between the marks of this Markdown page.",
)
@RESULTS
@click.pass_context
def speed(
    ctx: click.Context,
    /,
    shapes: tuple[str, ...],
    archs: tuple[str, ...],
    subjects: tuple[str, ...],
    backends: tuple[str, ...],
    impls: tuple[str, ...],
    threads: int,
    sets: int | None,
    rounds: int | None,
    peers: bool,
    slow: bool,
    again: bool,
    draw: bool,
    fill: Path | None,
    results: Path,
) -> None:
    """Time every implementation in turn with the others, beside its matrix products alone.

    What has a file in <results>/speed is not measured again. Leave the machine alone meanwhile. Exit code 1 if a
    candidate failed, or could not be believed: its group has no file then.
    """
    from suite.report import kernels, speed_page, summary

    if fill:
        summary.fill(fill, kernels.short(kernels.read(results)), "speed")
        return
    failed = False
    groups = [] if draw else _groups(shapes, archs, subjects, backends, impls, threads, peers)
    for k, group in enumerate(groups):
        if not again and speeds.file(results, group.shape.name, group.arch, group.subject).exists():
            continue
        say = functools.partial(_say, f"[{k + 1}/{len(groups)}]")
        try:
            speeds.measure(group, results, say, sets or group.shape.sets, rounds or group.shape.rounds, slow)
        except (ProbeFailed, RuntimeError) as reason:
            failed = True
            say(f"FAILED: {reason}")
    if draw or not failed or list((results / "speed").glob("*.json")):
        for path in speed_page.write(results, results / "speed" / "report"):
            click.echo(path)
    ctx.exit(1 if failed else 0)


def _say(where: str, line: str) -> None:
    click.echo(f"{where} {line}", err=True)


def _groups(
    names: tuple[str, ...],
    archs: tuple[str, ...],
    subjects: tuple[str, ...],
    backends: tuple[str, ...],
    impls: tuple[str, ...],
    threads: int,
    peers: bool,
) -> list[speeds.Group]:
    """What was asked for. ValueError for a name that is not known."""
    for name in backends:
        registry.backend(name)
    return [
        speeds.group(
            name,
            arch,
            subject,
            backends or BACKENDS,
            impls or asked.impls,
            asked.peers if peers and not backends else (),
            threads,
        )
        for name, asked in ((name, shape(name)) for name in names or shapes())
        for arch in archs or asked.archs
        for subject in subjects or (*asked.subjects, *asked.more.get(arch, ()))
    ]
