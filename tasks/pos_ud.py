"""Part-of-speech tags of real sentences: a treebank of Universal Dependencies, tag = UPOS.

The network reads words only, no characters. A word that train has fewer than ``min_count`` times is replaced, in train
too, by a class of unknown words: its shape (digit, title, upper, hyphen, lower, other) with its last three letters,
else its last two, else alone, whichever is the first that at least ``RARE`` different rare words of train share.

Sentences come in three lengths of batch: up to 16, up to 32, and up to the longest sentence of val and test. Longer
ones exist in train only and are cut there; evaluation sees every token.

Published on da_ud13: 96.01 and 96.06 % with a bidirectional LSTM over words and characters (Plank et al. 2016,
arXiv:1604.05529; their code's results of May 2017). A reader of words only is expected below that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from suite.spec.contract import UNK, Array, Batch, Bound, Signature
from tasks import common, data

# option -> set, and its files of train, val and test
TREEBANKS = {
    "da_ud13": ("pos_danish_ud13", [f"data/da-ud-{part}.conllu" for part in ("train", "dev", "test")]),
    "en_ewt": ("ud_english_ewt", [f"en_ewt-ud-{part}.conllu" for part in ("train", "dev", "test")]),
    "en_atis": ("ud_english_atis", [f"en_atis-ud-{part}.conllu" for part in ("train", "dev", "test")]),
}
LENGTHS = (16, 32)  # of the shorter batches
RARE = 10

Sentence = list[tuple[str, str]]  # (word, tag)


def parse(text: str) -> list[Sentence]:
    """Sentences of a CoNLL-U file, or of one with two columns, word and tag.

    Comments, ranges (3-4) and empty nodes (8.1) are passed over. ValueError for a token that has no tag.

    >>> parse("# a comment\\n1-2\\tdon't\\t_\\t_\\n1\\tdo\\tdo\\tAUX\\n2\\tn't\\tnot\\tPART\\n\\n")
    [[('do', 'AUX'), ("n't", 'PART')]]
    >>> parse("#\\tSYM\\n\\n")
    [[('#', 'SYM')]]
    """
    sentences: list[Sentence] = [[]]
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split("\t")
        if not line:
            sentences.append([])
        elif len(fields) == 2:
            sentences[-1].append((fields[0], fields[1]))
        elif fields[0].isdigit():
            if len(fields) < 4:
                raise ValueError(f"line {number}: a token has {len(fields)} columns; it needs 2, or 4 and more")
            sentences[-1].append((fields[1], fields[3]))
    return [sentence for sentence in sentences if sentence]


def classes(word: str) -> list[str]:
    """The classes that an unknown word may fall into, the narrowest first.

    >>> classes("Jordskælv"), classes("1,5")
    (['<title-ælv>', '<title-lv>', '<title>'], ['<digit>'])
    """
    if any(c.isdigit() for c in word):
        return ["<digit>"]
    if not any(c.isalpha() for c in word):
        return ["<other>"]
    shape = (
        "hyphen" if "-" in word else "upper" if len(word) > 1 and word.isupper() else
        "title" if word[0].isupper() else "lower"
    )  # fmt: skip
    ends = [word[-n:].lower() for n in (3, 2) if len(word) > n + 1]
    return [*(f"<{shape}-{end}>" for end in ends), f"<{shape}>"]


class PosUd:
    """Words of a treebank in, their parts of speech out."""

    name = "pos_ud"
    metric = "accuracy"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        treebank: str = "da_ud13",
        min_count: int = 2,
        train_size: int | None = None,
        val_size: int | None = None,
        test_size: int | None = None,
    ) -> None:
        common.one_of(self.name, "treebank", treebank, list(TREEBANKS))
        common.whole_number(self.name, 1, min_count=min_count)
        folder, paths = TREEBANKS[treebank]
        whole = dict(zip(("train", "val", "test"), (parse(data.text(folder, path)) for path in paths), strict=True))
        self.tags = sorted({tag for split in whole.values() for sentence in split for _, tag in sentence})
        lengths = (*LENGTHS, max(len(sentence) for sentence in whole["val"] + whole["test"]))
        wanted = {"train": train_size, "val": val_size, "test": test_size}
        train, val, test = (common.first(self.name, f"{s}_size", whole[s], wanted[s]) for s in wanted)
        self.vocabulary = _vocabulary((word for sentence in train for word, _ in sentence), min_count)
        self.signature = Signature("label", "xent", inputs=UNK + 1 + len(self.vocabulary), outputs=len(self.tags))
        self._train = f"data/{self.name}/{treebank}/train"
        self._parts = self._cut([sentence[: lengths[-1]] for sentence in train], lengths)
        self._splits = {"val": self._cut(val, lengths), "test": self._cut(test, lengths)}

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Training goes through its sentences epoch by epoch."""
        if split == "train":
            return common.epochs(self._parts, f"{self._train}/{seed}", step, size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """Share of tokens tagged correctly, and the cross-entropy in nats a token."""
        loss = common.mean_loss(self.signature, predictions, batches)
        return common.share("accuracy", *common.right(predictions, batches)) | {"loss": loss}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Two floors on the test split, counted in train (an unknown word stands for its class); no known ceiling."""
        pairs = np.zeros((self.signature.inputs, self.signature.outputs))
        for part in self._parts:
            np.add.at(pairs, (part.x[part.valid], part.y[part.valid]), 1)
        often = pairs.sum(0)
        word = np.where(pairs.sum(1, keepdims=True) > 0, pairs, often)  # an unseen word: the most frequent tag
        test = self._splits["test"]
        floors = {
            "the most frequent tag": [np.broadcast_to(often, (*b.x.shape, len(often))) for b in test],
            "each word's most frequent tag": [word[b.x] for b in test],
        }
        return tuple(
            Bound("floor", common.share("accuracy", *common.right(guess, test))["accuracy"], what)
            for what, guess in floors.items()
        )

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def token(self, word: str) -> int:
        """The number of a word or of its class."""
        known = (self.vocabulary[w] for w in (word, *classes(word)) if w in self.vocabulary)
        return next(known, UNK)

    def _cut(self, sentences: Sequence[Sentence], lengths: Sequence[int]) -> list[Batch]:
        """Sentences as rows, one part for each length of batch that any has."""
        by_length: dict[int, list[Sentence]] = defaultdict(list)
        for sentence in sentences:
            by_length[min(n for n in lengths if n >= len(sentence))].append(sentence)
        parts = []
        for steps, group in sorted(by_length.items()):
            x, size = common.padded([[self.token(word) for word, _ in sentence] for sentence in group], steps)
            y, _ = common.padded([[self.tags.index(tag) for _, tag in sentence] for sentence in group], steps)
            parts.append(Batch(x, size, y, np.arange(steps) < size[:, None]))
        return parts


def _vocabulary(words: Iterable[str], min_count: int) -> dict[str, int]:
    """Frequent words, the most frequent first, then the classes of the rare ones -> numbers after unk."""
    counts = Counter(words)
    frequent = sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (-counts[w], w))
    sharers = Counter(name for word in counts if counts[word] < min_count for name in classes(word))
    shared = sorted(name for name in sharers if sharers[name] >= RARE)
    return {name: UNK + 1 + i for i, name in enumerate([*frequent, *shared])}
