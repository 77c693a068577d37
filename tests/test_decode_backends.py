"""Trained in one backend, put into another: the same words, greedily and by a beam; and the same texts by chance.

PyTorch, TensorFlow and JAX run one after the other, each in a process of its own, and each writes first with what those
before it have trained. The oracle reads all of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite import registry, weights
from suite.spec import network
from tests import decode_probe as probe

ROOT = Path(__file__).parents[1]
BACKENDS = [b for b in ("pytorch", "tensorflow", "jax") if registry.installed(registry.backend(b))]
Said = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def said(folder: Path) -> Said:
    """Who reads -> what it reads -> what it writes."""
    out: Said = {}
    for name in BACKENDS:
        command = [sys.executable, "-W", "error", str(ROOT / "tests/decode_probe.py"), name, str(folder)]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        out[name] = json.loads(done.stdout.splitlines()[-1])
    return out | {"reference": probe.main("reference", folder)}


@pytest.mark.parametrize("asked", [f"{a} of {b}" for a in probe.TRAINED for b in BACKENDS] + ["transformer of chance"])
def test_the_same_weights_write_the_same_words_everywhere(said: Said, asked: str) -> None:
    want = said["reference"][asked]
    readers = [reader for reader, wrote in said.items() if asked in wrote]
    owner = asked.split()[-1]  # those after it, and the oracle, have read what it trained
    assert readers == [*BACKENDS[BACKENDS.index(owner) if owner in BACKENDS else 0 :], "reference"]
    for reader in readers:
        got = said[reader][asked]
        assert got["greedy"] == want["greedy"], f"{reader} writes other words with {asked}"
        assert got["wide"] == want["wide"], f"{reader}'s beam finds other words with {asked}"
        assert np.max(np.abs(np.subtract(got["scores"], want["scores"]))) <= 1e-11


@pytest.mark.parametrize("backend", [*BACKENDS, "reference"])
def test_a_beam_of_one_is_greedy(said: Said, backend: str) -> None:
    decoded = {name: wrote for name, wrote in said[backend].items() if " of " in name}
    assert decoded
    for name, wrote in decoded.items():
        assert wrote["narrow"] == wrote["greedy"], name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("arch", probe.WRITERS)
def test_a_stream_gives_the_same_text_in_every_backend(said: Said, backend: str, arch: str) -> None:
    assert said[backend][f"{arch} text"] == said["reference"][f"{arch} text"]
    assert len({tuple(row) for row in said[backend][f"{arch} text"]}) > 1


@pytest.mark.skipif(not BACKENDS, reason="no framework is installed")
@pytest.mark.parametrize("arch", probe.TRAINED)
def test_other_weights_write_other_words(said: Said, folder: Path, arch: str) -> None:
    """The planted fault: with the encoder's first matrix turned upside down the words are no longer the same."""
    p = weights.load(folder / f"{arch}.{BACKENDS[0]}.safetensors").params
    swapped = p | {"src_emb/E": p["src_emb/E"][::-1]}
    got = network.decode(probe.net(arch, probe.WORDS), swapped, probe.WORDS.batch("test", 0, 0, probe.ROWS))
    assert got.tolist() != said["reference"][f"{arch} of {BACKENDS[0]}"]["greedy"]
