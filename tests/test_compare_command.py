"""`compare` as a command: what it refuses before it measures, what it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from suite import cli
from suite.perf import compare as comparing
from suite.perf.outcome import Settings
from tests.comparing import CELLS, World, slow


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "BASE: 'nowhere' is no checkout of the suite and no git ref here"),
        ([".", "tests/"], "is no checkout of the suite: it has no suite/cell.py"),
        ([".", ".", "--pairs", "3"], "pairs are 3; give 6..12 or one number, at least 5"),
        ([".", ".", "--pairs", "many"], "'many' is no number of pairs; give 6..12, or one number"),
        ([".", ".", "--budget", "soon"], "'soon' is no time; give 90s, 15m or 2h"),
        ([".", ".", "--min-effect", "2"], "the least effect is 2.0"),
        ([".", ".", "--json", "nowhere/x.json"], "compare: nowhere/x.json cannot be written: there is no folder"),
        ([".", ".", "--base-python", "nowhere"], "File 'nowhere' does not exist"),
    ],
)
def test_usage_is_exit_code_2(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    done = CliRunner().invoke(cli.main, ["compare", *arguments])
    assert done.exit_code == 2
    assert message in done.output


def test_the_command_writes_what_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    found = World(slow("lstm", 1.10)).compare()
    asked: list[Any] = []
    monkeypatch.setattr(comparing, "plan_cells", lambda plan, base, head: asked.append(plan) or CELLS)
    monkeypatch.setattr(comparing, "compare", lambda *arguments: asked.append(arguments[3]) or found)
    markdown, out = tmp_path / "summary.md", tmp_path / "compare.json"
    markdown.write_text("before\n")
    options = ["--pairs", "8", "--budget", "90s", "--min-effect", "0.05", "--exact", "--tracking-uri", "none"]
    options += ["--intended", "flops"]
    files = ["--markdown", str(markdown), "--json", str(out)]
    done = CliRunner().invoke(cli.main, ["compare", ".", *options, *files])
    assert done.exit_code == 1
    assert asked == ["smoke", Settings((8,), 0.05, 90.0, True, ("flops",))]
    assert markdown.read_text().startswith("before\n### compare: HEAD ")
    assert json.loads(out.read_text())["exit_code"] == 1


@pytest.mark.parametrize(
    ("between", "ratio", "options", "code"),
    [(0.005, 1.0, [], 0), (0.01, 1.02, [], 0), (0.01, 1.02, ["--strict"], 3), (0.3, 1.5, ["--strict"], 4)],
    ids=["as fast", "inconclusive", "inconclusive and strict", "too noisy"],
)
def test_the_command_ends_as_what_was_found(
    between: float, ratio: float, options: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    found = World(slow("gru", ratio), between=between).compare()
    monkeypatch.setattr(comparing, "plan_cells", lambda *_: CELLS)
    monkeypatch.setattr(comparing, "compare", lambda *_: found)
    done = CliRunner().invoke(cli.main, ["compare", ".", *options, "--tracking-uri", "none"])
    assert (done.exit_code, f"(exit code {code})" in done.output) == (code, True)
