"""dates: every template has one reading and known fields, splits share no date, the constant answer gets its floor."""

from __future__ import annotations

import re
import time
from datetime import date

import numpy as np
import pytest

from suite.contract import right_answers
from suite.spec.contract import EOS
from tasks.dates import FIRST, LONGEST_SOURCE, PROFILES, SOURCE, SPAN, TEMPLATES, Dates, in_template
from tests.task_runs import scored, training, whole

FORMATS = (
    "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d %B %Y", "%B %d, %Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y", "%d of %B %Y",
    "%B %d, %Y", "%A, %d %B %Y", "%A %d %b %Y",
)  # fmt: skip


def read(text: str, form: str) -> date | None:
    """A date by the standard library's parser, which ends of ordinals are taken from; None where it is no date."""
    try:
        found = time.strptime(re.sub(r"\b(\d+)(st|nd|rd|th)\b", r"\1", text), form)
    except ValueError:
        return None
    return date(*found[:3])


@pytest.mark.parametrize("which", range(len(TEMPLATES)))
def test_what_is_written_is_read_back(which: int) -> None:
    for ordinal in range(*SPAN, 53):
        day = date.fromordinal(ordinal)
        text = in_template(day, TEMPLATES[which])
        assert read(text, FORMATS[which]) == day
        if "A" in TEMPLATES[which]:
            assert text.startswith(f"{day:%A}")


def test_no_string_has_two_readings() -> None:
    for ordinal in range(*SPAN, 199):
        day = date.fromordinal(ordinal)
        for template in TEMPLATES:
            assert {read(in_template(day, template), form) for form in FORMATS} == {day, None}, template


def test_ordinals_end_as_in_english() -> None:
    said = [in_template(date(2000, 1, d), "{o}") for d in (1, 2, 3, 4, 11, 12, 13, 20, 21, 22, 23, 30, 31)]
    assert said == "1st 2nd 3rd 4th 11th 12th 13th 20th 21st 22nd 23rd 30th 31st".split()


@pytest.mark.parametrize("profile", PROFILES)
def test_no_date_is_in_two_splits(profile: str) -> None:
    task, sizes = Dates(profile=profile), PROFILES[profile]
    batches = [training(task, sizes[0] // 1000, 1000), whole(task, "val", 1000), whole(task, "test", 1000)]
    splits = [[task.target_text(y) for b in part for y in b.y[b.scored.any(1)]] for part in batches]
    assert [len(split) for split in splits] == list(sizes)  # one epoch is train, once
    dates = {date.fromisoformat(text) for split in splits for text in split}
    assert len(dates) == sum(sizes)
    assert SPAN[0] <= min(dates).toordinal() < max(dates).toordinal() < SPAN[1]


def test_every_row_means_what_it_says_and_its_fields_are_where_they_are_said_to_be() -> None:
    task, seen = Dates(profile="tiny"), set[str]()
    for b in training(task, 10):
        for x, y in zip(b.x[b.scored.any(1)], b.y[b.scored.any(1)], strict=True):
            text, day = task.source_text(x), date.fromisoformat(task.target_text(y))
            seen |= {t for t in TEMPLATES if in_template(day, t) == text}
            fields = task.fields(x)
            assert [span is None for span in fields] == [c == "-" for c in day.isoformat()]
            year, month, number = (text[slice(*fields[i])] for i in (0, 5, 8))  # type: ignore[misc]
            assert fields[:4] == [fields[0]] * 4
            assert (fields[5], fields[8]) == (fields[6], fields[9])
            assert (int(year), int(number)) == (day.year, day.day)
            months = (f"{day.month}", f"{day.month:02}", f"{day:%B}", f"{day:%b}", f"{day:%b}".upper())
            assert month in months
    assert seen == set(TEMPLATES)


def test_what_is_no_date_has_no_fields() -> None:
    task = Dates(profile="tiny")
    row = np.array([FIRST + SOURCE.index(c) for c in "May 1062"] + [EOS], np.int32)
    with pytest.raises(ValueError, match="dates: 'May 1062' is in none of the 12 templates; give a row of x"):
        task.fields(row)


def test_the_constant_answer_gets_its_floor_and_the_right_one_the_ceiling() -> None:
    task = Dates()
    test, train = whole(task, "test", 500), training(task, 20, 1000)
    y = np.concatenate([b.y for b in train])
    constant = np.array([np.bincount(column).argmax() for column in y.T])
    found = scored(task, test, lambda b: np.tile(constant, (len(b.y), 1)))
    floor, ceiling = task.bounds(False)
    assert found["exact_match"] == floor.value == 0.0
    assert f"({found['characters']:.3f} of characters)" in floor.what
    hyphens_and_digits = np.mean([b.y[:, :10] == constant[:10] for b in test])
    assert abs(hyphens_and_digits - 0.457) <= 0.005
    assert found["characters"] == pytest.approx((10 * hyphens_and_digits + 1) / 11)
    assert scored(task, test, lambda b: right_answers(task.signature, b))["exact_match"] == ceiling.value == 1.0


def test_sources_are_as_long_as_they_are_said_to_be() -> None:
    lengths = np.concatenate([b.lengths - 1 for b in training(Dates(), 20, 1000)])
    assert lengths.max() == LONGEST_SOURCE - 1 == 28
    assert lengths.min() == 8
    assert abs(lengths.mean() - 14) <= 0.2


def test_templates_are_as_frequent_as_each_other() -> None:
    task, counts = Dates(), dict.fromkeys(TEMPLATES, 0)
    for b in training(task, 5, 1000):
        for x, y in zip(b.x, b.y, strict=True):
            day = date.fromisoformat(task.target_text(y))
            if day.month != 5:  # May is its own abbreviation: two templates write the same
                counts[next(t for t in TEMPLATES if in_template(day, t) == task.source_text(x))] += 1
    expected = sum(counts.values()) / len(TEMPLATES)
    assert sum((n - expected) ** 2 / expected for n in counts.values()) <= 31.3  # chi square, 11 degrees, p = .001


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "short"}, "dates: profile is 'short'; use one of full, tiny"),
        ({"profile": "tiny", "val_size": 201}, "dates: val_size is 201; there are 200"),
        ({"test_size": 1}, "dates: test_size is 1; use a whole number >= 2"),
        ({"data_seed": -1}, "dates: data_seed is -1; use a whole number >= 0"),
    ],
)
def test_an_impossible_value_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dates(**options)  # type: ignore[arg-type]
