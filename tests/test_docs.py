"""What the documents say can be typed and followed: commands parse, make targets exist, links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from suite.record import read_all
from suite.report import fill, kernels, perf_checks, speed_page
from suite.report.summary import fill as put

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("results/*.md")])
COMMAND = re.compile(r"(?:python -m suite|(?<![\w/.-])recurbench) +([^`\n#|]+)")


def code(text: str) -> str:
    """The fenced blocks and inline code of a document, joined by newlines, continued lines made one."""
    parts = re.split(r"^```.*$", text, flags=re.MULTILINE)  # prose, fenced, prose, ...
    inline = re.findall(r"`([^`\n]+)`", "\n".join(parts[::2]))
    return "\n".join(parts[1::2] + inline).replace("\\\n", " ")


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of every ``python -m suite ...`` in a document's code."""
    yield from (shlex.split(line) for line in COMMAND.findall(code(text)))


def parse(main: click.Command, args: list[str]) -> None:
    """Parse without running: click.UsageError where the command line would refuse it."""
    if isinstance(main, click.Group):
        with click.Context(main, info_name="suite") as context:
            name, command, rest = main.resolve_command(context, args)
            assert command is not None, f"no command {name}"
            command.make_context(name, rest, parent=context).close()
    else:
        main.make_context("suite", list(args)).close()


def broken_links(path: Path) -> Iterator[str]:
    """Every relative link of a document that leads nowhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file = target.split("#")[0]
        if file and "://" not in file and not file.startswith("mailto:") and not (path.parent / file).exists():
            yield f"{path.name}: {target} does not exist"


def make_targets(text: str) -> set[str]:
    """Every target of ``make x`` in a document's code."""
    return set(re.findall(r"(?:^|[ (&;])make ([a-z]+)", code(text), re.MULTILINE))


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_every_command_parses(path: Path) -> None:
    from suite.cli import main

    for args in commands(path.read_text(encoding="utf-8")):
        parse(main, args)


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_every_link_resolves(path: Path) -> None:
    assert list(broken_links(path)) == []


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert make_targets(path.read_text(encoding="utf-8")) <= targets


def python_blocks(text: str) -> list[str]:
    """The Python examples of a document."""
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("k", range(len(python_blocks((ROOT / "README.md").read_text(encoding="utf-8")))))
def test_every_python_example_of_the_readme_runs(k: int, tmp_path: Path) -> None:
    block = python_blocks((ROOT / "README.md").read_text(encoding="utf-8"))[k]
    if "import torch" in block and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip()


def test_the_table_of_the_readme_is_made_from_the_records(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    fill(page, ROOT / "results" / "published", "learn")
    command = "python -m suite report --results results/published --plan learn --fill README.md"
    assert page.read_text(encoding="utf-8") == text, f"say: {command}"


def test_the_table_of_the_results_is_made_from_the_records(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    fill(page, ROOT / "results" / "published", "zoo")
    command = "python -m suite report --results results/published --plan zoo --fill results/README.md"
    assert page.read_text(encoding="utf-8") == text, f"say: {command}"


def test_the_speeds_of_the_readme_and_of_the_report_are_those_that_were_measured(tmp_path: Path) -> None:
    groups = kernels.read(ROOT / "results" / "published")
    page, text = tmp_path / "README.md", (ROOT / "README.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    put(page, kernels.short(groups), "speed")
    command = "python -m suite speed --fill README.md --results results/published"
    assert page.read_text(encoding="utf-8") == text, f"say: {command}"
    told = (ROOT / "results" / "published" / "speed" / "report" / "speed.md").read_text(encoding="utf-8")
    wanted = speed_page.markdown(groups, perf_checks.read(ROOT / "results" / "published"))
    assert told == "\n".join([*wanted, ""]), f"say: {command.replace('fill README.md', 'draw')}"


def test_what_each_gate_buys_is_said_with_the_records_numbers() -> None:
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    said = text.split("<!-- gates:begin -->")[1].split("<!-- gates:end -->")[0]
    found: dict[tuple[str, str, int], list[float]] = {}
    for r in read_all(ROOT / "results" / "published" / "zoo"):
        found.setdefault((r.cell.task, r.cell.arch, r.cell.sizes.layers), []).append(r.scores["test"][r.metric])
    means = {key: sum(values) / len(values) for key, values in found.items()}
    errors = {f"{v:.4f}" for (task, _, _), v in means.items() if task == "adding"} | {"0.1667"}  # the floor
    shares = {f"{100 * (1 - v):.1f}" for (task, _, _), v in means.items() if task == "dyck_check"}
    assert set(re.findall(r"\d\.\d{4}", said)) <= errors
    assert set(re.findall(r"(\d\.\d)\s%", said)) <= shares
    for name, error in re.findall(r"\((\w+)(?:, identity)?\)[^.;%(]*?(\d\.\d{4})", said):
        assert error == f"{means['adding', name, 1]:.4f}", name


def test_the_readme_gives_the_two_commands_and_the_table() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"run", "test"} <= make_targets(text)
    assert text.index("<!-- table:begin -->") < text.index("<!-- table:end -->")
    assert list(commands(text))


@click.group()
def example() -> None:
    """A stand-in for the command line."""


@example.command()
@click.argument("plan")
@click.option("--seeds", type=int)
def run(**_: Any) -> None:
    raise AssertionError("parsing must not run the command")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```sh\npython -m suite walk quick\n```", "No such command"),
        ("`python -m suite run quick --sedes 3`", "No such option"),
        ("`recurbench run quick --seeds three`", "not a valid integer"),
        ("```\npython -m suite \\\n  run\n```", "Missing parameter"),
    ],
)
def test_a_wrong_command_is_found(text: str, message: str) -> None:
    (args,) = commands(text)
    with pytest.raises(click.UsageError, match=message):
        parse(example, args)


def test_a_right_command_passes() -> None:
    text = "```sh\npython -m suite run quick --seeds 3  # three of them\n```\nprose: python -m suite is not code"
    (args,) = commands(text)
    assert args == ["run", "quick", "--seeds", "3"]
    parse(example, args)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("[a](a.md) [up](https://example.org) [b](b.md#there)", encoding="utf-8")
    assert list(broken_links(path)) == ["a.md: b.md#there does not exist"]


def test_make_targets_are_read_from_code_alone() -> None:
    assert make_targets("we make no promise\n```sh\nmake run && make test ARGS=1\n```\n") == {"run", "test"}
