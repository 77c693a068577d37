"""Attention maps: what is planted is counted and drawn, and who has none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite import registry
from suite.report import attention
from suite.spec import params
from suite.spec.archs import ARCHS
from suite.spec.contract import Array, Batch, Net, Sizes

DATES: Any = registry.task("dates", profile="tiny")
WORDS: Any = registry.task("numwords", profile="tiny")
SIZES = Sizes(hidden=4, embed=3, heads=2)


def batch(rows: int = 6) -> Batch:
    return DATES.batch("test", 0, 0, rows)


def planted(b: Batch, shift: int = 0) -> Array:
    """Every field's characters looked at alike, or what stands ``shift`` to the right of them."""
    maps = attention.everywhere(b)
    for row, x in zip(maps, b.x, strict=True):
        for s, span in enumerate(DATES.fields(x)):
            if span:
                row[s] = 0.0
                row[s, np.arange(*span) + shift] = 1 / (span[1] - span[0])
    return maps


def test_who_looks_at_the_fields_is_inside_all_of_them() -> None:
    b = batch()
    assert attention.inside(DATES, b, planted(b)) == (18, 18)


def test_who_looks_elsewhere_is_outside() -> None:
    b = batch()
    fields = [{span for span in DATES.fields(x) if span} for x in b.x]
    one_off = sum(2 * 1 < end - first for row in fields for first, end in row)  # the centre moved by 1 is still inside
    assert attention.inside(DATES, b, planted(b, shift=1)) == (one_off, 18)
    assert attention.inside(DATES, b, planted(b)[::-1].copy())[0] < 18  # another row's map
    assert attention.inside(DATES, b, planted(b)[:, ::-1].copy())[0] < 18  # the year's for the day
    assert attention.inside(DATES, b, np.full_like(planted(b), np.nan)) == (0, 18)


def test_the_edge_of_a_field_is_half_a_character_beyond_its_last() -> None:
    b = batch(2)  # 'May 11, 1962' is the second: its month is 0..2
    maps = planted(b)
    for at, want in ((0.0, 6), (2.4, 6), (2.5, 5), (3.0, 5)):
        maps[1, 5:7] = 0.0
        low = int(at)
        maps[1, 5:7, low], maps[1, 5:7, low + 1] = 1 - (at - low), at - low
        assert attention.inside(DATES, b, maps) == (want, 6)


def test_who_moves_back_within_a_field_is_told() -> None:
    b = batch()
    assert attention.onward(DATES, b, planted(b)) == (18, 18)
    back = planted(b)
    back[2, :4] = 0.0  # a year is the first four characters of every target
    back[2, (0, 1, 2, 3), (2, 1, 1, 1)] = 1.0  # the second digit is looked for a whole character before the first
    assert attention.onward(DATES, b, back) == (17, 18)
    assert attention.onward(DATES, b, np.full_like(back, np.nan)) == (0, 18)


def test_rows_that_are_not_scored_do_not_count() -> None:
    b = DATES.batch("test", 0, 399, 1)
    padded = DATES.batch("test", 0, 57, 7)  # 400 rows: one is left
    assert padded.scored.any(1).sum() == 1
    assert attention.inside(DATES, padded, attention.everywhere(padded)) == attention.inside(
        DATES, b, attention.everywhere(b)
    )


def test_maps_are_the_oracles_weights() -> None:
    net = Net(ARCHS["gru_luong"], DATES.signature, SIZES)
    maps, b = attention.maps(net, params.init(net, 0), batch()), batch()
    assert maps.shape == (6, 11, 29)
    assert np.max(np.abs(maps.sum(-1) - 1)) <= 1e-14
    assert (maps[~np.broadcast_to(b.valid[:, None], maps.shape)] == 0).all()


@pytest.mark.parametrize("task", [DATES, WORDS], ids=["dates", "numwords"])
def test_a_figure_is_the_same_bytes_every_time(task: Any, tmp_path: Path) -> None:
    b = task.batch("test", 0, 0, 2)
    one, two = (attention.draw(task, b, attention.everywhere(b), tmp_path / name / "maps.svg") for name in "ab")
    assert [p.name for p in one] == ["maps.svg", "maps.png"]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


@pytest.mark.parametrize("arch", ["gru", "transformer"])
def test_a_network_without_one_map_is_refused(arch: str) -> None:
    net = Net(ARCHS[arch], DATES.signature, SIZES)
    with pytest.raises(ValueError, match=f"attention: {arch} has no single map to show; use one such as gru_attention"):
        attention.maps(net, params.init(net, 0), batch())


def test_a_task_that_knows_no_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="attention: numwords does not know where its fields are; use a task such as"):
        attention.inside(WORDS, batch(), attention.everywhere(batch()))


def test_a_task_without_texts_is_refused(tmp_path: Path) -> None:
    b = batch()
    with pytest.raises(ValueError, match="attention: reber does not say how its tokens are written"):
        attention.draw(registry.task("reber", val_size=2, test_size=2), b, attention.everywhere(b), tmp_path / "x")
