"""Checkouts to compare: a folder as it is, or a git ref in a worktree of its own.

    <repository>/.suite/worktrees/<commit>      made when asked for, used again while it is clean; the `KEPT` last used
                                                stay, older ones are removed

Nothing is installed: both sides run in the environment of this process, each with its own code first on the path; BASE
may have another one, whose Python is named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PLACE = Path(".suite") / "worktrees"
KEPT = 4


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout.

    name       what was asked for
    revision   its commit, with "+" where the files differ from it
    python     what runs it
    """

    name: str
    path: Path
    revision: str
    python: Path = Path(sys.executable)

    def __str__(self) -> str:
        by = "" if self.python == Path(sys.executable) else f" by {self.python}"
        return (f"{self.name} ({self.revision})" if self.revision else self.name) + by


def find(name: str, side: str, here: Path | None = None) -> Tree:
    """The checkout that ``name`` means, seen from ``here`` (None: the current folder); ``side`` is BASE or HEAD.

    ValueError, in one line, for a folder that is no checkout of the suite, a name that is no ref, and where there is no
    git or no repository to look in.
    """
    here = here or Path.cwd()
    folder = (here / name).resolve()
    if _is_suite(folder):
        return Tree(name, folder, _revision(folder))
    if folder.is_dir() and ("/" in name or name in (".", "..")):
        raise ValueError(f"{side}: {folder} is no checkout of the suite: it has no suite/cell.py")
    if shutil.which("git") is None:
        raise ValueError(f"{side}: git is not installed, and {name!r} is no checkout; give a folder")
    top = _git(here, "rev-parse", "--show-toplevel")
    if top is None:
        raise ValueError(f"{side}: {here} is in no git repository, and {name!r} is no checkout; give a folder")
    commit = _git(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if commit is None:
        raise ValueError(
            f"{side}: {name!r} is no checkout of the suite and no git ref here; name a branch, a tag or a commit "
            "(a shallow clone lacks most of them: git fetch --unshallow)"
        )
    path = _worktree(Path(top), commit)
    if not _is_suite(path):
        raise ValueError(f"{side}: {name} ({commit[:12]}) is no checkout of the suite: it has no suite/cell.py")
    return Tree(name, path, commit[:12])


def _worktree(top: Path, commit: str) -> Path:
    path = top / PLACE / commit
    _git(top, "worktree", "prune")  # what somebody has removed by hand
    if path.is_dir():
        if _git(path, "rev-parse", "HEAD") != commit or _git(path, "status", "--porcelain") != "":
            raise ValueError(f"{path} is not {commit[:12]} any more; remove it: git worktree remove --force {path}")
    else:
        made = _run(top, "worktree", "add", "--quiet", "--detach", str(path), commit)
        if made.returncode:
            raise ValueError(f"git worktree add {path}: {(made.stderr.strip().splitlines() or ['it failed'])[-1]}")
    os.utime(path)
    for old in sorted(path.parent.iterdir(), key=lambda p: -p.stat().st_mtime)[KEPT:]:
        _git(top, "worktree", "remove", str(old))  # git keeps one with changes
    return path


def _is_suite(folder: Path) -> bool:
    return (folder / "suite" / "cell.py").is_file()


def _revision(folder: Path) -> str:
    """The commit of a folder; "" where there is none."""
    commit = _git(folder, "rev-parse", "HEAD") if shutil.which("git") else None
    return "" if commit is None else commit[:12] + ("+" if _git(folder, "status", "--porcelain") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it refuses."""
    done = _run(folder, *arguments)
    return done.stdout.strip() if done.returncode == 0 else None


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
