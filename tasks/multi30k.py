"""Translate picture captions from English to German: Multi30k, task 1 (Elliott et al. 2016, arXiv:1605.00459).

Text is lower-cased and cut by one expression, ``\\w+|[^\\w\\s]``: runs of letters and digits, and single marks. A
vocabulary holds what train has ``min_count`` times; the rest is unk. Batches have two shapes, for pairs of up to
``SHORT`` words on both sides and for the others; training pairs with more than ``max_words`` on a side are left out,
and evaluation pairs never are: a ``max_words`` that is too small for one is refused. Test is test2016 (Flickr).

The metric is BLEU (Papineni et al. 2002) by sacrebleu on these lower-cased tokens, ``task.bleu_signature()``. Scores
on other tokens, for example sacrebleu's own 13a on raw text, are not comparable. A word of the reference outside the
vocabulary matches nothing, an unk that is written included, just as if it stood there in full.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from suite.spec.contract import UNK, Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common, data

FILES = {"train": "train", "val": "val", "test": "test_2016_flickr"}
SHORT = 20
RESAMPLES = 200  # of the bootstrap behind bleu_se


def words(line: str) -> list[str]:
    """The tokens of a line.

    >>> words("Zwei Männer, T-Shirts.")
    ['zwei', 'männer', ',', 't', '-', 'shirts', '.']
    """
    return re.findall(r"\w+|[^\w\s]", line.lower())


class Multi30k:
    """English captions in, German captions out. ``train_size`` takes the first so many pairs.

    ``left_out`` says how many of them are too long; ``source_words`` and ``target_words`` are the vocabularies.
    """

    name = "multi30k"
    metric = "bleu"
    better: Literal["higher", "lower"] = "higher"

    def __init__(
        self,
        train_size: int | None = None,
        min_count: int = 2,
        max_words: int = 40,
        val_size: int | None = None,
        test_size: int | None = None,
    ) -> None:
        common.whole_number(self.name, 1, min_count=min_count)
        common.whole_number(self.name, SHORT + 1, max_words=max_words)
        _sacrebleu()  # better now than after training
        wanted = {"train": train_size, "val": val_size, "test": test_size}
        pairs = {s: common.first(self.name, f"{s}_size", _pairs(file), wanted[s]) for s, file in FILES.items()}
        longest = max(len(side) for split in ("val", "test") for pair in pairs[split] for side in pair)
        if longest > max_words:
            raise ValueError(f"multi30k: max_words is {max_words}; val and test need max_words >= {longest}")
        train = [pair for pair in pairs["train"] if max(map(len, pair)) <= max_words]
        self.left_out = len(pairs["train"]) - len(train)
        self.source_words = _vocabulary([source for source, _ in train], min_count)
        self.target_words = _vocabulary([target for _, target in train], min_count)
        self.signature = Signature(
            "translate",
            "xent",
            inputs=UNK + 1 + len(self.source_words),
            outputs=UNK + 1 + len(self.target_words),
            longest_target=max_words + 1,
        )
        self._parts = self._cut(train, max_words)
        self._splits = {split: self._cut(pairs[split], max_words) for split in ("val", "test")}

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Training goes through its pairs epoch by epoch."""
        if split == "train":
            return common.epochs(self._parts, f"data/{self.name}/train/{seed}", step, size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """bleu: 0..100, its error by a bootstrap over sentences; tokens: share of the reference's positions."""
        hits, asked = common.written(predictions, batches)
        counts = self._counts(predictions, batches)
        draws = Stream(f"task/{self.name}/bootstrap").integers(len(counts), (RESAMPLES, len(counts)))
        spread = np.std([_bleu(counts[rows]) for rows in draws], ddof=1)
        return {"bleu": _bleu(counts), "bleu_se": float(spread), "tokens": float(hits.sum() / asked.sum())}

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """What always writing the same caption buys; no ceiling is known."""
        captions = Counter(self.target_text(row) for part in self._parts for row in part.y)
        often = min(captions, key=lambda caption: (-captions[caption], caption))
        test = self._splits["test"]
        rows, _ = common.padded(_numbers([often.split()], self.target_words), self.signature.longest_target)
        guess = [np.repeat(rows, len(b.x), axis=0) for b in test]
        return (Bound("floor", _bleu(self._counts(guess, test)), f"always {often!r}"),)

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def bleu_signature(self) -> str:
        """How BLEU is computed, in sacrebleu's words: "nrefs:1|case:mixed|eff:no|tok:none|..."."""
        metric = _sacrebleu().BLEU(tokenize="none")
        metric.corpus_score(["a"], [["a"]])  # it knows its number of references only after use
        return str(metric.get_signature())

    def source_text(self, tokens: Array) -> str:
        """The words of one row of ``x``."""
        return _text(tokens, self.source_words)

    def target_text(self, tokens: Array, unknown: str = "<unk>") -> str:
        """The words of one row of ``y`` or of what was decoded."""
        return _text(tokens, self.target_words, unknown)

    def _cut(self, pairs: Sequence[tuple[list[str], list[str]]], max_words: int) -> list[Batch]:
        short = [pair for pair in pairs if max(map(len, pair)) <= SHORT]
        long = [pair for pair in pairs if max(map(len, pair)) > SHORT]
        parts = []
        for group, steps in ((short, SHORT + 1), (long, max_words + 1)):
            if group:
                x = _numbers([source for source, _ in group], self.source_words)
                y = _numbers([target for _, target in group], self.target_words)
                parts.append(common.translation(x, y, (steps, steps)))
        return parts

    def _counts(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> Array:
        """Per sentence: matching and all n-grams for n = 1..4, the lengths of hypothesis and reference; (N, 10)."""
        metric = _sacrebleu().BLEU(tokenize="none", effective_order=True)  # only so that it does not warn
        out = []
        for p, b in zip(predictions, batches, strict=True):
            for row in np.flatnonzero(b.scored.any(1)):
                reference = self.target_text(b.y[row], unknown="<none>")  # no network can write it
                s = metric.sentence_score(self.target_text(p[row]), [reference])
                out.append([*s.counts, *s.totals, s.sys_len, s.ref_len])
        return np.array(out)


def _bleu(counts: Array) -> float:
    """Corpus BLEU of sentences (N, 10), smoothed as sacrebleu does by default."""
    total = [int(n) for n in counts.sum(0)]
    metric = _sacrebleu().BLEU
    return float(metric.compute_bleu(total[:4], total[4:8], total[8], total[9], smooth_method="exp").score)


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ModuleNotFoundError as error:
        raise ValueError("multi30k: BLEU needs sacrebleu: pip install 'recurbench[mt]'") from error
    return metrics


def _pairs(file: str) -> list[tuple[list[str], list[str]]]:
    sides = [data.text("multi30k_en_de", f"data/task1/raw/{file}.{side}.gz") for side in ("en", "de")]
    lines = [[words(line) for line in side.removesuffix("\n").split("\n")] for side in sides]
    if len(lines[0]) != len(lines[1]):
        raise ValueError(f"multi30k: {file} has {len(lines[0])} lines of English and {len(lines[1])} of German")
    return list(zip(*lines, strict=True))


def _vocabulary(lines: Sequence[list[str]], min_count: int) -> list[str]:
    """Words seen at least ``min_count`` times, the most frequent first; the first one has the number UNK + 1."""
    counts = Counter(word for line in lines for word in line)
    return sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (-counts[w], w))


def _numbers(lines: Sequence[list[str]], vocabulary: list[str]) -> list[list[int]]:
    index = {word: UNK + 1 + i for i, word in enumerate(vocabulary)}
    return [[index.get(word, UNK) for word in line] for line in lines]


def _text(tokens: Array, vocabulary: list[str], unknown: str = "<unk>") -> str:
    return " ".join(vocabulary[t - UNK - 1] if t > UNK else unknown for t in common.until_eos(tokens))
