"""The command line: exit codes, the nearest right name, help with examples, and nothing heavy imported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner, Result

from suite import cli, exam, record
from suite.record import Record, read_all
from tests.probes import ROOT, environment, suite, tiny

COMMANDS = sorted(cli.main.commands)
HEAVY = ("torch", "jax", "tensorflow", "keras", "mlflow")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_shows_examples_that_parse(command: str) -> None:
    text = invoke(command, "--help").output
    examples = re.findall(r"python -m suite (\S+)(.*)", text.split("Examples:")[1])
    assert examples
    assert {name for name, _ in examples} == {command}
    for _, rest in examples:
        words = re.sub(r"[|<>].*", "", rest).split()
        params = cli.main.commands[command].params
        known = {o for p in params for o in p.opts}
        assert {w for w in words if w.startswith("--")} <= known, rest


def test_every_command_has_one_line_in_the_overview() -> None:
    overview = invoke("--help").output
    assert all(re.search(rf"^  {c} +\S", overview, re.MULTILINE) for c in COMMANDS)
    assert invoke("--version").output.startswith("recurbench, version ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum"], "command 'rum' is not known; did you mean 'run'?"),
        (["list", "plan"], "list 'plan' is not known; did you mean 'plans'?"),
        (["run", "quik"], "plan 'quik' is not known; did you mean 'quick'?"),
        (["run", "quick", "--backend", "pytorh"], "--backend: backend 'pytorh' is not known; did you mean 'pytorch'?"),
        (["run", "quick", "--arch", "gruu"], "--arch: arch 'gruu' is not known; did you mean 'gru'?"),
        (["run", "quick", "--task", "hmm"], "task of plan quick 'hmm' is not known; did you mean 'hmm_tag'?"),
        (["run", "quick", "--impl", "scam"], "--impl: impl 'scam' is not known; did you mean 'scan'?"),
        (["run", "none.toml"], "plan: there is no file none.toml"),
        (["check", "--backend", "jex"], "backend 'jex' is not known; did you mean 'jax'?"),
        (["check", "--arch", "lstmm"], "architecture 'lstmm' is not known; did you mean 'lstm'?"),
        (["report", "--results", "nowhere"], "report: no record below nowhere; run a plan first"),
        (["cell", "pyproject.toml", "--out", "x"], "pyproject.toml: not a cell: "),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith(f"recurbench: {message}")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["run", "--seeds", "0"], ["run", "--timeout", "0"], ["run", "--precision", "float16"], ["cell", "nofile"]],
)
def test_a_value_that_cannot_be_is_exit_code_2(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("backends", r"^jax +(installed|not installed: pip install 'recurbench\[jax\]')$"),
        ("backends", r"^  no \*/stock: NumPy ships no recurrent layer$"),
        ("architectures", r"^gru +Cho et al\. 2014"),
        ("implementations", r"^scan +a loop over time .*\(reference, pytorch, tensorflow, jax\)$"),
        ("tasks", r"^copy_memory +Show some symbols"),
        ("plans", r"^quick +27 cells  \S"),
    ],
)
def test_lists(what: str, line: str) -> None:
    result = invoke("list", what)
    assert result.exit_code == 0
    assert re.search(line, result.output, re.MULTILINE)


def test_a_backend_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.registry, "installed", lambda module: False)
    assert "jax             not installed: pip install 'recurbench[jax]'" in invoke("list", "backends").output


@pytest.mark.parametrize("arguments", ["--help", "list backends", "list tasks", "list plans", "env", "cell --help"])
def test_nothing_heavy_is_imported(arguments: str) -> None:
    """The exit handler reports what was imported, on standard error."""
    code = (
        "import atexit, sys, runpy;"
        f"atexit.register(lambda: sys.stderr.write('HEAVY ' + ' '.join(m for m in {HEAVY} if m in sys.modules)));"
        f"sys.argv = ['suite', *{arguments.split()}];"
        "runpy.run_module('suite', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("HEAVY ")


def test_run_prints_the_table_and_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        'name="p"\ntitle="t"\ndescription="d"\nconverged=false\n[[grid]]\ntask="probe"\narch="rnn"\n'
        'backend="reference"\nbatch=3\nsteps=3\nimpl=["scan","stock"]\n'
    )
    done = suite("run", "p.toml", "--precision", "float64", "--tracking-uri", "none", "--results", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 cells to run" in done.stderr
    assert "[2/2] reference-stock/rnn/probe/s0  unsupported: NumPy ships no recurrent layer" in done.stderr
    assert "rnn reference scan" in done.stdout
    assert done.stdout.endswith("report:    python -m suite report --results r --plan p\n")
    assert {r.outcome for r in read_all(tmp_path / "r")} == {"ok", "unsupported"}
    done = suite("run", "p.toml", "--tracking-uri", "none", "--results", "r", cwd=tmp_path)
    assert done.returncode == 0  # float32 on the reference: unsupported, which is an answer


def test_check_hands_over_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def run_check(**arguments: object) -> int:
        asked.update(arguments)
        return 1

    monkeypatch.setattr(exam, "run_check", run_check)
    assert invoke("check", "--backend", "jax", "--arch", "gru", "--precision", "float64", "--slow").exit_code == 1
    assert asked == {
        "backends": ("jax",),
        "archs": ("gru",),
        "impls": (),
        "precisions": ("float64",),
        "slow": True,
        "json_path": None,
        "echo": click.echo,
        "device": "cpu",
        "cases": (),
    }


def test_sync_and_ui_hand_over_to_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = ModuleType("suite.sinks.mlflow")
    fake.sync = lambda results, uri: 3 if (results, uri) == (tmp_path, "http://x") else 0  # type: ignore[attr-defined]
    fake.ui_command = lambda results: ["mlflow", "ui", str(results)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "suite.sinks.mlflow", fake)
    monkeypatch.setattr("suite.sinks.mlflow", fake, raising=False)
    nothing = invoke("sync", "--results", str(tmp_path), "--tracking-uri", "http://x")
    assert (nothing.exit_code, nothing.output) == (2, f"recurbench: sync: no record below {tmp_path}\n")
    record.write(Record("quick", tiny(), "ok"), tmp_path / "quick" / "key")
    result = invoke("sync", "--results", str(tmp_path), "--tracking-uri", "http://x")
    assert result.output == "3 cells sent\n"
    ran: list[list[str]] = []
    monkeypatch.setattr(cli.os, "execvp", lambda file, command: ran.append(command))
    assert invoke("ui", "--results", str(tmp_path)).exit_code == 0
    assert ran == [["mlflow", "ui", str(tmp_path)]]


def test_env_is_json_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_TOKEN_registry", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = invoke("env")
    facts = json.loads(result.output)
    assert {"machine_id", "cpu", "cores", "versions", "git", "thread_pools", "environment"} <= set(facts)
    assert facts["environment"]["OMP_NUM_THREADS"] == "1"
    assert "secret" not in result.output


def test_report_names_what_it_wrote(tmp_path: Path) -> None:
    record.write(Record("p", tiny(), "unsupported", "because"), tmp_path / "p" / tiny().key)
    result = invoke("report", "--results", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "report" / "report.md") in result.output.splitlines()
    assert invoke("report", "--results", str(tmp_path), "--plan", "q").exit_code == 2


def test_a_plugin_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        'name="p"\ntitle="t"\ndescription="d"\nconverged=false\n[[grid]]\ntask="gone"\narch="rnn"\nbackend="reference"\n'
    )
    done = suite("run", "p.toml", cwd=tmp_path)
    why = (
        "plug-in 'gone' (recurbench_gone:Task) cannot be loaded: ModuleNotFoundError: No module named 'recurbench_gone'"
    )
    assert (done.returncode, done.stderr) == (2, f"recurbench: {why}\n")
    listed = suite("list", "tasks", cwd=tmp_path)
    assert f"gone            not available: {why}" in listed.stdout
    assert listed.returncode == 0
