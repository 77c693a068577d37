"""Pinned files: from a folder or by download, and one clear line for whatever can go wrong. No network is needed."""

from __future__ import annotations

import gc
import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from suite import registry
from tasks import data
from tasks.data import DataError, Source

CONTENT = b"word\tTAG\n" * 50
PATH = "data/words.conllu"

# pooch leaves the connection of a failed download to the garbage collector, which warns of it; see `toy`
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A set "toy" of one file, an empty cache, and nothing in the environment."""
    source = Source("owner/toy", "0" * 40, "none", {PATH: hashlib.sha256(CONTENT).hexdigest()})
    monkeypatch.setitem(data.SOURCES, "toy", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("RECURBENCH_DATA", "RECURBENCH_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    yield
    gc.collect()  # here, where its warning is expected


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a mirror serves in place of the file; write into it."""
    file = tmp_path / "www" / "owner" / "toy" / ("0" * 40) / PATH
    file.parent.mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("RECURBENCH_MIRROR", f"http://127.0.0.1:{server.server_port}/")
    yield file
    server.shutdown()
    server.server_close()
    thread.join()


def refusal(message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        data.read("toy", PATH)
    assert "\n" not in str(caught.value)


def test_a_download_is_checked_and_kept(served: Path) -> None:
    served.write_bytes(CONTENT)
    assert data.read("toy", PATH) == CONTENT
    served.unlink()
    assert data.text("toy", PATH) == CONTENT.decode()  # from the cache


def test_a_corrupted_download_is_refused_and_not_kept(served: Path) -> None:
    served.write_bytes(CONTENT + b"x")
    refusal(
        r"is not the pinned file \(its SHA-256 differs\); try again, or set RECURBENCH_DATA to a folder that holds toy"
    )
    served.write_bytes(CONTENT)
    assert data.read("toy", PATH) == CONTENT


def test_a_server_that_never_stops_sending(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served.write_bytes(CONTENT)
    monkeypatch.setattr(data, "MOST_BYTES", 100)
    monkeypatch.setattr(data, "CHUNK", 64)
    refusal("cannot be downloaded .the server sends more than 100 bytes.; check the network")
    monkeypatch.setattr(data, "MOST_BYTES", len(CONTENT))
    assert data.read("toy", PATH) == CONTENT  # nothing of it was kept


@pytest.mark.usefixtures("served")
def test_a_file_that_the_server_does_not_have() -> None:
    refusal("cannot be downloaded .*404.*; check the network, or set RECURBENCH_DATA to a folder that holds toy/words")


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECURBENCH_MIRROR", "http://127.0.0.1:9")
    refusal("cannot be downloaded .*; check the network")


def put(folder: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "own" / "toy").mkdir(parents=True)
    (folder / "own" / "toy" / name).write_bytes(content)
    monkeypatch.setenv("RECURBENCH_DATA", str(folder / "own"))


def test_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "words.conllu", CONTENT, monkeypatch)
    assert data.read("toy", PATH) == CONTENT


def test_a_packed_file_serves_for_a_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "words.conllu.gz", gzip.compress(CONTENT), monkeypatch)
    assert data.read("toy", PATH) == CONTENT


def test_a_torn_packed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "words.conllu.gz", gzip.compress(CONTENT)[:-9], monkeypatch)
    refusal("words.conllu.gz is not a whole gzip file .*; copy it again")


@pytest.mark.parametrize("name", ["words.conllu", "words.conllu.gz"])
def test_another_file_of_that_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, name, gzip.compress(b"other") if name.endswith(".gz") else b"other", monkeypatch)
    refusal(r"words.conllu has SHA-256 [0-9a-f]{12}\.\.\., the pinned file [0-9a-f]{12}\.\.\.; copy it again")


def test_an_own_folder_is_not_completed_by_downloads(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.write_bytes(CONTENT)
    put(tmp_path, "unrelated", b"", monkeypatch)
    refusal("words.conllu does not exist; put it there, or unset RECURBENCH_DATA to download it")


def test_a_task_without_its_data_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECURBENCH_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"da-ud-train\.conllu does not exist; put it there"):
        registry.task("pos_ud")


def test_every_source_is_pinned() -> None:
    for source in data.SOURCES.values():
        assert len(source.commit) == 40
        assert source.licence
        assert all(len(sha) == 64 for sha in source.files.values())
