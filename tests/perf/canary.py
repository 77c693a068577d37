"""Whether `compare` tells what it should on this machine: HEAD against itself, or against a copy with a slower kernel.

    python -m tests.perf.canary --times 20           nothing differs: REGRESSED must never be said
    python -m tests.perf.canary --times 5 --slow 15  each step forward of PyTorch's loop waits for 15 % of its time:
                                                     its cells must be REGRESSED, and the others must not

What is planted is time alone: an operation more would be found by a gate, without a clock.

Prints a line a comparison, then how often each cell got each verdict; `--append results/published/checks/canary.jsonl`
puts that where `speed --draw --results results/published` finds it. Takes as long as that many comparisons.
Exit code 1 where a cell that is equal was REGRESSED, or one that is slower was not.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from suite import clock, facts
from suite.options import examples
from suite.perf import tree
from suite.perf.compare import compare, plan_cells
from suite.perf.compare_command import pairs as pairs_of
from suite.perf.compare_command import seconds
from suite.perf.outcome import Settings

KERNEL = Path("backends") / "pytorch" / "scan.py"
STEP = "        new = step(p, a[t], state)\n"
LATER = """        start = time.perf_counter()
        new = step(p, a[t], state)
        end = time.perf_counter()
        while time.perf_counter() < end + {share} * (end - start):
            pass
"""


@click.command(epilog=examples("python -m tests.perf.canary --times 20", "python -m tests.perf.canary --slow 15"))
@click.option("--times", default=1, show_default=True, help="How many comparisons.")
@click.option("--slow", type=click.IntRange(min=1), help="Per cent that a step of PyTorch's eager loop waits after it.")
@click.option("--cells", "plan", default="smoke", show_default=True)
@click.option("--backend", "backends", multiple=True, help="Only cells of this backend; may be repeated.")
@click.option("--arch", "archs", multiple=True, help="Only cells of this architecture; may be repeated.")
@click.option("--pairs", callback=pairs_of, default="6..12", show_default=True)
@click.option("--min-effect", default=0.02, show_default=True)
@click.option("--budget", callback=seconds, default="15m", show_default=True, help="Of each comparison.")
@click.option("--loud", is_flag=True, help="Show every pair.")
@click.option("--append", type=click.Path(dir_okay=False, path_type=Path), help="Add what was found to this file.")
def main(
    times: int,
    slow: int | None,
    plan: str,
    backends: tuple[str, ...],
    archs: tuple[str, ...],
    pairs: tuple[int, ...],
    min_effect: float,
    budget: float,
    loud: bool,
    append: Path | None,
) -> None:
    """Compare this checkout with itself, or with a slower copy, and count the verdicts."""
    settings = Settings(pairs, min_effect, budget)
    if append:
        append.parent.mkdir(parents=True, exist_ok=True)  # before the hours that measuring takes
    say = (lambda line: click.echo(line, err=True)) if loud else lambda line: None
    base = tree.find(".", "BASE")
    counted: dict[str, Counter[str]] = {}
    codes: Counter[int] = Counter()
    minutes: list[float] = []
    ratios: dict[str, list[float]] = {}
    with slower(base.path, slow) if slow else contextlib.nullcontext(base.path) as folder:
        head = tree.find(str(folder), "HEAD")
        cells = [
            cell
            for cell in plan_cells(plan, base, head)
            if cell.backend in (backends or cell.backend) and cell.arch in (archs or cell.arch)
        ]
        for number in range(times):
            found = compare(base, head, cells, settings, say)
            codes[found.exit_code()] += 1
            minutes.append(found.took_s / 60)
            for row in (*found.rows, *((found.canary,) if found.canary else ())):
                name = "BASE against itself" if row is found.canary else row.cell.name
                counted.setdefault(name, Counter())[row.outcome] += 1
                ratios.setdefault(name, []).extend(round(look.ratio.value, 4) for look in row.looks[-1:])
            told = " ".join(f"{row.looks[-1].ratio.value:.3f}" if row.looks else row.outcome for row in found.rows)
            click.echo(f"{number + 1} of {times}: exit code {found.exit_code()}, {found.took_s / 60:.1f} min: {told}")
    click.echo(f"exit codes: {', '.join(f'{code} {n} times' for code, n in sorted(codes.items()))}")
    for name, verdicts in counted.items():
        click.echo(f"{name}: {', '.join(f'{verdict} {n}' for verdict, n in verdicts.most_common())}")
    if append:
        about = {"at": clock.stamp(), "revision": facts.revision()["git"], "cpu": facts.machine()["cpu"]}
        asked = {"slow": slow, "pairs": pairs, "min_effect": min_effect, "minutes": minutes}
        with append.open("a", encoding="utf-8") as file:
            file.write(json.dumps(about | asked | {"codes": codes, "cells": counted, "ratios": ratios}) + "\n")
    planted = {cell.name for cell in cells if slow and (cell.backend, cell.impl) == ("pytorch", "scan")}
    wrong = [n for n, seen in counted.items() if seen["REGRESSED"] != (times if n in planted else 0)]
    sys.exit(bool(wrong))


@contextlib.contextmanager
def slower(checkout: Path, percent: int) -> Iterator[Path]:
    """A copy of a checkout whose PyTorch loop waits after each step forward for so much of that step's time."""
    with tempfile.TemporaryDirectory(prefix="recurbench-") as scratch:
        copy = Path(scratch) / "slower"
        for name in ("suite", "tasks", "backends"):
            shutil.copytree(checkout / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / KERNEL).read_text(encoding="utf-8")
        if STEP not in text:
            raise RuntimeError(f"{KERNEL} has no line {STEP.strip()!r} to plant a slower one behind")
        text = text.replace("import torch\n", "import time\n\nimport torch\n", 1)
        (copy / KERNEL).write_text(text.replace(STEP, LATER.format(share=percent / 100)), encoding="utf-8")
        yield copy


if __name__ == "__main__":
    main()
