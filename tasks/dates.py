"""Read dates as people write them and write them as yyyy-mm-dd: "5th of March 2021" -> "2021-03-05".

Dates from 1950-01-01 to 2049-12-31, each in one of 12 templates drawn for it; four digits for the year and no numeric
day before a month, so that no string has two readings. Source: characters, at most 28 and eos. Target: 10 characters,
0-9 and the hyphen, and eos. Both are numbered from 4 on, after pad, bos, eos and unk. No date is in two splits:

    of 36,525 dates   train 20,000   val 1,000   test 2,000        tiny: 2,000, 200, 400

Where a target character is found in the source is known (`Dates.fields`), so a map of attention can be judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Literal

import numpy as np

from suite.spec.contract import UNK, Array, Batch, Bound, Signature
from suite.spec.random import Stream
from tasks import common

MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

# a letter in braces -> what is written for it, and where the year, the month and the day are found in it
PATTERNS = {
    "Y": r"(?P<year>\d{4})",
    "m": r"(?P<month>\d\d)",  # 03
    "n": r"(?P<month>\d\d?)",  # 3
    "B": r"(?P<month>[A-Z][a-z]+)",  # March
    "b": r"(?P<month>[A-Z][a-z]{2})",  # Mar
    "C": r"(?P<month>[A-Z]{3})",  # MAR
    "d": r"(?P<day>\d\d)",  # 05
    "e": r"(?P<day>\d\d?)",  # 5
    "o": r"(?P<day>\d\d?)[a-z]{2}",  # 5th
    "A": r"[A-Z][a-z]+",  # Friday
}
TEMPLATES = (
    "{Y}/{m}/{d}",
    "{Y}.{n}.{e}",
    "{Y}{m}{d}",
    "{e} {B} {Y}",
    "{B} {e}, {Y}",
    "{d} {C} {Y}",
    "{b} {e}, {Y}",
    "{d}-{b}-{Y}",
    "{o} of {B} {Y}",
    "{B} {o}, {Y}",
    "{A}, {e} {B} {Y}",
    "{A} {e} {b} {Y}",
)
ISO = ("year",) * 4 + (None,) + ("month",) * 2 + (None,) + ("day",) * 2  # the field of each target character
FIRST = UNK + 1  # the number of the first character of either side
TARGET = "0123456789-"
SOURCE = "".join(sorted({*" ,-./0123456789", *"stndrdth of", *"".join(MONTHS + DAYS), *"".join(MONTHS).upper()}))
LONGEST_SOURCE, LONGEST_TARGET = 29, 11  # with eos
SPAN = (date(1950, 1, 1).toordinal(), date(2050, 1, 1).toordinal())
PROFILES = {"full": (20_000, 1000, 2000), "tiny": (2000, 200, 400)}  # train, val, test


def in_template(day: date, template: str) -> str:
    """A date as ``template`` writes it.

    >>> [in_template(date(2021, 3, 5), template) for template in (TEMPLATES[1], TEMPLATES[8], TEMPLATES[10])]
    ['2021.3.5', '5th of March 2021', 'Friday, 5 March 2021']
    """
    month, d = MONTHS[day.month - 1], day.day
    ending = "th" if d in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(d % 10, "th")
    return template.format(
        Y=day.year, m=f"{day.month:02}", n=day.month, B=month, b=month[:3], C=month[:3].upper(),
        d=f"{d:02}", e=d, o=f"{d}{ending}", A=DAYS[day.weekday()],
    )  # fmt: skip


class Dates:
    """Dates as written in, yyyy-mm-dd out.

    >>> task = Dates(profile="tiny")
    >>> batch = task.batch("test", seed=0, step=0, size=2)
    >>> [task.source_text(x) for x in batch.x], [task.target_text(y) for y in batch.y]
    (['Wednesday, 3 February 1999', 'May 11, 1962'], ['1999-02-03', '1962-05-11'])
    >>> task.fields(batch.x[1])  # of each character of yyyy-mm-dd; a hyphen belongs to none
    [(8, 12), (8, 12), (8, 12), (8, 12), None, (0, 3), (0, 3), None, (4, 6), (4, 6)]
    """

    name = "dates"
    metric = "exact_match"
    better: Literal["higher", "lower"] = "higher"
    signature = Signature(
        "translate", "xent", inputs=FIRST + len(SOURCE), outputs=FIRST + len(TARGET), longest_target=LONGEST_TARGET
    )

    def __init__(
        self, profile: str = "full", data_seed: int = 0, val_size: int | None = None, test_size: int | None = None
    ) -> None:
        common.one_of(self.name, "profile", profile, list(PROFILES))
        common.whole_number(self.name, 0, data_seed=data_seed)
        world = f"data/{self.name}/{data_seed}"
        self._train = f"{world}/train"
        days = SPAN[0] + Stream(f"{world}/days").permutation(SPAN[1] - SPAN[0])
        kinds = Stream(f"{world}/templates").integers(len(TEMPLATES), len(days))
        ends = np.cumsum(PROFILES[profile])
        pairs = [(date.fromordinal(d), TEMPLATES[k]) for d, k in zip(days.tolist(), kinds, strict=True)][: ends[2]]
        val, test = pairs[ends[0] : ends[1]], pairs[ends[1] :]
        self._parts = [_rows(pairs[: ends[0]])]
        self._splits = {
            "val": [_rows(common.first(self.name, "val_size", val, val_size))],
            "test": [_rows(common.first(self.name, "test_size", test, test_size))],
        }

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Training goes through its dates epoch by epoch."""
        if split == "train":
            return common.epochs(self._parts, f"{self._train}/{seed}", step, size)
        return common.evaluation(self._splits, split, step, size)

    def batches(self, split: str, size: int) -> int:
        """How many batches make up "val" or "test"."""
        return common.count(self._splits, split, size)

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """exact_match: all characters and eos; characters: share of the answer's positions, eos included."""
        return common.exact_match(predictions, batches)

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """What one constant answer buys on the test split, and perfection."""
        floor = common.constant_answer(self._parts[0], self._splits["test"][0])
        return floor, Bound("ceiling", 1.0, "every date right")

    def digest(self) -> str:
        """SHA-256 of the data."""
        return common.digest(self)

    def source_text(self, tokens: Array) -> str:
        """The characters of one row of ``x``."""
        return "".join(SOURCE[t - FIRST] for t in common.until_eos(tokens))

    def target_text(self, tokens: Array) -> str:
        """The characters of one row of ``y`` or of what was decoded; "?" for what is none."""
        return "".join(TARGET[t - FIRST] if t >= FIRST else "?" for t in common.until_eos(tokens))

    def fields(self, tokens: Array) -> list[tuple[int, int] | None]:
        """For each character of the target the (first, end) in one row of ``x`` of its year, month or day."""
        text = self.source_text(tokens)
        for template in TEMPLATES:
            found = re.fullmatch(_pattern(template), text)
            if found:
                return [found.span(field) if field else None for field in ISO]
        raise ValueError(f"{self.name}: {text!r} is in none of the {len(TEMPLATES)} templates; give a row of x")


def _pattern(template: str) -> str:
    """The regular expression of what a template writes."""
    return re.sub(r"\\\{(\w)\\\}", lambda letter: PATTERNS[letter[1]], re.escape(template))


def _rows(pairs: Sequence[tuple[date, str]]) -> Batch:
    """The rows of a split."""
    source, target = ({c: FIRST + i for i, c in enumerate(side)} for side in (SOURCE, TARGET))
    written = [[source[c] for c in in_template(day, template)] for day, template in pairs]
    return common.translation(
        written, [[target[c] for c in day.isoformat()] for day, _ in pairs], (LONGEST_SOURCE, LONGEST_TARGET)
    )
