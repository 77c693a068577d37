"""What commands share: one line for a refusal, their examples, and the options that several of them have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from suite import registry
from suite.run import TIMEOUT_S

F = TypeVar("F", bound=Callable[..., Any])


class Suite(click.Group):
    """A group that answers a wrong name with the nearest right one, and any refusal with one line."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command called ``args[0]``."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise registry.unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run; ValueError is what plans, names, options, data and records refuse with."""
        try:
            return super().invoke(ctx)
        except ValueError as error:
            if ctx.invoked_subcommand == "worker":  # a fault in a cell, whose whole traceback belongs in its log
                raise
            click.echo(f"recurbench: {error}", err=True)
            ctx.exit(2)


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def several(name: str, what: str) -> Callable[[F], F]:
    """An option that may be repeated; its values arrive as ``names``."""
    return click.option(f"--{name}", f"{name}s", multiple=True, metavar="NAME", help=f"{what}; may be repeated.")


FOLDER: dict[str, Any] = {"type": click.Path(path_type=Path), "default": Path("results"), "show_default": True}
RESULTS = click.option("--results", help="Where records are.", **FOLDER)
DEVICE = click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Instead of the cpu, or of the plan's.")
URI = click.option(
    "--tracking-uri", metavar="URI", help="MLflow server or store; default <results>/mlflow.db; 'none' switches it off."
)
TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT_S,
    show_default=True,
    help="Seconds a cell.",
)
