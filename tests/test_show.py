"""show: examples of each kind from a record and its weights, and one line for what cannot be shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from suite import cell, cli, weights
from suite.show import show
from suite.spec.cell import Cell
from suite.spec.contract import Sizes
from tests import tiny_data
from tests.probes import ADDING, TINY

SIZES = Sizes(hidden=4, embed=3, heads=2)
REBER = (("test_size", 4), ("time", 12), ("val_size", 4))
WORDS = (("profile", "tiny"), ("test_size", 8), ("val_size", 8))


def trained(folder: Path, **changes: Any) -> Cell:
    """The folder of a cell that ran two updates."""
    chosen = replace(TINY, sizes=SIZES, steps=2, eval_every=0, **changes)
    assert cell.run(chosen, folder, "p").outcome == "ok"
    return chosen


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["show", *map(str, arguments)])


@pytest.mark.parametrize("arch", ["gru", "transformer"])
def test_a_translation_beside_what_greed_and_a_beam_write(arch: str, tmp_path: Path) -> None:
    trained(tmp_path, task="numwords", arch=arch, options=WORDS)
    head, *lines = show(tmp_path, rows=3, width=2)
    assert head.startswith(f"reference/{arch}/numwords-profiletiny-test_size8-val_size8/s0 after 2 updates, test exact")
    assert "; here: numpy " in head
    assert lines[:2] == ["\nseventy three thousand one hundred and thirteen", "  target  73113"]
    assert [line.split()[0] for line in lines[1:4]] == ["target", "greedy", "beam"]
    assert lines[-1] == "\nright: greedy 0 of 3, beam 2 0 of 3"
    assert len(lines) == 3 * 4 + 1


def test_the_right_ones_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backends.reference.trainer import Trainer

    trained(tmp_path, task="numwords", arch="gru", options=WORDS)
    monkeypatch.setattr(Trainer, "decode", lambda self, handle: handle.y * (handle.y != handle.y[0, 1]))
    *_, last = show(tmp_path, rows=8)
    lines = [line for line in show(tmp_path, rows=8) if line.startswith("  ")]
    right = sum(a.split()[1:] == b.split()[1:] for a, b in zip(lines[::3], lines[1::3], strict=True))
    assert 0 < right < 8
    assert last.startswith(f"\nright: greedy {right} of 8, beam 4 ")


def test_texts_and_the_share_that_is_valid(tmp_path: Path) -> None:
    trained(tmp_path, task="reber", arch="gru", options=REBER)
    _, *texts, last = show(tmp_path, rows=2)
    assert len(texts) == 2
    assert all(text.startswith("\nB") for text in texts)
    assert last.startswith("\nvalid: ")
    assert last.endswith(" of 200 texts drawn at temperature 1")
    assert list(show(tmp_path, rows=2))[1:3] == texts
    assert list(show(tmp_path, rows=2, seed=1))[1:3] != texts


def test_texts_without_a_judge_go_on_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_data.install(tmp_path / "data", monkeypatch)
    trained(tmp_path, task="charlm", arch="rnn", options=(("test_size", 2), ("time", 5), ("val_size", 2)))
    _, *texts = show(tmp_path, rows=2)
    assert [len(text) for text in texts] == [1 + 100] * 2
    assert all(text.startswith("\n\n") for text in texts)  # the second is the text's own first character


def test_positions_bound_the_length_of_a_text(tmp_path: Path) -> None:
    chosen = replace(TINY, task="reber", arch="transformer", options=REBER, sizes=replace(SIZES, positions=12), steps=2)
    cell.run(replace(chosen, eval_every=0), tmp_path, "p")
    assert all(len(line) <= 1 + 12 for line in list(show(tmp_path, rows=9))[1:-1])


def test_labels_and_values(tmp_path: Path) -> None:
    trained(tmp_path / "label", task="hmm_tag", arch="rnn", options=(("test_size", 4), ("time", 5), ("val_size", 4)))
    _, *lines = show(tmp_path / "label", rows=2)
    assert [line.split()[0] for line in lines] == ["reads", "target", "says"] * 2
    assert {len(line.split()) for line in lines} == {1 + 5}
    trained(tmp_path / "final", task="adding", arch="rnn", options=ADDING)
    _, *lines = show(tmp_path / "final", rows=2)
    assert lines[0] == "\nreads   3 steps of 2 values"
    assert 0 < float(lines[1].split()[1]) < 2


def test_a_figure_of_the_attention_and_what_it_finds(tmp_path: Path) -> None:
    trained(tmp_path, task="dates", arch="gru_luong", options=WORDS)
    result = invoke(tmp_path, "--rows", "2", "--figure", tmp_path / "maps.svg")
    assert result.exit_code == 0, result.output
    said, onward, svg, png = result.output.splitlines()[-4:]
    assert said.startswith("attention: its centre is inside ")
    assert onward.startswith("attention: it never moves back in ")
    assert " of 6 fields (" in said
    assert (svg, png) == (str(tmp_path / "maps.svg"), str(tmp_path / "maps.png"))
    assert Path(svg).stat().st_size > 1000


def refused(folder: Path, *arguments: str | Path) -> str:
    result = invoke(folder, *arguments)
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    return result.output


def test_what_cannot_be_shown_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    said = refused(tmp_path / "no")
    assert said.startswith(f"recurbench: show: there is no record in {tmp_path / 'no'}; give a folder such as results/")
    chosen = trained(tmp_path, task="numwords", arch="gru", options=WORDS)
    assert "backend 'jex' is not known; did you mean 'jax'?" in refused(tmp_path, "--backend", "jex")
    assert "show: reference computes in float64 only" in refused(tmp_path, "--precision", "float32")
    assert "attention: gru has no single map to show" in refused(tmp_path, "--figure", "x.svg")
    path = tmp_path / "weights.safetensors"
    good = weights.load(path)
    weights.save(path, replace(good, params={n: p + (n == "head/d") for n, p in good.params.items()}))
    assert "holds other weights than its record names; run the cell again" in refused(tmp_path)
    path.write_bytes(b"no")
    assert "not a snapshot" in refused(tmp_path)
    path.unlink()
    assert f"there are no weights in {tmp_path} (the cell is ok); run it: python -m suite cell" in refused(tmp_path)
    data = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(data | {"cell": replace(chosen, seed=9).as_json()}))
    assert "but its cell has the key" in refused(tmp_path)
