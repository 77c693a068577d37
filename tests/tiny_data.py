"""Small stand-ins for the real data sets: written into a folder, pinned by their own SHA-256."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from suite.spec.random import Stream
from tasks import data

NOUNS = [f"{start}{end}" for start in ("Land", "Skov", "Hav", "Kyst", "By", "Fjeld") for end in ("ing", "hed", "skab")]
WORDS = [("den", "DET"), ("er", "VERB"), ("stor", "ADJ"), (".", "PUNCT"), ("1,5", "NUM"), *((n, "NOUN") for n in NOUNS)]

real = pytest.mark.skipif(
    not os.environ.get("RECURBENCH_DATA"), reason="RECURBENCH_DATA names no folder with the real data sets"
)


def treebank(name: str, sentences: int, longest: int) -> str:
    """A file of two columns; sentence k of every 8 has ``longest`` words, the others at most 9."""
    s = Stream(f"tiny/{name}")
    lines = []
    for k in range(sentences):
        words = s.integers(len(WORDS), longest if k % 8 == 0 else 1 + k % 9)
        lines += ["\t".join(WORDS[i]) for i in words] + [""]
    return "\n".join(lines) + "\n"


def captions(name: str, lines: int) -> tuple[str, str]:
    """Sources and targets, line by line: every tenth is long, longer in train; a few words occur once."""
    s, long = Stream(f"tiny/{name}"), 32 if name == "train" else 25
    pairs = []
    for k in range(lines):
        words = [f"w{i}" for i in s.integers(30, long if k % 10 == 0 else 3 + k % 5)] + [f"{name}{k}"] * (k % 4 == 0)
        pairs.append((" ".join(words), " ".join(f"v{w}" for w in reversed(words)) + "."))
    return "\n".join(source for source, _ in pairs) + "\n", "\n".join(target for _, target in pairs) + "\n"


def play(lines: int) -> str:
    """Lines of a few words; no letter is frequent, and each tells much of the next one."""
    s = Stream("tiny/play")
    return "".join(" ".join(NOUNS[i] for i in s.integers(len(NOUNS), 1 + k % 7)) + ".\n" for k in range(lines))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write all sets into ``folder`` and let the tasks read them instead of the real ones."""
    files = {
        "pos_danish_ud13": {
            "data/da-ud-train.conllu": treebank("train", 120, 45).encode(),
            "data/da-ud-dev.conllu": treebank("dev", 20, 36).encode(),
            "data/da-ud-test.conllu": treebank("test", 20, 40).encode(),
        },
        "multi30k_en_de": {},
        "charlm_tinyshakespeare": {"data/tinyshakespeare/input.txt": play(300).encode()},
    }
    for split, lines in (("train", 90), ("val", 20), ("test_2016_flickr", 30)):
        for side, text in zip(("en", "de"), captions(split, lines), strict=True):
            packed = gzip.compress(text.encode(), mtime=0)
            files["multi30k_en_de"][f"data/task1/raw/{split}.{side}.gz"] = packed
    for name, contents in files.items():
        (folder / name).mkdir(parents=True)
        for path, content in contents.items():
            (folder / name / Path(path).name).write_bytes(content)
        hashes = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
        monkeypatch.setitem(data.SOURCES, name, replace(data.SOURCES[name], files=hashes))
    monkeypatch.setenv("RECURBENCH_DATA", str(folder))
