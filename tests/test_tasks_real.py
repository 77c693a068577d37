"""pos_ud and multi30k: on small stand-ins always, on the real sets where RECURBENCH_DATA names their folder."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from suite.contract import right_answers
from suite.spec.contract import EOS, UNK, Batch
from tasks import common, data, multi30k
from tasks.multi30k import Multi30k, words
from tasks.pos_ud import RARE, TREEBANKS, PosUd, classes, parse
from tests import tiny_data
from tests.task_runs import scored, training, whole


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sets in small."""
    tiny_data.install(tmp_path, monkeypatch)


@pytest.fixture
def sacrebleu() -> object:
    return pytest.importorskip("sacrebleu", reason="multi30k needs sacrebleu: pip install 'recurbench[mt]'")


# pos_ud


@pytest.mark.parametrize(
    ("word", "narrowest"),
    [("1,5", "<digit>"), ("...", "<other>"), ("EU", "<upper>"), ("Jordskælv", "<title-ælv>"),
     ("e-mail", "<hyphen-ail>"), ("gik", "<lower>"), ("gået", "<lower-et>"), ("I", "<title>")],
)  # fmt: skip
def test_classes_of_unknown_words(word: str, narrowest: str) -> None:
    assert classes(word)[0] == narrowest
    assert len(classes(word)) <= 3


@pytest.mark.usefixtures("tiny")
def test_rare_words_become_their_class_in_train_too() -> None:
    task = PosUd(min_count=10**6)  # every word is rare
    assert not any(w in task.vocabulary for w in ("den", "er", "Landing"))
    assert "<title-ing>" not in task.vocabulary  # only 6 words share it
    assert task.vocabulary == {"<title>": UNK + 1}  # the 18 nouns
    assert task.token("Landing") == UNK + 1
    assert task.token("den") == UNK
    assert len(tiny_data.NOUNS) >= RARE
    known = PosUd(min_count=1)
    assert known.token("den") != known.token("er")
    assert known.token("Fjeldhed") == known.vocabulary["Fjeldhed"]
    assert known.token("ukendt") == UNK


@pytest.mark.usefixtures("tiny")
def test_no_token_of_an_evaluation_split_is_lost_and_train_is_cut() -> None:
    task = PosUd()
    files = dict(zip(("train", "val", "test"), TREEBANKS["da_ud13"][1], strict=True))
    for split in ("val", "test"):
        sentences = parse(data.text("pos_danish_ud13", files[split]))
        batches = whole(task, split, 8)
        assert sum(int(b.scored.sum()) for b in batches) == sum(map(len, sentences))
        tags = Counter(task.tags[k] for b in batches for k in b.y[b.scored])
        assert tags == Counter(tag for sentence in sentences for _, tag in sentence)
    longest = max(b.x.shape[1] for b in training(task, 40, 8))
    assert longest == 40 < max(map(len, parse(data.text("pos_danish_ud13", files["train"]))))


@pytest.mark.usefixtures("tiny")
def test_an_epoch_of_sentences_meets_each_once() -> None:
    task = PosUd(train_size=50)
    steps = sum(-(-len(part.x) // 8) for part in task._parts)
    assert sum(int(b.scored.any(1).sum()) for b in training(task, steps, 8)) == 50


@pytest.mark.usefixtures("tiny")
def test_the_floors_are_what_counting_gets() -> None:
    task = PosUd()
    majority, per_word = task.bounds(True)
    assert [b.kind for b in task.bounds(False)] == ["floor", "floor"]
    test = whole(task, "test", 8)
    noun = np.eye(len(task.tags))[task.tags.index("NOUN")]
    assert scored(task, test, lambda b: np.broadcast_to(noun, (*b.x.shape, len(noun))))["accuracy"] == majority.value
    assert per_word.value == 1.0  # in the stand-in a word has one tag


@tiny_data.real
@pytest.mark.parametrize("treebank", TREEBANKS)
def test_real_treebanks(treebank: str) -> None:
    task = PosUd(treebank=treebank)
    folder, paths = TREEBANKS[treebank]
    tokens = sum(len(sentence) for sentence in parse(data.text(folder, paths[2])))
    test = whole(task, "test")
    assert sum(int(b.scored.sum()) for b in test) == tokens
    assert len({b.x.shape for b in (*test, *whole(task, "val"), *training(task, 60))}) <= 3
    majority, per_word = (bound.value for bound in task.bounds(False))
    assert 0.1 < majority < 0.3 < 0.8 < per_word < 0.97
    unknown = sum(int((b.x[b.valid] == UNK).sum()) for b in test)
    assert unknown / tokens < 0.01  # nearly every unknown word has a class


# multi30k


@pytest.mark.usefixtures("tiny", "sacrebleu")
def test_bleu_is_that_of_the_full_references() -> None:
    from sacrebleu.metrics import BLEU

    task = Multi30k()
    test = whole(task, "test", 8)
    text = data.text("multi30k_en_de", "data/task1/raw/test_2016_flickr.de.gz").removesuffix("\n").split("\n")
    full = {task.target_text(b.y[0]): " ".join(words(line)) for line in text for b in [_one(task, line)]}
    assert any("<unk>" in short for short in full)
    guesses = [right_answers(task.signature, b) for b in test]
    for guess in guesses:
        guess[::3, 1:3] = guess[::3, 2:0:-1]  # some words swapped, some references missed
    rows = [(p, b.y[i]) for p, b in zip(guesses, test, strict=True)
            for p, i in zip(p, range(len(p)), strict=True) if b.scored[i].any()]  # fmt: skip
    hypotheses = [task.target_text(p) for p, _ in rows]
    references = [full[task.target_text(y)] for _, y in rows]
    want = BLEU(tokenize="none", force=True).corpus_score(hypotheses, [references]).score
    got = task.score(guesses, test)
    assert 20 < got["bleu"] < 95
    assert got["bleu"] == pytest.approx(want, abs=1e-9)
    assert 0 < got["bleu_se"] < 20


def _one(task: Multi30k, line: str) -> Batch:
    """A batch of one reference."""
    return common.translation([[]], multi30k._numbers([words(line)], task.target_words), (2, 60))


@pytest.mark.usefixtures("tiny", "sacrebleu")
def test_an_unk_that_is_written_matches_no_unknown_word() -> None:
    task = Multi30k()
    test = whole(task, "test", 8)
    with_unknown = [int((b.y == UNK).sum()) for b in test]
    assert sum(with_unknown) > 0
    assert scored(task, test, lambda b: right_answers(task.signature, b))["bleu"] < 100


@pytest.mark.usefixtures("tiny", "sacrebleu")
def test_nothing_written_scores_nothing() -> None:
    task = Multi30k()
    test = whole(task, "test", 8)
    empty = np.zeros((8, task.signature.longest_target), np.int32)
    empty[:, 0] = EOS
    assert task.score([empty] * len(test), test)["bleu"] == 0.0
    assert task.bleu_signature().startswith("nrefs:1|case:mixed|eff:no|tok:none|smooth:exp|version:")


@pytest.mark.usefixtures("tiny", "sacrebleu")
def test_long_pairs_are_left_out_of_train_only() -> None:
    task = Multi30k(max_words=30)
    assert task.left_out == 9
    assert sum(len(part.x) for part in task._parts) == 90 - 9
    assert sum(int(b.scored.any(1).sum()) for b in whole(task, "test", 4)) == 30
    with pytest.raises(ValueError, match="max_words is 22; val and test need max_words >= 27"):
        Multi30k(max_words=22)
    assert len({b.x.shape for b in (*whole(task, "test", 4), *training(task, 30, 4))}) == 2


@pytest.mark.usefixtures("tiny", "sacrebleu")
def test_a_slice_of_train_has_its_own_vocabulary() -> None:
    small, all_of_it = Multi30k(train_size=20), Multi30k()
    assert small.signature.inputs < all_of_it.signature.inputs
    assert sum(len(part.x) for part in small._parts) == 20


@pytest.mark.usefixtures("tiny")
def test_without_sacrebleu_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ValueError, match=r"^multi30k: BLEU needs sacrebleu: pip install 'recurbench\[mt\]'$"):
        Multi30k()


@tiny_data.real
@pytest.mark.usefixtures("sacrebleu")
def test_real_captions() -> None:
    task = Multi30k(train_size=2000)
    test = whole(task, "test")
    assert sum(int(b.scored.any(1).sum()) for b in test) == 1000
    assert len({b.x.shape for b in (*test, *training(task, 30))}) == 2
    (floor,) = task.bounds(False)
    assert 0 <= floor.value < 3
