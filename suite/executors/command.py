"""What engines for many machines run: ``python -m suite cell`` on one job, and the files that go with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from suite import checkpoint
from suite.executors import FILES, Job
from suite.files import whole

SENT = (checkpoint.NAME, "metrics.jsonl")  # to where a cut-off cell goes on
RETURNED = (*FILES, checkpoint.NAME, "result.json")
Files = dict[str, bytes]


def spec(job: Job) -> str:
    """The JSON that ``suite cell`` reads."""
    return json.dumps(
        {
            "cell": job.cell.as_json(),
            "plan": job.plan,
            "facts": {"converged": job.converged} | ({"packed": True} if job.packed else {}),
        }
    )


def command(job: Job, path: Path, out: Path) -> list[str]:
    """The command that runs the job whose spec is at ``path``."""
    limits = ["--end-with-parent", "--timeout", str(job.timeout_s), "--checkpoint", str(job.checkpoint_s)]
    limits += ["--memory", str(job.memory_bytes)] if job.memory_bytes else []
    limits += ["--resume"] if job.resume else []
    return [sys.executable, "-m", "suite", "cell", str(path), "--out", str(out), *limits]


def elsewhere(text: str, arguments: list[str], files: Files) -> tuple[int, str, Files]:
    """Run a command of `command` in a scratch folder that holds ``files``: its exit code, last words, and its files.

    In ``arguments`` the words SPEC and OUT stand for paths on the machine where this runs.
    """
    with TemporaryDirectory(prefix="recurbench-") as scratch:
        path, out = Path(scratch) / "spec.json", Path(scratch) / "cell"
        out.mkdir()
        path.write_text(text, encoding="utf-8")
        for name, content in files.items():
            (out / name).write_bytes(content)
        words = [sys.executable, *({"SPEC": str(path), "OUT": str(out)}.get(word, word) for word in arguments[1:])]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        left = {name: (out / name).read_bytes() for name in RETURNED if (out / name).exists()}
        return done.returncode, done.stderr.strip()[-2000:], left


def bring(files: Files, folder: Path) -> None:
    """Write what came back, and remove what did not; the record last, for with it a cell has ended."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in RETURNED:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
        else:
            with whole(folder / name) as part:
                part.write_bytes(files[name])
