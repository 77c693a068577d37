"""The workflows of .github: they are YAML, their scripts are scripts, and perf.yml ends as `compare` does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed: recurbench[test]")
FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PYTHON = """#!/bin/sh
echo "$@" >> "$SAID"
echo '{"outcome": "'$OUTCOME'"}' > compare.json
echo "$SAYS"
exit $CODE
"""
GIT = """#!/bin/sh
case "$1" in
  merge-base) echo 0123abc ;;
  diff) exit $DIFFERS ;;
  *) echo "git $@" >> "$SAID"; mkdir -p ../base/.venv/bin; cp "$PIP" ../base/.venv/bin/pip ;;
esac
"""


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_script_of_a_workflow_is_one(path: Path) -> None:
    scripts = [step["run"] for step in steps(path) if "run" in step]
    assert scripts
    for script in scripts:
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, f"{script}\n{done.stderr}"


def ran(tmp_path: Path, what: str, **given: str) -> tuple[int, str, list[str]]:
    """Exit code, output and commands of perf.yml's script with ``what`` in it; git, pip and Python are stand-ins."""
    (script,) = (step["run"] for step in steps(FOLDER / "perf.yml") if what in step.get("run", ""))
    (tmp_path / "bin").mkdir()
    for name, text in (("python", PYTHON), ("git", GIT), ("pip", PYTHON)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "here").mkdir()
    said = tmp_path / "said"
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SAID": str(said), "PIP": str(tmp_path / "bin" / "pip")}
    env |= {"TARGET": "origin/main", "GITHUB_STEP_SUMMARY": "summary.md", "LABELS": "", "DIFFERS": "0"}
    env |= {"CODE": "0", "OUTCOME": "OK", "SAYS": ""} | given
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]  # as GitHub runs it
    done = subprocess.run(command, cwd=tmp_path / "here", env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, said.read_text().splitlines()


def compared(tmp_path: Path, **given: str) -> tuple[int, str, list[str]]:
    return ran(tmp_path, "suite compare", **given)


@pytest.mark.parametrize(("code", "ends"), [("0", 0), ("1", 1), ("2", 2), ("4", 0), ("5", 5)])
def test_a_pull_request_fails_as_compare_does_but_for_noise(code: str, ends: int, tmp_path: Path) -> None:
    got, output, (line,) = compared(tmp_path, CODE=code)
    assert got == ends, output
    assert ("::warning::the runner was too noisy" in output) == (code == "4")
    assert line.startswith("-m suite compare 0123abc . --budget 30m --tracking-uri none --markdown summary.md")


def test_labels_say_what_is_intended(tmp_path: Path) -> None:
    _, _, (line,) = compared(tmp_path, LABELS="bug intended-losses intended-flops")
    assert "none --intended losses --intended flops --markdown" in line


def test_what_is_inconclusive_is_warned_of(tmp_path: Path) -> None:
    got, output, _ = compared(tmp_path, OUTCOME="INCONCLUSIVE")
    assert (got, "::warning::some cells are inconclusive" in output) == (0, True)


def test_a_change_of_what_is_installed_gives_base_its_own(tmp_path: Path) -> None:
    got, output, said = compared(tmp_path, DIFFERS="1")
    assert got == 0, output
    assert said[0] == "git worktree add ../base 0123abc"
    assert said[1:3] == ["-m venv ../base/.venv", "install -q -c ../base/constraints.txt -e ../base[all]"]
    assert "--base-python ../base/.venv/bin/python --markdown" in said[3]


@pytest.mark.parametrize(
    ("says", "shown"),
    [
        ("SLOWER jax/gru: 3 times", "::warning::slower: jax/gru: 3 times"),
        ("LEFT OUT jax/gru: it ended", "::warning::left out: jax/gru: it ended"),
        ("jax/gru: 20 ms", "jax/gru: 20 ms"),
    ],
)
def test_a_night_warns_of_what_is_slower_or_left_out(says: str, shown: str, tmp_path: Path) -> None:
    got, output, said = ran(tmp_path, "suite trend", SAYS=says)
    assert (got, output, said) == (0, f"{shown}\n", ["-m suite trend trend.jsonl"])


def test_a_night_without_any_cell_fails(tmp_path: Path) -> None:
    assert ran(tmp_path, "suite trend", CODE="2")[0] == 2
