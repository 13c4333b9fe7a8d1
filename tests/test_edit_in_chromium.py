"""The page with a slider between before and after, used as a person would: mouse, finger, keys."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan.counterfactual import Counterfactuals
from cdvae_gan.editing import EditedPhoto
from cdvae_gan.faces import aligned_face
from chromium import chromium

DESKTOP, PHONE, LYING = (1200, 800), (390, 844), (844, 390)
RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red before, blue after."""
    before, after = (Image.new("RGB", (640, 480), colour) for colour in (RED, BLUE))
    x, a = torch.zeros(1, 3, 32, 32), torch.zeros(1, 1)
    made = Counterfactuals(x, x, ("Blue",), a, a, a, x[:, :1], {"Blue": 1.0}, 1.0)
    edited = EditedPhoto(before, after, (aligned_face(before),), (1,), made)
    return edited.save_comparison(tmp_path_factory.mktemp("page") / "before-and-after.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=[DESKTOP, PHONE, LYING], ids=["desktop", "phone", "lying phone"])
def tab(browser: Any, page: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, height = request.param
    phone = min(width, height) < 500
    context = browser.new_context(
        viewport={"width": width, "height": height}, is_mobile=phone, has_touch=phone
    )
    tab, wrong = context.new_page(), []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text))
    tab.goto(page.as_uri())
    yield tab
    context.close()
    assert not wrong


def at(tab: Any) -> float:
    return float(tab.input_value("input"))


def colours(tab: Any) -> list[str]:
    """What is seen on a line through the picture, from left to right."""
    picture = Image.open(io.BytesIO(tab.locator(".pair").screenshot())).convert("RGB")
    row = np.asarray(picture)[picture.height // 5].astype(int)
    return ["before" if r > b else "after" for r, _, b in row[[5, 100, -100, -5]]]


def test_it_fits_on_the_screen(tab: Any) -> None:
    size = tab.viewport_size
    width, height = tab.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert width <= size["width"]
    assert height <= size["height"]
    box = tab.locator("input").bounding_box()
    assert box["height"] >= 24, "a finger has to hit it"


def test_arrow_keys_move_it_at_once(tab: Any) -> None:
    assert colours(tab) == ["before", "before", "after", "after"]
    tab.keyboard.press("ArrowLeft")
    assert at(tab) == 48
    tab.keyboard.press("Home")
    assert colours(tab) == ["after"] * 4
    tab.keyboard.press("End")
    assert colours(tab) == ["before"] * 4
    assert tab.get_attribute("input", "aria-valuetext") == "100 % before"


def test_it_follows_the_mouse_beyond_the_edge_and_keys_go_on_from_there(tab: Any) -> None:
    box = tab.locator(".pair").bounding_box()
    y = box["y"] + box["height"] / 3
    tab.mouse.move(box["x"] + box["width"] / 4, y)
    assert at(tab) == 50, "no button is pressed"
    tab.mouse.down()
    assert at(tab) == pytest.approx(25, abs=0.5)
    tab.mouse.move(tab.viewport_size["width"] - 1, y, steps=2)
    tab.mouse.up()
    assert at(tab) == 100
    tab.mouse.move(box["x"] + 10, y)
    assert at(tab) == 100, "it was let go"
    tab.keyboard.press("ArrowLeft")
    assert at(tab) == 98


def test_a_tap_moves_it(tab: Any) -> None:
    if tab.viewport_size["width"] == DESKTOP[0]:
        pytest.skip("no finger here")
    box = tab.locator(".pair").bounding_box()
    tab.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 3)
    assert at(tab) == pytest.approx(75, abs=0.5)
    assert colours(tab) == ["before", "before", "before", "after"]
