"""reber: the language, its exact entropy, and what the grammar, a forgetful one and frequencies score."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from suite.spec.contract import PAD, Array, Batch, Unsupported
from tasks.reber import SYMBOLS, Reber, entropy, logits, text, valid, visits
from tests.task_runs import scored, training, whole

FROM_4 = "(XT*VP)*(S|XT*VV)E"
LANGUAGE = re.compile(rf"B(?P<o>[TP])B(TS*X{FROM_4}|PT*V(P{FROM_4}|VE))(?P=o)E")


def tokens(string: str) -> list[int]:
    return [1 + SYMBOLS.index(symbol) for symbol in string]


def strings(b: Batch) -> list[str]:
    """What the scored rows hold, the last symbol included."""
    return [text([*x[:n], y[n - 1]]) for x, y, n in zip(b.x, b.y, b.lengths, strict=True) if n > 1]


def walk(stop: int) -> tuple[str, float]:
    """A string and its nats, drawn by hand from coins."""
    rng, nats = np.random.default_rng(stop), 0.0

    def coin(a: str, b: str) -> str:
        nonlocal nats
        nats += math.log(2)
        return a if rng.random() < 0.5 else b

    outer = coin("T", "P")
    out, state = "B" + outer + "B", 1
    while state != 6:
        arrow = coin(*{1: ("T2", "P3"), 2: ("S2", "X4"), 3: ("T3", "V5"), 4: ("X3", "S6"), 5: ("P4", "V6")}[state])
        out, state = out + arrow[0], int(arrow[1])
    return out + "E" + outer + "E", nats


@pytest.mark.parametrize("inner", ["BTSSXXTVVE", "BPVVE", "BTXXVPSE", "BPVPXVPXVPXVVE", "BTSXXVPSE", "BTXSE"])
def test_strings_of_the_language(inner: str) -> None:
    for outer in "TP":
        assert valid(tokens(f"B{outer}{inner}{outer}E"))
        assert valid([*tokens(f"B{outer}{inner}{outer}E"), PAD, PAD])
        assert not valid(tokens(f"B{outer}{inner}{'PT'['TP'.index(outer)]}E"))  # the other one at the end
        assert not valid(tokens(f"B{outer}{inner}{outer}"))  # not whole
        assert not valid(tokens(f"B{outer}{inner}{outer}EE"))  # too long
        assert not valid(tokens(f"{inner}"))
    assert not valid([])


def test_a_changed_symbol_is_judged_as_by_the_regular_expression() -> None:
    judged = set()
    for string in strings(whole(Reber(val_size=2, test_size=40), "test", 40)[0])[:40]:
        for k in range(len(string)):
            for symbol in SYMBOLS:
                other = string[:k] + symbol + string[k + 1 :]
                assert valid(tokens(other)) == bool(LANGUAGE.fullmatch(other)), other
                judged.add(valid(tokens(other)))
    assert judged == {True, False}


def test_what_is_drawn_is_in_the_language_or_its_beginning() -> None:
    task = Reber(time=30, val_size=2, test_size=2)
    drawn = [(string, b) for b in training(task, 10) for string in strings(b)]
    cut = [string for string, _ in drawn if not LANGUAGE.fullmatch(string)]
    assert all(len(string) == 31 for string in cut)
    assert len(cut) <= 0.01 * len(drawn)
    assert np.isfinite(np.log(task.grammar(drawn[0][1].x).max(-1))).all()
    assert min(len(string) for string, _ in drawn) == 9
    for b in training(task, 2):
        assert np.array_equal(b.x[:, 1:][b.scored[:, 1:]], b.y[:, :-1][b.scored[:, 1:]])


def test_the_entropy_is_that_of_simulated_strings() -> None:
    symbols, nats = entropy()
    assert symbols == pytest.approx(12, abs=1e-12)
    assert nats == pytest.approx(7 * math.log(2), abs=1e-12)
    walks = [walk(k) for k in range(4000)]
    assert all(LANGUAGE.fullmatch(string) for string, _ in walks)
    for exact, sample in ((symbols, [len(s) for s, _ in walks]), (nats, [n for _, n in walks])):
        assert abs(np.mean(sample) - exact) <= 3 * np.std(sample) / math.sqrt(len(sample))
    assert (visits() >= 0).all()


def test_the_grammar_has_no_excess_and_costs_its_entropy() -> None:
    task = Reber(time=60, val_size=2, test_size=4000)
    got = scored(task, whole(task, "test"), lambda b: logits(task.grammar(b.x)))
    assert got["excess_nats"] == pytest.approx(task.bounds(False)[2].value, abs=1e-12)
    assert got["loss"] == pytest.approx(got["optimum"], abs=1e-12)
    uniform = scored(task, whole(task, "test"), lambda b: np.zeros((*b.x.shape, 8)))
    assert uniform["loss"] == pytest.approx(math.log(8), abs=1e-12)
    assert abs(got["optimum"] - 7 * math.log(2) / 11) <= 3 * uniform["excess_nats_se"]
    assert uniform["excess_nats"] == pytest.approx(uniform["loss"] - uniform["optimum"], abs=1e-12)


def test_cutting_leaves_the_grammar_calibrated() -> None:
    task = Reber(time=10, val_size=2, test_size=3000)
    (b,) = whole(task, "test", 3000)
    assert (b.lengths == 10).mean() > 0.4
    p = task.grammar(b.x)
    for symbol in range(2, 7):  # B and E are never a coin's
        fair = (p[..., symbol] == 0.5) & b.scored
        hits = (b.y == symbol)[fair]
        assert abs(hits.mean() - 0.5) <= 3 * 0.5 / math.sqrt(len(hits))
        assert (b.y[(p[..., symbol] == 1) & b.scored] == symbol).all()


def test_the_floors_are_what_forgetting_and_counting_get() -> None:
    task = Reber(test_size=1000, val_size=2)
    unigram, forgetful, _ = task.bounds(False)
    test = whole(task, "test")

    def after_the_inner_string(b: Batch) -> Array:
        p, e = task.grammar(b.x), b.x == 1 + SYMBOLS.index("E")
        p[e] = [0, 0, 0.5, 0.5, 0, 0, 0, 0]  # what is read never holds the last E
        return logits(p)

    forgot = scored(task, test, after_the_inner_string)
    assert forgot["excess_nats"] == pytest.approx(forgetful.value, abs=1e-12)
    assert abs(forgot["excess_nats"] - math.log(2) / 11) <= 3 * forgot["excess_nats_se"]
    counts = np.bincount(np.concatenate([b.y[b.scored] for b in training(task, 60)]), minlength=8)
    counted = scored(task, test, lambda b: np.broadcast_to(logits(counts / counts.sum()), (*b.x.shape, 8)))
    assert abs(counted["excess_nats"] - unigram.value) <= 0.005
    assert unigram.value > forgetful.value > 0


def test_who_reads_backwards_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"^reber/bidirectional: who reads backwards reads its own answer; set"):
        Reber(val_size=2, test_size=2).bounds(True)


def test_a_row_that_cannot_hold_a_string_is_refused() -> None:
    with pytest.raises(ValueError, match="reber: time is 7; use a whole number >= 8"):
        Reber(time=7)
