"""The page in a real Chromium: nothing fetched or broken, readable on a phone and in the dark."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdvae_gan.evaluation.measure import FAST, Settings, evaluate
from cdvae_gan.evaluation.report import save_report
from test_evaluate import EYE, OTHER, halves, one_way

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1280, 900), (360, 740)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = Settings(
        resamples=40, groups=("Bottom",), without=FAST - {"strength", "robustness"}, worst=2
    )
    found = evaluate(one_way, halves(), [EYE, OTHER], name="one way", settings=settings)
    return save_report(found, tmp_path_factory.mktemp("report"), "cdvae-gan evaluate …")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        missing = "no Chromium" if program is None else "no chromedriver"
        reason = f"{missing} here: apt-get install chromium chromium-driver"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def show(browser: Any, page: Path, size: tuple[int, int], scheme: str = "light") -> None:
    width, height = size
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.get(page.as_uri())


def test_it_loads_whole_and_fetches_nothing(browser: Any, page: Path) -> None:
    browser.get_log("performance")
    show(browser, page, DESKTOP)
    assert browser.title == "Evaluation of one way"
    assert browser.get_log("browser") == []
    messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = {
        m["params"]["request"]["url"].split(",")[0]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in asked if not url.startswith("data:image/png")} == {page.as_uri()}
    images = browser.execute_script(
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.alt])"
    )
    assert len(images) > 10
    assert all(complete and width == 32 and alt for complete, width, alt in images)
    plots = browser.execute_script(
        "return [...document.querySelectorAll('svg.plot')]"
        ".map(s => s.getBoundingClientRect().width)"
    )
    assert len(plots) >= 2
    assert all(width > 300 for width in plots)


def test_links_within_the_page_lead_somewhere(browser: Any, page: Path) -> None:
    show(browser, page, DESKTOP)
    broken = browser.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')]"
        ".filter(a => !document.querySelector(a.getAttribute('href'))).map(a => a.href)"
    )
    assert broken == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_is_never_wider_than_the_screen(
    browser: Any, page: Path, size: tuple[int, int]
) -> None:
    show(browser, page, size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    # What is wide, such as a table, can be scrolled in its own frame.
    hidden = browser.execute_script(
        "return [...document.querySelectorAll('table, img, svg')].filter(e => {"
        "const frame = e.closest('.scroll'); const right = e.getBoundingClientRect().right;"
        "return right > innerWidth && !(frame && frame.scrollWidth > frame.clientWidth)}).length"
    )
    assert hidden == 0


def test_letters_can_be_read_on_a_phone(browser: Any, page: Path) -> None:
    show(browser, page, PHONE)
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('td, th, p, li, small, figcaption')]"
        ".filter(e => e.textContent).map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 10
    in_plots = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('svg.plot')].map(s =>"
        "s.getBoundingClientRect().width / s.viewBox.baseVal.width * "
        "Math.min(...[...s.querySelectorAll('text')].map(t => +t.getAttribute('font-size')))))"
    )
    assert in_plots >= 8.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, page: Path, scheme: str) -> None:
    show(browser, page, DESKTOP, scheme)
    pairs = browser.execute_script(
        "const ground = e => {for (; e; e = e.parentElement) {"
        "const c = getComputedStyle(e).backgroundColor;"
        "if (c !== 'rgba(0, 0, 0, 0)') return c} return 'rgb(255, 255, 255)'};"
        "return [...document.querySelectorAll('p, li, td, th, dt, dd, small, h1, h2, figcaption')]"
        ".filter(e => e.textContent.trim()).map(e => [getComputedStyle(e).color, ground(e)])"
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


def test_it_prints(browser: Any, page: Path) -> None:
    show(browser, page, DESKTOP)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 20_000
