"""Checkouts to compare, in a repository of three commits: folders, refs, worktrees that are used again, refusals."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from suite.perf import tree
from suite.perf.tree import KEPT, PLACE, find

IDENTITY = ["-c", "user.name=n", "-c", "user.email=e@example.org"]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path, text: str) -> str:
    """Another version of the suite."""
    (folder / "suite").mkdir(exist_ok=True)
    (folder / "suite" / "cell.py").write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text(".suite/\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "no suite yet")
    git(folder, "tag", "empty")
    commit(folder, "old")
    git(folder, "tag", "v1")
    commit(folder, "new")
    return folder


def test_a_folder_is_taken_as_it_is(repository: Path) -> None:
    clean = find(".", "HEAD", repository)
    assert clean.path == repository
    assert clean.revision == git(repository, "rev-parse", "HEAD")[:12]
    (repository / "suite" / "cell.py").write_text("changed")
    assert find(str(repository), "HEAD", repository.parent).revision == clean.revision + "+"


def test_a_folder_without_a_repository_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "copy" / "suite").mkdir(parents=True)
    (tmp_path / "copy" / "suite" / "cell.py").write_text("")
    found = find("copy", "BASE", tmp_path)
    assert (found.path, str(found)) == (tmp_path / "copy", "copy")


def test_a_ref_gets_a_worktree_which_is_used_again(repository: Path) -> None:
    found = find("v1", "BASE", repository / "suite")  # from a folder inside as well
    sha = git(repository, "rev-parse", "v1")
    assert found.path == repository / PLACE / sha
    assert (found.path / "suite" / "cell.py").read_text() == "old"
    assert str(found) == f"v1 ({sha[:12]})"
    before = (found.path / ".git").stat().st_ino
    assert find(sha[:10], "BASE", repository).path == found.path
    assert (found.path / ".git").stat().st_ino == before
    assert find(".", "HEAD", repository).revision[-1] != "+"  # worktrees are no change of the checkout


def test_a_worktree_removed_by_hand_is_made_anew(repository: Path) -> None:
    path = find("v1", "BASE", repository).path
    subprocess.run(["rm", "-r", str(path)], check=True)
    assert (find("v1", "BASE", repository).path / "suite" / "cell.py").read_text() == "old"


def test_a_worktree_that_somebody_changed_is_refused(repository: Path) -> None:
    path = find("v1", "BASE", repository).path
    (path / "suite" / "cell.py").write_text("edited")
    with pytest.raises(ValueError, match=r"is not \w{12} any more; remove it: git worktree remove --force"):
        find("v1", "BASE", repository)


def test_only_the_last_used_are_kept(repository: Path) -> None:
    first = find("v1", "BASE", repository).path
    made = [find(commit(repository, f"version {k}"), "BASE", repository).path for k in range(KEPT)]
    assert not first.exists()
    assert all(path.exists() for path in made)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "BASE: 'nowhere' is no checkout of the suite and no git ref here; name a branch"),
        ("--help", "'--help' is no checkout of the suite and no git ref"),
        ("HEAD:suite", "'HEAD:suite' is no checkout of the suite and no git ref"),
        ("empty", r"BASE: empty \(\w{12}\) is no checkout of the suite"),
        ("suite/", "is no checkout of the suite: it has no suite/cell.py"),
    ],
)
def test_what_is_refused(name: str, message: str, repository: Path) -> None:
    with pytest.raises(ValueError, match=message):
        find(name, "BASE", repository)


def test_without_a_repository(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"HEAD: .* is in no git repository, and 'main' is no checkout; give a folder"):
        find("main", "HEAD", tmp_path)


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="BASE: git is not installed, and 'v1' is no checkout; give a folder"):
        find("v1", "BASE", repository)
    assert find(".", "HEAD", repository).revision == ""
