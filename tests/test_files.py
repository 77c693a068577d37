"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suite import files


def test_whole_or_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def write_half() -> None:
        with files.whole(path) as part:
            part.write_text("half of it")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc says what a descriptor is of")
def test_it_is_on_the_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    did = []
    replace = Path.replace

    def replaced(self: Path, target: Any) -> Path:
        did.append(f"replace {Path(target).name}")
        return replace(self, target)

    monkeypatch.setattr(files.os, "fsync", lambda fd: did.append(Path(f"/proc/self/fd/{fd}").readlink().name))
    monkeypatch.setattr(Path, "replace", replaced)
    with files.whole(tmp_path / "x") as part:
        part.write_text("all of it")
    assert did == ["x.part", "replace x", tmp_path.name]


def test_damaged_files_keep_out_of_each_others_way(tmp_path: Path) -> None:
    names = []
    for content in ("first", "second"):
        (tmp_path / "x").write_text(content)
        names.append(files.set_aside(tmp_path / "x").name)
    assert names == ["x.damaged", "x.damaged1"]
    (tmp_path / "x.damaged").unlink()
    (tmp_path / "x").write_text("third")
    assert files.set_aside(tmp_path / "x").name == "x.damaged"
    assert (tmp_path / "x.damaged1").read_text() == "second"
