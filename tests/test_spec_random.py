"""The random streams: raw words against Philox written out here, stored vectors, and each distribution's moments.

The vectors in ``vectors/random.json`` are what every platform and every version of NumPy must give.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from suite.spec.random import Stream

VECTORS = json.loads((Path(__file__).parent / "vectors/random.json").read_text(encoding="utf-8"))
N = 20_000


def philox(name: str, count: int) -> list[int]:
    """Philox-4x64 with ten rounds (Salmon et al. 2011) in plain integers; the counter starts at 1."""
    mask, words = 2**64 - 1, []
    key = struct.unpack("<2Q", hashlib.sha256(name.encode()).digest()[:16])
    for counter in range(1, 2 + count // 4):
        c, k = (counter, 0, 0, 0), key
        for _ in range(10):
            a, b = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
            c = ((b >> 64) ^ c[1] ^ k[0], b & mask, (a >> 64) ^ c[3] ^ k[1], a & mask)
            k = ((k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask)
        words += c
    return words[:count]


@pytest.mark.parametrize("name", ["", "1/0/layer0/W", "grüße"])
def test_words_are_philox_keyed_by_the_name(name: str) -> None:
    assert Stream(name).words(9).tolist() == philox(name, 9)


@pytest.mark.parametrize("name", VECTORS)
def test_stored_vectors(name: str) -> None:
    words = Stream(name).words(1000).astype("<u8").tobytes()
    assert hashlib.sha256(words).hexdigest() == VECTORS[name]["words_sha256"]
    assert Stream(name).uniform(4).tolist() == [float.fromhex(u) for u in VECTORS[name]["uniform"]]


def test_a_stream_goes_on_where_it_stopped() -> None:
    s = Stream("a")
    assert [*s.words(3), *s.words(5)] == Stream("a").words(8).tolist()
    assert Stream("a").uniform((2, 3)).ravel().tolist() == Stream("a").uniform(6).tolist()


def test_names_do_not_share_numbers() -> None:
    assert not set(Stream("a").words(1000).tolist()) & set(Stream("b").words(1000).tolist())


def close(values: np.ndarray, mean: float, variance: float) -> None:
    """Mean and variance within five standard errors; the streams are fixed, so this passes always or never."""
    n = len(values)
    fourth = float(np.mean((values - mean) ** 4))
    assert abs(values.mean() - mean) <= 5 * (variance / n) ** 0.5
    assert abs(np.mean((values - mean) ** 2) - variance) <= 5 * ((fourth - variance**2) / n) ** 0.5


def test_uniform() -> None:
    u = Stream("uniform").uniform(N, -2.0, 4.0)
    close(u, 1.0, 3.0)
    assert -2 <= u.min() and u.max() < 4


def test_integers() -> None:
    k = Stream("integers").integers(7, N)
    close(k, 3.0, 4.0)
    assert set(k.tolist()) == set(range(7))


def test_normal() -> None:
    z = Stream("normal").normal(N)
    close(z, 0.0, 1.0)
    assert abs(np.mean(z**3)) <= 5 * (15 / N) ** 0.5
    assert abs(np.mean(np.abs(z) < 1) - 0.682689) <= 5 * (0.2166 / N) ** 0.5


def test_permutation() -> None:
    s = Stream("permutation")
    drawn = np.array([s.permutation(5) for _ in range(4000)])
    assert np.array_equal(np.sort(drawn, axis=1), np.tile(np.arange(5), (4000, 1)))
    for column in drawn.T:
        close(column, 2.0, 2.0)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.5])
def test_gamma(alpha: float) -> None:
    s = Stream(f"gamma/{alpha}")
    close(np.array([s.gamma(alpha) for _ in range(4000)]), alpha, alpha)


def test_dirichlet() -> None:
    s = Stream("dirichlet")
    points = np.array([s.dirichlet(0.5, 4) for _ in range(1000)])
    assert np.abs(points.sum(1) - 1).max() <= 1e-15 * 4
    for corner in points.T:
        close(corner, 1 / 4, (1 / 4) * (3 / 4) / 3)  # alpha_0 = 2: variance m (1 - m) / (alpha_0 + 1)


def test_categorical() -> None:
    p = np.array([0.1, 0.0, 0.6, 0.3])
    drawn = Stream("categorical").categorical(np.tile(np.cumsum(p), (N, 1)))
    for k, share in enumerate(p):
        assert abs(np.mean(drawn == k) - share) <= 5 * (share * (1 - share) / N) ** 0.5


@pytest.mark.parametrize("bound", [0, -1, 2**32 + 1])
def test_a_bound_out_of_range_is_refused(bound: int) -> None:
    with pytest.raises(ValueError, match=f"bound is {bound}"):
        Stream("a").integers(bound, 1)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_a_gamma_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="it must be positive"):
        Stream("a").gamma(alpha)
