"""Initial values by choice: what each sets, what it leaves, and the architectures that have not got it."""

from __future__ import annotations

import numpy as np
import pytest

from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.contract import Net, Signature, Sizes, Unsupported
from suite.spec.init import Init

LABEL = Signature("label", "xent", 7, 5)
HIDDEN = 200


def init(arch: str, choice: Init) -> params.Params:
    return params.init(Net(ARCHS[arch], LABEL, Sizes(HIDDEN, embed=30)), 0, choice)


def changed(arch: str, choice: Init) -> set[str]:
    """The parameters that the choice moves."""
    plain, chosen = init(arch, Init()), init(arch, choice)
    return {name for name in plain if not np.array_equal(plain[name], chosen[name])}


def blocks(arch: str, choice: Init) -> dict[str, np.ndarray]:
    return dict(zip(ARCHS[arch].gates, np.split(init(arch, choice)["layer0/b"], len(ARCHS[arch].gates)), strict=True))


@pytest.mark.parametrize("arch", ["rnn", "rnn_relu"])
def test_the_identity_and_a_small_input(arch: str) -> None:
    p = init(arch, Init("identity"))
    assert np.array_equal(p["layer0/U"], np.eye(HIDDEN))
    assert abs(p["layer0/W"].std() / 1e-3 - 1) <= 5 / (2 * p["layer0/W"].size) ** 0.5
    assert changed(arch, Init("identity")) == {"layer0/U", "layer0/W"}


@pytest.mark.parametrize("arch", ["lstm", "lstm_peephole", "lstm_ln"])
def test_a_forget_bias(arch: str) -> None:
    assert {gate: set(b) for gate, b in blocks(arch, Init(forget_bias=2.5)).items()} == {
        "i": {0.0}, "f": {2.5}, "g": {0.0}, "o": {0.0},
    }  # fmt: skip
    assert changed(arch, Init(forget_bias=2.5)) == {"layer0/b"}


CHRONO = {
    "lstm": {"i": -1, "f": 1, "g": 0, "o": 0},
    "lstm_peephole": {"i": -1, "f": 1, "g": 0, "o": 0},
    "lstm_ln": {"i": -1, "f": 1, "g": 0, "o": 0},
    "gru": {"r": 0, "z": 1, "n": 0},
    "gru_before": {"r": 0, "z": 1, "n": 0},
    "gru4rec": {"r": 0, "z": 1, "n": 0},
    "gru_ln": {"r": 0, "z": 1, "n": 0},
    "mgu": {"f": -1, "n": 0},
}


@pytest.mark.parametrize("arch", CHRONO)
def test_chrono_draws_times_to_remember(arch: str) -> None:
    own = blocks(arch, Init(chrono=101))
    assert changed(arch, Init(chrono=101)) == {"layer0/b"}
    times = []
    for gate, sign in CHRONO[arch].items():
        if sign:
            times.append(np.exp(sign * own[gate]))
        else:
            assert not own[gate].any(), gate
    assert all(np.allclose(u, times[0], rtol=1e-14) for u in times), "the gates disagree on the time"
    assert 1 <= times[0].min() < times[0].max() < 100
    assert abs(times[0].mean() - 50.5) <= 5 * 99 / (12 * HIDDEN) ** 0.5


@pytest.mark.parametrize("arch", CHRONO)
def test_a_long_time_is_kept(arch: str) -> None:
    """Without input, units of time u keep about (1 - 1/u) of their state a step: what the bias is for."""
    cell = ARCHS[arch]
    p = {name: np.zeros(shape) for name, shape in cell.shapes(1, HIDDEN).items()}
    p["b"] = init(arch, Init(chrono=101))["layer0/b"]
    state = tuple(np.ones((1, HIDDEN)) for _ in cell.state)
    new, _ = cell.step(p, np.zeros((1, 1)), state)
    u = np.exp(np.abs(np.split(p["b"], len(cell.gates))[int(np.flatnonzero(cell.chrono)[-1])]))
    assert np.abs(new[-1] - u / (1 + u)).max() <= 1e-14


@pytest.mark.parametrize(
    ("arch", "choice", "message"),
    [
        ("gru", Init("identity"), "gru: recurrent = identity is for one square U: use rnn or rnn_relu"),
        ("mgu", Init(forget_bias=1.0), "mgu: it has no LSTM's forget gate; leave out forget_bias"),
        ("gru", Init(forget_bias=1.0), "gru: it has no LSTM's forget gate"),
        ("rnn", Init(chrono=9), "rnn: none of its gates keeps the old state; leave out chrono"),
        ("gru_article", Init(chrono=9), "gru_article: none of its gates keeps the old state"),
    ],
)
def test_what_an_architecture_has_not_got_is_refused(arch: str, choice: Init, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        init(arch, choice)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recurrent": "orthogonal"}, "recurrent is 'orthogonal'; it must be 'uniform' or 'identity'"),
        ({"chrono": 2}, "chrono is 2; it must be a time of at least 3, or 0 for off"),
        ({"chrono": 9, "forget_bias": 1.0}, "chrono sets the forget gate's bias"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Init(**settings)  # type: ignore[arg-type]
