"""What commands share: one line for a refusal, their examples, and the options that several of them have."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ByteSize, TypeAdapter, ValidationError

from suite import registry
from suite.checkpoint import CHECKPOINT_S
from suite.executors import TIMEOUT_S

F = TypeVar("F", bound=Callable[..., Any])


class Suite(click.Group):
    """A group that answers a wrong name with the nearest right one, and any refusal with one line."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command called ``args[0]``."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise registry.unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run. ValueError is what plans, names, options, data and records refuse with, OSError a disk or a network.

        Ctrl-C is exit code 130, as a shell has it.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)
        except (ValueError, OSError) as error:
            if ctx.invoked_subcommand == "worker":  # a fault in a cell, whose whole traceback belongs in its log
                raise
            if isinstance(error, OSError) and error.errno == errno.EPIPE:  # whoever reads has gone
                raise
            click.echo(f"recurbench: {_line(error)}", err=True)
            ctx.exit(2)


def _line(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


class Seconds(click.FloatRange):
    """A duration; infinite means no limit, and NaN means nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number of seconds."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return seconds


class Size(click.ParamType[int]):
    """Bytes, as "500MB" or "4GiB"."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes, at least one."""
        try:
            size = int(TypeAdapter(ByteSize).validate_python(value))
        except ValidationError:
            size = 0
        if size < 1:
            self.fail(f"{value!r} is no size; write a number of bytes, or as 500MB or 4GiB", param, ctx)
        return size


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
MEMORY = click.option(
    "--memory", type=Size(), help="What a cell may hold, such as 4GiB; implies --isolate. Default: what there is."
)
CHECKPOINT = click.option(
    "--checkpoint",
    type=Seconds(min=0),
    default=CHECKPOINT_S,
    show_default=True,
    help="Seconds between two checkpoints of a cell, from which --resume goes on.",
)
TIMEOUT = click.option(
    "--timeout",
    type=Seconds(min=0, min_open=True),
    default=TIMEOUT_S,
    show_default=True,
    help="Seconds a cell.",
)
