"""Say the next symbol of an embedded Reber string, a language whose entropy is known exactly.

    string   B o B .. E o E      o = T or P, the same before and after an inner string B .. E of Reber's grammar
    inner    0: B1    1: T2 P3    2: S2 X4    3: T3 V5    4: X3 S6    5: P4 V6    6: E     (state: symbol, next state)

Where two arrows leave, each is taken with probability 1/2 (Reber 1967; embedded: Cleeremans et al. 1989, Hochreiter &
Schmidhuber 1997). A string has 12 symbols on average and holds 7 coins, 7 ln 2 = 4.852 nats. The second o is certain
to whoever remembers the first, and costs ln 2 to whoever does not.

Rows are cut after ``time`` steps. A cut looks at the past only, so what remains of a string is as probable as before
and the optimum on the very symbols that are scored is known: excess_nats is the mean loss a symbol minus that optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import PAD, Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

SYMBOLS = "BTPSXVE"  # numbered from 1 on; 0 is pad
INNER = ("B1", "T2 P3", "S2 X4", "T3 V5", "X3 S6", "P4 V6", "E7")


def _arrows() -> dict[str, dict[str, str]]:
    """State -> symbol -> next state, of the embedded grammar; "end" has none."""
    arrows = {"start": {"B": "outer"}, "outer": {"T": "T0", "P": "P0"}}
    for o in "TP":
        arrows |= {f"{o}{s}": {arrow[0]: o + arrow[1] for arrow in line.split()} for s, line in enumerate(INNER)}
        arrows[f"{o}7"] = {o: "last"}
    return arrows | {"last": {"E": "end"}, "end": {}}


ARROWS = _arrows()
STATES = list(ARROWS)
END = STATES.index("end")


def _tables() -> tuple[Array, Array]:
    """(states, 1 + symbols) each: how probable a symbol is, pad after the end, and the state it leads to."""
    probability = np.zeros((len(STATES), 1 + len(SYMBOLS)))
    probability[END, PAD] = 1.0
    leads = np.full(probability.shape, END)
    for state, leaving in enumerate(ARROWS.values()):
        for symbol, to in leaving.items():
            probability[state, 1 + SYMBOLS.index(symbol)] = 1 / len(leaving)
            leads[state, 1 + SYMBOLS.index(symbol)] = STATES.index(to)
    return probability, leads


PROBABILITY, NEXT = _tables()


def text(tokens: Sequence[int] | Array) -> str:
    """The symbols before the first pad.

    >>> text([1, 2, 1, 3, 6, 6, 7, 2, 7, 0])
    'BTBPVVETE'
    """
    return "".join((" " + SYMBOLS)[t] for t in tokens).partition(" ")[0]


def valid(tokens: Sequence[int] | Array) -> bool:
    """Whether the symbols before the first pad are one whole string of the language.

    >>> valid([1, 2, 1, 3, 6, 6, 7, 2, 7, 0]), valid([1, 2, 1, 3, 6, 6, 7, 3, 7, 0])
    (True, False)
    """
    state = "start"
    for symbol in text(tokens):
        if symbol not in ARROWS[state]:
            return False
        state = ARROWS[state][symbol]
    return state == "end"


def ends(tokens: Sequence[int] | Array) -> bool:
    """Whether a string ends with these symbols, right or wrong: at its second E (the first is the inner string's).

    >>> ends([1, 2, 1, 3, 6, 6, 7]), ends([1, 2, 1, 3, 6, 6, 7, 3, 7])
    (False, True)
    """
    return PAD in tokens or text(tokens).count("E") == 2


def visits() -> Array:
    """How often a string is in each state before its end, on average: the solution of v = start + v P; (states,)."""
    moves = np.zeros((len(STATES), len(STATES)))
    np.add.at(moves, (np.arange(len(STATES))[:, None], NEXT), PROBABILITY)
    moves[END] = 0.0
    v = np.linalg.solve((np.eye(len(STATES)) - moves).T, np.eye(len(STATES))[0])
    v[END] = 0.0
    return v


def entropy() -> tuple[float, float]:
    """Symbols and nats of a whole string, on average."""
    choices = np.array([len(leaving) or 1 for leaving in ARROWS.values()])
    return float(visits().sum()), float(visits() @ np.log(choices))


class Reber:
    """Symbols of a string in, the next symbol out.

    >>> task = Reber(time=12, val_size=2, test_size=2)
    >>> batch = task.batch("train", seed=0, step=0, size=1)
    >>> task.text(batch.x[0]), task.text(batch.y[0]), int(batch.lengths[0])  # cut before its last E
    ('BTBPVPXTTVVE', 'TBPVPXTTVVET', 12)
    """

    name = "reber"
    metric = "excess_nats"
    better: Literal["higher", "lower"] = "lower"
    signature = Signature("label", "xent", inputs=1 + len(SYMBOLS), outputs=1 + len(SYMBOLS))
    start = 1 + SYMBOLS.index("B")  # every string's first symbol
    text = staticmethod(text)
    valid = staticmethod(valid)
    ends = staticmethod(ends)

    def __init__(self, time: int = 30, data_seed: int = 0, val_size: int = 1000, test_size: int = 2000) -> None:
        common.whole_number(self.name, 0, data_seed=data_seed)
        common.whole_number(self.name, 8, time=time)  # the shortest string, whole
        common.whole_number(self.name, 2, val_size=val_size, test_size=test_size)
        self.time, self._data = time, f"data/{self.name}/{data_seed}"
        self._splits = {
            "val": [self._draw(f"{self._data}/val", val_size)],
            "test": [self._draw(f"{self._data}/test", test_size)],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Fresh strings in training; fixed ones in "val" and "test"."""
        if split == "train":
            return self._draw(f"{self._data}/train/{seed}/{step}", size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """excess_nats; loss and optimum, whose difference it is: all in nats a symbol."""
        nats, asked = common.nats(self.signature, predictions, batches)
        best, _ = common.nats(self.signature, [logits(self.grammar(b.x)) for b in batches], batches)
        total = int(asked.sum())
        excess = common.share("excess_nats", nats - best, asked)
        return excess | {"loss": float(nats.sum() / total), "optimum": float(best.sum() / total)}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Two floors on the test split, and the grammar. Unsupported for who reads both ways."""
        common.one_way(self.name, bidirectional)
        test = self._splits["test"][0]
        said = visits()[1:] @ PROBABILITY[1:]  # the first B is given
        unigram = np.broadcast_to(said / said.sum(), (*test.x.shape, len(said)))
        forgetful = PROBABILITY.copy()
        forgetful[[STATES.index("T7"), STATES.index("P7")]] = PROBABILITY[STATES.index("outer")]
        tables = (unigram, forgetful[self.states(test.x)])
        bigger, smaller = (self.score([logits(p)], [test])["excess_nats"] for p in tables)
        symbols, nats = entropy()
        what = f"the grammar itself ({nats:.3f} nats a string of {symbols:.3g} symbols)"
        return (
            Bound("floor", bigger, "how often each symbol occurs"),
            Bound("floor", smaller, "the grammar with its first T or P forgotten"),
            Bound("ceiling", 0.0, what),
        )

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def states(self, x: Array) -> Array:
        """The state of the grammar after each symbol, as a number: (N, T) -> (N, T)."""
        out, state = np.empty(x.shape, np.int64), np.zeros(len(x), np.int64)
        for t in range(x.shape[1]):
            out[:, t] = state = NEXT[state, x[:, t]]
        return out

    def grammar(self, x: Array) -> Array:
        """p(next symbol | symbols so far): (N, T) -> (N, T, 1 + symbols); pad is certain after the end."""
        return PROBABILITY[self.states(x)]

    def _draw(self, name: str, rows: int) -> Batch:
        stream, tokens = Stream(name), np.empty((rows, self.time + 1), np.int32)
        state = np.zeros(rows, np.int64)
        for t in range(self.time + 1):
            tokens[:, t] = stream.categorical(np.cumsum(PROBABILITY[state], axis=1))
            state = NEXT[state, tokens[:, t]]
        y = tokens[:, 1:]
        scored = y != PAD
        x = np.where(scored, tokens[:, :-1], PAD)  # the last E is never read
        return Batch(x, scored.sum(1).astype(np.int32), y.copy(), scored)


def logits(p: Array) -> Array:
    """Outputs whose softmax is ``p``; 0 counts as 1e-300."""
    return np.log(np.maximum(p, 1e-300))
