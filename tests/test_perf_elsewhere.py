"""The lines of CONTRIBUTING.md that compare another project's code: they run, and find what is slower."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# a clock that only work moves, so that no machine can disturb it
MINE = """
import time

now = 0.0
time.perf_counter = lambda: now


def work():
    global now
    now += {seconds}
"""


@pytest.mark.parametrize(
    ("new", "code", "said"), [(0.021, 1, "REGRESSED: 1.050 "), (0.02, 0, "OK: 1.000 "), (0.015, 0, "FASTER: 0.750 ")]
)
def test_it_finds_what_is_slower(new: float, code: int, said: str, tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(import json\n.*?)```", text, re.DOTALL)
    for name, seconds in (("old", 0.02), ("new", new)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(MINE.format(seconds=seconds))
    (tmp_path / "slower.py").write_text(script)
    command, variables = [sys.executable, "slower.py", "old", "new"], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stdout[: len(said)]) == (code, said), done.stderr
