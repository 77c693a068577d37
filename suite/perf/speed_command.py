"""The command `speed`: measure groups that have no file yet, and draw what there is."""

from __future__ import annotations

from pathlib import Path

import click

from suite import registry
from suite.options import RESULTS, examples, several
from suite.perf import speed as speeds
from suite.spec.contract import IMPLEMENTATIONS

BACKENDS = ("pytorch", "tensorflow", "jax")


@click.command(
    epilog=examples(
        "python -m suite speed",
        "python -m suite speed --shape small --arch gru --backend jax --sets 2",
        "python -m suite speed --shape braun --arch lstm --subject forward --threads 1",
    )
)
@several("shape", "Only this shape")
@several("arch", "Only this architecture")
@several("subject", "What is timed: step, forward, latency, stream or decode; step if none is given")
@several("backend", "Only this backend")
@several("impl", "Only this implementation")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Of each process.")
@click.option("--sets", type=click.IntRange(min=2), default=speeds.SETS, show_default=True, help="Of fresh processes.")
@click.option("--rounds", type=click.IntRange(min=1), default=speeds.ROUNDS, show_default=True, help="In each set.")
@click.option("--again", is_flag=True, help="Measure also what has been measured before.")
@RESULTS
def speed(
    shapes: tuple[str, ...],
    archs: tuple[str, ...],
    subjects: tuple[str, ...],
    backends: tuple[str, ...],
    impls: tuple[str, ...],
    threads: int,
    sets: int,
    rounds: int,
    again: bool,
    results: Path,
) -> None:
    """Time every implementation in turn with the others, beside the matrix products of a step alone.

    What has a file in <results>/speed is not measured again. Leave the machine alone meanwhile.
    """
    from suite.report import kernels

    groups = [
        speeds.group(shape, arch, subject, backends or BACKENDS, impls or IMPLEMENTATIONS, threads)
        for shape in shapes or speeds.shapes()
        for arch in archs or speeds.ARCHS
        for subject in subjects or ("step",)
    ]
    for name in (*backends, *BACKENDS):
        registry.backend(name)
    for k, group in enumerate(groups):
        if again or not (results / "speed" / f"{group.name}.json").exists():
            say = lambda line, k=k: click.echo(f"[{k + 1}/{len(groups)}] {line}", err=True)  # noqa: E731
            speeds.measure(group, results, say, sets, rounds)
    for path in kernels.write(results, results / "speed" / "report"):
        click.echo(path)
