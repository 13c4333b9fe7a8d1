"""Pages of reports: nothing from outside, nothing lost, nothing that breaks out of its place."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from cdvae_gan import InputError
from cdvae_gan.report import Cell, Intervals, Page, Plot, Series

RED = np.full((8, 8, 3), (200, 30, 30), np.uint8)


@pytest.fixture
def page() -> Page:
    page = Page("Tom & <Jerry>", "**Two** of `them`", "Made by hand")
    part = page.section("First part")
    part.text("See [the source](https://example.org/a).")
    part.warning("Few images.")
    part.items(["one", "two"])
    part.facts([("deception", ".81", "n = 20")])
    part.table(
        ["attribute", "put on"],
        [
            ["a|b <c>", Cell(".31", "[.29, .33]", "bad")],
            ["mean", ".31"],
            ["doubt", Cell(".5", "[.1, .9]", "muted")],
        ],
        strong=["mean"],
        muted=["doubt"],
        caption="What it shows",
    )
    part.plot(Plot([Series("cnn", [0, 1], [0.2, 0.9])], "strength", "deception"), title="Curve")
    part.images([[RED, None]], columns=["photo", "Hat=1"], rows_labels=["x.png"], caption="Drawn")
    part.picture(Image.fromarray(RED), caption="A red square")
    return page


def test_the_page_needs_nothing_else(page: Page) -> None:
    html = page.html()
    assert not re.search(r'(src|href)="(?!data:|#|https://example\.org/a")', html)
    assert "<script" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_names_are_shown_and_not_obeyed(page: Page) -> None:
    html = page.html()
    assert "Tom &amp; &lt;Jerry&gt;" in html
    assert "a|b &lt;c&gt;" in html
    assert "<c>" not in html
    assert "<strong>Two</strong> of <code>them</code>" in html
    assert '<a href="https://example.org/a">the source</a>' in html


def test_markdown_holds_the_same(page: Page) -> None:
    text, pictures = page.markdown()
    assert "| a\\|b &lt;c> | .31 [.29, .33] |" in text
    assert "| **mean** | .31 |" in text
    assert "| *doubt* | *.5* [.1, .9] |" in text
    assert "> **Note:** Few images." in text
    assert list(pictures) == ["first-part-1.svg", "first-part-2.png", "first-part-3.png"]
    for name in pictures:
        assert f"](figures/{name})" in text


def test_a_saved_page_is_whole(page: Page, tmp_path: Path) -> None:
    html, text = page.save(tmp_path / "report")
    assert html.read_text("utf-8") == page.html()
    found = re.findall(r"\]\((figures/\S+)\)", text.read_text("utf-8"))
    assert len(found) == 3
    assert all((text.parent / name).stat().st_size for name in found)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_folder_that_cannot_be_is_refused(page: Page, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the report"):
        page.save(tmp_path / "file")


def test_a_row_with_a_cell_too_many_is_refused(page: Page) -> None:
    with pytest.raises(InputError, match="3 cells for 2 columns"):
        page.section("Wrong").table(["a", "b"], [["1", "2", "3"]])


def drawn(plot: Plot | Intervals) -> ElementTree.Element:
    return ElementTree.fromstring(plot.svg())


SVG = "{http://www.w3.org/2000/svg}"


def test_points_lie_where_their_values_are() -> None:
    values = [0.0, 0.5, 1.0]
    svg = drawn(Plot([Series("s", values, values, line=False)], "x", "y", (0, 1), (0, 1)))
    places = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in svg.iter(f"{SVG}circle")]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert x0 < x2
    assert y0 > y2  # upwards is more


def test_intervals_are_drawn_whole() -> None:
    series = Series(
        "s", [0.5, 0.6], [0.5, 0.6], [0.1, 0.5], [0.9, 0.7], [0, 0.5], [1, 0.7], line=False
    )
    lines = list(drawn(Plot([series], "x", "y")).iter(f"{SVG}line"))
    whiskers = [line for line in lines if line.get("opacity") == "0.5"]
    assert len(whiskers) == 4
    for ends in (("x1", "x2"), ("y1", "y2")):
        frame = [float(line.get(e, 0)) for line in lines if line not in whiskers for e in ends]
        for line in whiskers:
            assert min(frame) < min(float(line.get(e, 0)) for e in ends)
            assert max(float(line.get(e, 0)) for e in ends) < max(frame)


def test_what_is_not_known_is_not_drawn() -> None:
    nan = float("nan")
    svg = drawn(Plot([Series("s", [0, 1, 2], [0.1, nan, 0.3], line=False)], "x", "y"))
    assert len(list(svg.iter(f"{SVG}circle"))) == 2
    assert "nan" not in Plot([Series("s", [nan], [nan])], "x", "y").svg()
    rows = drawn(Intervals([("a", 0.1, 0, 0.2), ("b", nan, nan, nan)], "share"))
    assert len(list(rows.iter(f"{SVG}circle"))) == 1


@pytest.mark.parametrize("line", [True, False])
def test_an_unknown_interval_is_not_drawn_and_its_value_is(line: bool) -> None:
    nan = float("nan")
    series = Series(
        "s", [0, 1], [0.1, 0.3], [0.0, nan], [0.2, nan], [-0.1, nan], [0.1, nan], line=line
    )
    for plot in (
        Plot([series], "x", "y"),
        Intervals([("a", 0.1, 0, 0.2), ("b", 0.3, nan, nan)], "share"),
    ):
        assert "nan" not in plot.svg()
        assert len(list(drawn(plot).iter(f"{SVG}circle"))) == 2


def test_labels_of_close_points_do_not_overlap() -> None:
    names = ["Mustache", "Eyeglasses", "Bangs", "Smiling"]
    x, y = [0.50, 0.51, 0.52, 0.53], [0.5, 0.51, 0.5, 0.49]
    svg = drawn(Plot([Series("s", x, y, labels=names, line=False)], "x", "y", (0, 1), (0, 1)))
    places = {t.text: (float(t.get("x", 0)), float(t.get("y", 0))) for t in svg.iter(f"{SVG}text")}
    boxes = [(*places[n], 6 * len(n)) for n in names]
    for i, (ax, ay, aw) in enumerate(boxes):
        for bx, by, bw in boxes[:i]:
            apart = abs(ay - by) >= 9 or ax + aw <= bx or bx + bw <= ax
            assert apart, (ax, ay, bx, by)
