"""Generated text: the draws, where it stops, the same bytes, and the share of valid strings of a known grammar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backends.reference.trainer import Trainer
from suite import registry
from suite.generate import sample
from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.contract import Array, Batch, Net, Optim, Signature, Sizes, Snapshot, State
from suite.spec.random import Stream

REBER: Any = registry.task("reber")
NETS = {name: Net(ARCHS[name], REBER.signature, Sizes(hidden=4, embed=3, heads=2)) for name in ("gru", "transformer")}
FINAL = Net(ARCHS["gru"], Signature("final", "xent", 8, 8), Sizes())
BOTH = Net(ARCHS["gru"], REBER.signature, Sizes(bidirectional=True))


class Grammar:
    """A model that knows the grammar, or forgets what comes after the first symbol."""

    def __init__(self, forgets: bool = False) -> None:
        self.forgets, self.shapes = forgets, set()  # type: ignore[var-annotated]

    def put(self, batch: Batch) -> Batch:
        batch.check(REBER.signature)
        return batch

    def outputs(self, handle: Batch, state: State | None = None) -> tuple[Array, State]:
        self.shapes.add(handle.x.shape)
        seen = np.where(handle.valid, handle.x, 0)
        if self.forgets:
            seen[:, 1] = np.where(seen[:, 1] == 3, 2, seen[:, 1])  # P is taken for T
        return np.log(np.maximum(REBER.grammar(seen), 1e-300)), {}


def written(model: object, count: int = 200, seed: int = 0) -> tuple[Array, Array]:
    stream = Stream(f"generate/{seed}")
    return sample(model, NETS["gru"], stream, count, 60, start=REBER.start, ends=REBER.ends)  # type: ignore[arg-type]


def test_who_knows_the_grammar_writes_valid_strings_in_one_shape() -> None:
    model = Grammar()
    tokens, lengths = written(model)
    assert all(REBER.valid(row) for row in tokens)
    assert [len(REBER.text(row)) for row in tokens] == lengths.tolist()
    assert (tokens[np.arange(60) >= lengths[:, None]] == 0).all()
    assert len({REBER.text(row) for row in tokens}) > 20
    assert model.shapes == {(200, 60)}


def test_who_forgets_the_first_symbol_writes_half_of_them_wrong() -> None:
    share = np.mean([REBER.valid(row) for row in written(Grammar(forgets=True))[0]])
    assert abs(share - 0.5) <= 4 * 0.5 / 200**0.5


@pytest.mark.parametrize("arch", NETS)
def test_the_same_name_gives_the_same_text_and_another_another(arch: str) -> None:
    net = NETS[arch]
    model = Trainer(net, Optim(), Snapshot(0, params.init(net, 0)))
    one, two, three = (sample(model, net, Stream(name), 3, 9, start=1)[0].tolist() for name in ("a", "a", "b"))
    assert one == two != three


def test_draws_follow_the_temperature() -> None:
    class Coin(Grammar):
        def outputs(self, handle: Batch, state: State | None = None) -> tuple[Array, State]:
            z = np.full((*handle.x.shape, 8), -1e9)
            z[..., 4], z[..., 5] = np.log(0.8), np.log(0.2)
            return z, {}

    for temperature, want in ((1.0, 0.8), (0.5, 0.64 / 0.68)):
        x, _ = sample(Coin(), NETS["gru"], Stream("coin"), 1000, 3, temperature)  # type: ignore[arg-type]
        share = float((x[:, 1:] == 4).mean())
        assert abs(share - want) <= 4 * (want * (1 - want) / 2000) ** 0.5


def test_where_a_string_ends() -> None:
    assert [REBER.ends(np.array(t)) for t in ([1, 7], [1, 7, 7], [1, 0], [7, 2, 7])] == [False, True, True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": FINAL}, "sample: this network does not name the next token"),
        ({"net": BOTH}, "sample: this network does not name the next token; use one way"),
        ({"count": 0}, "sample: count is 0, length is 9; both must be at least 1"),
        ({"length": 0}, "sample: count is 2, length is 0"),
        ({"temperature": 0.0}, r"sample: temperature is 0\.0; it must be positive"),
        ({"temperature": float("nan")}, "sample: temperature is nan"),
        ({"start": 8}, r"sample: start is 8; it must lie in 0\.\.7"),
    ],
)
def test_what_cannot_be_written_is_refused(change: dict[str, object], message: str) -> None:
    asked = {"model": Grammar(), "net": NETS["gru"], "stream": Stream("x"), "count": 2, "length": 9} | change
    with pytest.raises(ValueError, match=message):
        sample(**asked)  # type: ignore[arg-type]
