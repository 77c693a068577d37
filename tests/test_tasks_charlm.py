"""charlm: windows, floors, the download; on a small stand-in always, on the real text where RECURBENCH_DATA has it."""

from __future__ import annotations

import gc
import itertools
import math
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from suite.spec.contract import Unsupported
from tasks import data
from tasks.charlm import PATH, SET, CharLm
from tests import tiny_data
from tests.task_runs import scored, training, whole


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The text of the stand-in."""
    tiny_data.install(tmp_path, monkeypatch)
    return data.text(SET, PATH)


def parts(text: str) -> tuple[str, str, str]:
    return text[: len(text) * 18 // 20], text[len(text) * 18 // 20 : len(text) * 19 // 20], text[len(text) * 19 // 20 :]


def test_val_and_test_are_asked_for_once_from_the_second_character_on(tiny: str) -> None:
    task = CharLm(time=16)
    for split, part in zip(("val", "test"), parts(tiny)[1:], strict=True):
        rows = [(b.x[i, :n], b.y[i, :n]) for b in whole(task, split, 8)
                for i, n in enumerate(b.lengths) if b.scored[i].any()]  # fmt: skip
        assert "".join(task.text(x) for x, _ in rows) == part[:-1]
        assert "".join(task.text(y) for _, y in rows) == part[1:]


def test_windows_of_train_are_from_anywhere_in_train_alone(tiny: str) -> None:
    task = CharLm(time=40)
    train, starts = parts(tiny)[0], set()
    for b in training(task, 40):
        for x, y in zip(b.x, b.y, strict=True):
            here = train.find(task.text([*x, y[-1]]))
            assert here >= 0
            assert np.array_equal(x[1:], y[:-1])
            starts.add(here)
    assert min(starts) < 0.01 * len(train)
    assert max(starts) > 0.98 * (len(train) - 41)
    assert len(starts) > 2000


@pytest.mark.usefixtures("tiny")
def test_the_last_window_of_train_is_reached() -> None:
    task = CharLm(time=5)
    task._train = task._train[:7]  # two windows
    rows = {task.text(row) for b in training(task, 2) for row in b.y}
    assert rows == {task.text(task._train[1:6]), task.text(task._train[2:7])}


def test_the_floors_are_what_counting_gets(tiny: str) -> None:
    task = CharLm(time=16)
    train, _, test = parts(tiny)
    alone, after = Counter(train), Counter(itertools.pairwise(train))
    size, first = len(set(tiny)), Counter(train[:-1])
    unigram = [-math.log2((alone[b] + 1) / (len(train) + size)) for b in test[1:]]
    bigram = [-math.log2((after[a, b] + 1) / (first[a] + size)) for a, b in itertools.pairwise(test)]
    bounds = task.bounds(False)
    assert [b.kind for b in bounds] == ["floor", "floor"]
    assert [b.value for b in bounds] == pytest.approx([np.mean(unigram), np.mean(bigram)], abs=1e-9)
    assert bounds[0].value > bounds[1].value
    with pytest.raises(Unsupported, match="charlm/bidirectional: who reads backwards reads its own answer"):
        task.bounds(True)


@pytest.mark.usefixtures("tiny")
def test_bits_and_nats_say_the_same() -> None:
    task = CharLm(time=16)
    size = len(task.characters)
    got = scored(task, whole(task, "test", 8), lambda b: np.zeros((*b.x.shape, size)))
    assert got["bits_per_char"] == pytest.approx(math.log2(size), abs=1e-12)
    assert got["bits_per_char_se"] <= 1e-9
    assert got["loss"] == pytest.approx(math.log(size), abs=1e-12)


@pytest.mark.usefixtures("tiny")
def test_a_window_longer_than_the_text_is_refused() -> None:
    with pytest.raises(ValueError, match=r"charlm: time is 999999; train has \d+ characters"):
        CharLm(time=999_999)
    with pytest.raises(ValueError, match=r"charlm: test_size is 9999; there are \d+"):
        CharLm(test_size=9999)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pooch leaves a failed connection open
def test_the_text_is_downloaded_once_and_checked(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data.SOURCES[SET]
    file = tmp_path / "www" / source.repository / source.commit / PATH
    file.parent.mkdir(parents=True)
    monkeypatch.delenv("RECURBENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RECURBENCH_MIRROR", f"http://127.0.0.1:{server.server_port}")
        file.write_text(tiny + "x", encoding="utf-8")
        with pytest.raises(data.DataError, match=r"input\.txt is not the pinned file"):
            CharLm()
        file.write_text(tiny, encoding="utf-8")
        digest = CharLm().digest()
        server.shutdown()
    assert CharLm().digest() == digest  # from the cache
    gc.collect()


@tiny_data.real
def test_the_real_text() -> None:
    task = CharLm()
    assert len(task.characters) == 65
    assert [len(task._train), sum(int(b.scored.sum()) for b in whole(task, "test"))] == [1_003_854, 55_769]
    assert task.text(task._train[:14]) == "First Citizen:"
    unigram, bigram = (bound.value for bound in task.bounds(False))
    assert 4.7 < unigram < 5.0
    assert 3.5 < bigram < 3.7
