"""The page in a real Chromium: nothing fetched or broken, readable on a phone and in the dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdvae_gan.evaluation.measure import FAST, Settings, evaluate
from cdvae_gan.evaluation.report import save_report
from chromium import chromium
from test_evaluate import EYE, OTHER, halves, one_way

DESKTOP, PHONE = (1280, 900), (360, 740)
Show = Callable[..., Any]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = Settings(
        resamples=40, groups=("Bottom",), without=FAST - {"strength", "robustness"}, worst=2
    )
    found = evaluate(one_way, halves(), [EYE, OTHER], name="one way", settings=settings)
    return save_report(found, tmp_path_factory.mktemp("report"), "cdvae-gan evaluate …")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def show(browser: Any, page: Path) -> Iterator[Show]:
    """Opens the page on a screen of some size, in a tab of its own."""
    contexts = []

    def opened(size: tuple[int, int], scheme: str = "light") -> Any:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            is_mobile=width < 500,
        )
        contexts.append(context)
        tab = context.new_page()
        tab.asked, tab.said = [], []
        tab.on("request", lambda request: tab.asked.append(request.url.split(",")[0]))
        tab.on("console", lambda message: tab.said.append(message.text))
        tab.on("pageerror", lambda error: tab.said.append(str(error)))
        tab.goto(page.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()


def test_it_loads_whole_and_fetches_nothing(show: Show, page: Path) -> None:
    tab = show(DESKTOP)
    assert tab.title() == "Evaluation of one way"
    assert tab.said == []
    assert {u for u in tab.asked if not u.startswith("data:image/png")} == {page.as_uri()}
    images = tab.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth, i.alt])")
    assert len(images) > 10
    assert all(complete and width == 32 and alt for complete, width, alt in images)
    plots = tab.evaluate(
        "[...document.querySelectorAll('svg.plot')].map(s => s.getBoundingClientRect().width)"
    )
    assert len(plots) >= 2
    assert all(width > 300 for width in plots)


def test_links_within_the_page_lead_somewhere(show: Show) -> None:
    tab = show(DESKTOP)
    broken = tab.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')]"
        ".filter(a => !document.querySelector(a.getAttribute('href'))).map(a => a.href)"
    )
    assert broken == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_is_never_wider_than_the_screen(show: Show, size: tuple[int, int]) -> None:
    tab = show(size)
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    # What is wide, such as a table, can be scrolled in its own frame.
    hidden = tab.evaluate(
        "[...document.querySelectorAll('table, img, svg')].filter(e => {"
        "const frame = e.closest('.scroll'); const right = e.getBoundingClientRect().right;"
        "return right > innerWidth && !(frame && frame.scrollWidth > frame.clientWidth)}).length"
    )
    assert hidden == 0


def test_letters_can_be_read_on_a_phone(show: Show) -> None:
    tab = show(PHONE)
    smallest = tab.evaluate(
        "Math.min(...[...document.querySelectorAll('td, th, p, li, small, figcaption')]"
        ".filter(e => e.textContent).map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 10
    in_plots = tab.evaluate(
        "Math.min(...[...document.querySelectorAll('svg.plot')].map(s =>"
        "s.getBoundingClientRect().width / s.viewBox.baseVal.width * "
        "Math.min(...[...s.querySelectorAll('text')].map(t => +t.getAttribute('font-size')))))"
    )
    assert in_plots >= 8.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(show: Show, scheme: str) -> None:
    tab = show(DESKTOP, scheme)
    pairs = tab.evaluate(
        "() => {const ground = e => {for (; e; e = e.parentElement) {"
        "const c = getComputedStyle(e).backgroundColor;"
        "if (c !== 'rgba(0, 0, 0, 0)') return c} return 'rgb(255, 255, 255)'};"
        "return [...document.querySelectorAll('p, li, td, th, dt, dd, small, h1, h2, figcaption')]"
        ".filter(e => e.textContent.trim()).map(e => [getComputedStyle(e).color, ground(e)])}"
    )
    assert (luminance(pairs[0][1]) > 0.5) == (scheme == "light")
    for ink, ground in {tuple(pair) for pair in pairs}:
        light, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def luminance(color: str) -> float:
    """Relative luminance in [0, 1], as WCAG 2 defines it."""
    parts = color[color.index("(") + 1 : -1].split(",")[:3]
    c = np.array([float(part) for part in parts]) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_it_prints(show: Show) -> None:
    tab = show(DESKTOP)
    assert len(tab.pdf(print_background=True)) > 15_000
