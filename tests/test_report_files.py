"""Figures, the page and the Markdown file from synthetic records: complete, self-contained, the same every time."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from suite import record as records
from suite import report
from suite.report import figures, html, style
from suite.report.groups import group
from tests.records import cell, failed, matrix, ok, write_all

PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("results"), matrix(seeds=2))


@pytest.fixture(scope="module")
def written(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    paths = report.write(results, out)
    assert sorted(paths) == sorted(p for p in out.rglob("*") if p.is_file())
    return out


def test_every_figure_is_there_as_svg_and_png(written: Path) -> None:
    for name in figures.FIGURES:
        drawn = (written / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert drawn.startswith("<?xml")
        assert (written / "figures" / f"{name}.png").read_bytes().startswith(PNG)


def test_a_figure_holds_nothing_that_nobody_sees(written: Path) -> None:
    """Thousands of digits, blanks and long names of glyphs were a third of what is committed of figures."""
    for path in (written / "figures").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert "DejaVuSans" not in text
        assert re.search(r"\d\d\.\d\d", text) is None
        assert "\n " not in text


def test_the_same_records_give_the_same_bytes(results: Path, written: Path, tmp_path: Path) -> None:
    report.write(results, tmp_path)
    for path in written.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(written)).read_bytes(), path.name


def test_figures_name_no_date_and_no_version(written: Path) -> None:
    for path in (written / "figures").iterdir():
        assert not re.search(rb"dc:date|20\d\d-\d\d-\d\d|Matplotlib v", path.read_bytes()), path.name


class Links(HTMLParser):
    """Everything a page would load, every id, and whether its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        names = ("src", "href", "xlink:href")
        self.loaded += [v for k in names if (v := given.get(k)) and not v.startswith("#")]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert links.open == []
    assert links.loaded == []
    assert len(set(links.ids)) == len(links.ids)
    assert "<script" not in text
    assert text.count("<svg") == len(figures.FIGURES)
    for word in ("exact Bayes", "diverged (1 of 2 seeds)", "SIGSEGV", "versions.numpy"):
        assert word in text


def test_reasons_cannot_inject_markup() -> None:
    text = html.page(group([failed(cell(), "crash", "<script>alert(1)</script>")]), {})
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_the_last_lines_of_a_crash_are_shown() -> None:
    bad = replace(failed(cell(), "crash", "killed by SIGSEGV"), log=("Fatal Python error", "<b>"))
    text = html.page(group([ok(cell(seed=1)), bad]), {})
    assert "What crashed" in text
    assert "<pre>Fatal Python error\n&lt;b&gt;</pre>" in text
    assert "What crashed" not in html.page(group([ok(cell())]), {})


def test_a_leak_is_marked_in_the_page() -> None:
    text = html.page(group([ok(cell(), score=0.95)]), {})
    assert '<p class="leak">!!! LEAK?' in text
    assert '<td class="leak">0.9500 ±0.0078!</td>' in text


def test_markdown_points_to_its_figures(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((figures/\w+\.svg)\)", text):
        assert (written / name).exists()
    assert text.count("](figures/") == len(figures.FIGURES)


def test_one_plan_of_several(tmp_path: Path) -> None:
    write_all(tmp_path / "in", [ok(cell(), plan="one"), ok(cell(), plan="two")])
    report.write(tmp_path / "in", tmp_path / "one", plan="one")
    assert "two / hmm_tag" not in (tmp_path / "one" / "report.md").read_text(encoding="utf-8")
    report.write(tmp_path / "in", tmp_path / "both")
    assert "two / hmm_tag" in (tmp_path / "both" / "report.md").read_text(encoding="utf-8")
    report.write(tmp_path / "in" / "one", tmp_path / "own")  # a plan's own folder will do
    assert (tmp_path / "own" / "figures" / "norms.svg").exists()


def test_no_record_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no record of plan 'quick' below .*; run a plan first"):
        report.write(tmp_path, tmp_path, plan="quick")


def test_records_with_nothing_to_draw_have_no_figures(tmp_path: Path) -> None:
    bare = replace(ok(cell()), curve=(), step_s=())
    records.write(bare, tmp_path / bare.plan / bare.key)
    records.write(failed(cell(seed=1), "oom", "killed"), tmp_path / bare.plan / cell(seed=1).key)
    assert [p.name for p in report.write(tmp_path, tmp_path / "out")] == ["report.md", "report.html"]


def test_flow_uses_one_backend_and_the_layers_output(tmp_path: Path) -> None:
    write_all(tmp_path, [ok(cell(backend=b)) for b in ("pytorch", "jax")])
    figure = figures.flow(group(records.read_all(tmp_path)), tmp_path)
    (ax,) = figure.axes
    assert len(ax.lines) == 2  # first and last update of one backend
    solid = next(line for line in ax.lines if line.get_linestyle() == "-")
    np.testing.assert_allclose(solid.get_ydata(), 0.1 * 0.97 ** np.arange(59, -1, -1))


def test_flow_of_an_encoder_is_shown_and_batches_of_other_lengths_do(tmp_path: Path) -> None:
    write_all(tmp_path, [ok(cell(seed=s)) for s in (0, 1)], flow=False)
    for r, steps in zip(records.read_all(tmp_path), (5, 7), strict=True):
        arrays = {
            "1/dec/layer0/h": np.ones(3),
            "1/enc/layer0/h": np.full(steps, float(steps)),
            "1/enc/layer0/c": np.ones(2),
        }
        np.savez(tmp_path / r.plan / r.key / "flow.npz", **arrays)
    figure = figures.flow(group(records.read_all(tmp_path)), tmp_path)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), np.full(5, 6.0))


def test_curves_average_the_points_that_all_seeds_have(tmp_path: Path) -> None:
    a, b = ok(cell(seed=0)), ok(cell(seed=1))
    b = replace(b, curve=b.curve[:5])
    figure = figures.curves(group([a, b]), tmp_path)
    x, y = figure.axes[0].lines[0].get_data()
    assert list(x) == [20, 40, 60, 80, 100]
    np.testing.assert_allclose(y, [(p["accuracy"] + q["accuracy"]) / 2 for p, q in zip(a.curve, b.curve, strict=False)])


@pytest.mark.parametrize("names", [3, 14])
def test_a_legend_stays_within_its_figure(names: int) -> None:
    with matplotlib.rc_context(style.SETTINGS):
        figure, (ax,) = style.panels(["one"], height=3.0)
        handles = [ax.plot([0, 1], label=f"backend{n} implementation")[0] for n in range(names)]
        style.legend(figure, handles, 6, fontsize=8)
        figure.draw_without_rendering()
    (made,) = figure.legends
    box = made.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, box
    assert len(made.get_texts()) == names


def test_the_report_needs_neither_framework_nor_mlflow(tmp_path: Path) -> None:
    results = write_all(tmp_path / "in", [ok(cell())], flow=False)
    code = (
        "import sys, pathlib, suite.report as r;"
        "r.write(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]));"
        "print({'torch', 'tensorflow', 'jax', 'mlflow', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(results), str(tmp_path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "set()"
