"""The app: what it does with photos, and the page in a real browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cdvae_gan import CDVAEGAN, InputError
from cdvae_gan.app import launch
from cdvae_gan.app.session import (
    EVERY,
    Settings,
    audited,
    command,
    edited,
    flips,
    opened,
    positions,
    with_value,
)
from cdvae_gan.editing import edit
from cdvae_gan.packages import file_of_package
from chromium import chromium
from command_line import Cli
from small_export import NAMES, small_model


@pytest.fixture(scope="module")
def portrait() -> Path:
    path = file_of_package("skimage", "data", "astronaut.png")
    assert path is not None
    return path


@pytest.fixture(scope="module")
def model() -> CDVAEGAN:
    return small_model()


def test_faces_are_looked_for_once_and_edits_are_those_of_edit(
    portrait: Path, model: CDVAEGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, first = opened(portrait, model)
    assert len(photo.faces) == 1, "the smile on the suit is no face"
    assert np.array_equal(np.asarray(first.photo), np.asarray(first.original))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("faces were looked for again")

    monkeypatch.setattr("cdvae_gan.editing.find_faces", never)
    settings = Settings({"Glasses": 1.0, "Smile": 0.5}, strength=0.8, detail=1.0)
    ours = edited(photo, settings, model)
    monkeypatch.undo()
    theirs = edit(portrait, settings.do, model=model, strength=0.8, detail=1.0)
    assert np.array_equal(np.asarray(ours.photo), np.asarray(theirs.photo))
    assert not np.array_equal(np.asarray(ours.photo), np.asarray(ours.original))


def test_one_of_two_faces_is_edited_and_the_other_stays(
    portrait: Path, model: CDVAEGAN, tmp_path: Path
) -> None:
    one = np.asarray(Image.open(portrait).convert("RGB"))
    both = tmp_path / "both.png"
    Image.fromarray(np.hstack([one, one])).save(both)
    photo, _ = opened(both, model)
    assert len(photo.faces) == 2
    found = edited(photo, Settings({"Glasses": "flip"}, face="2"), model)
    direct = edit(both, {"Glasses": "flip"}, model=model, faces=2, detail=1.0)
    assert np.array_equal(np.asarray(found.photo), np.asarray(direct.photo))
    assert found.edited == direct.edited == (2,)
    assert len(found.faces) == len(direct.faces) == 2
    after = np.asarray(found.photo)
    assert np.array_equal(after[:, :512], one)
    assert not np.array_equal(after[:, 512:], one)
    everyone = np.asarray(edited(photo, Settings({"Glasses": "flip"}, face=EVERY), model).photo)
    assert not np.array_equal(everyone[:, :512], one)


def test_of_attributes_that_exclude_each_other_the_last_stays() -> None:
    model = CDVAEGAN(replace(small_model().config, exclusive=(NAMES[:2],)))
    first, second, third = NAMES[:3]
    asked = {first: 1.0, third: 0.5}
    assert with_value(asked, second, 0.5, model) == {third: 0.5, second: 0.5}
    assert with_value(asked, second, 0.0, model) == {**asked, second: 0.0}
    assert with_value(asked, third, 1.0, model) == {first: 1.0, third: 1.0}
    assert with_value({second: 0.0}, first, 1.0, model) == {second: 0.0, first: 1.0}


def test_sliders_stand_where_what_is_asked_for_or_read_says() -> None:
    model = CDVAEGAN(replace(small_model().config, exclusive=(NAMES[:2],)))
    read = [1.0, 0.0, *(1.0 for _ in NAMES[2:])]
    assert positions({}, read, model) == read
    assert positions({NAMES[1]: 1.0}, read, model) == [0.0, 1.0, *read[2:]]
    assert positions({NAMES[1]: 0.0, NAMES[2]: 0.5}, read, model) == [1.0, 0.0, 0.5, *read[3:]]


def test_the_slider_of_what_takes_the_place_moves_as_far_as_the_other() -> None:
    alone = replace(small_model().config, exclusive=(), companions=())
    model = CDVAEGAN(replace(alone, alternatives=(NAMES[:2],)))
    read = [1.0, 0.25, *(1.0 for _ in NAMES[2:])]
    assert positions({NAMES[0]: 0.0}, read, model) == [0.0, 1.0, *read[2:]]
    assert positions({NAMES[0]: 0.25}, read, model) == [0.25, 0.75, *read[2:]]
    assert positions({NAMES[0]: 0.0, NAMES[1]: 0.5}, read, model) == [0.0, 0.5, *read[2:]]


def test_the_slider_of_a_companion_moves_too() -> None:
    along = ((NAMES[0], f"{NAMES[1]}=0"),)
    alone = replace(small_model().config, exclusive=(), alternatives=())
    config = replace(alone, companions=along)
    model = CDVAEGAN(config)
    assert positions({NAMES[0]: 0.0}, [1.0, 0.75, 0.75, 0.75], model) == [0.0, 0.0, 0.75, 0.75]


def test_every_attribute_has_its_flip(portrait: Path, model: CDVAEGAN) -> None:
    cells = flips(opened(portrait, model)[0], Settings({}), model)
    assert [caption.split()[0] for _, caption in cells] == list(NAMES)
    pictures = {picture.tobytes() for picture, _ in cells}
    assert len(pictures) == len(NAMES)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_the_command_makes_the_same_picture(
    portrait: Path, model: CDVAEGAN, tmp_path: Path, cli: Cli
) -> None:
    folder = tmp_path / "model"
    model.save(folder)
    photo, _ = opened(portrait, model)
    settings = Settings({"Glasses": 1.0}, strength=0.5, detail=0.8)
    words = command(photo, settings, str(folder)).split()
    assert words[:3] == ["cdvae-gan", "edit", "astronaut.png"]
    out = tmp_path / "out.png"
    assert cli("edit", str(portrait), *words[3:], "--out", str(out)).code == 0
    ours = edited(photo, settings, model).photo
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(ours))


def test_a_classifier_is_audited_on_faces_of_photos(
    portrait: Path, model: CDVAEGAN, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"\.onnx"):
        audited(tmp_path / "clf.pkl", [portrait, portrait], ["Smile"], model)
    with pytest.raises(InputError, match="at least two photos"):
        audited(tmp_path / "clf.onnx", [portrait], ["Smile"], model)
    with pytest.raises(InputError, match="at least one attribute"):
        audited(tmp_path / "clf.onnx", [portrait, portrait], [], model)


# In a browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("app") / "model"
    small_model().save(folder)
    app = launch(folder, block=False)
    yield app.local_url
    app.close()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    with chromium() as browser:
        opened_page = browser.new_page(viewport={"width": 390, "height": 800})
        opened_page.set_default_timeout(60_000)
        asked: list[str] = []
        opened_page.on("request", lambda request: asked.append(request.url))
        opened_page.goto(address)
        yield opened_page
        outside = [u for u in asked if u.startswith("http") and not u.startswith(address)]
        assert not outside, "the app asks nothing of others"


def test_a_photo_is_uploaded_edited_by_the_keyboard_and_downloaded(
    page: Any, portrait: Path, tmp_path: Path
) -> None:
    page.set_input_files("#upload input[type=file]", str(portrait))
    page.get_by_text("1 face found").wait_for()
    slider = page.locator("#do-Glasses input[type=range]")
    value = 0 if float(slider.input_value()) > 0.5 else 1
    slider.focus()
    slider.press("End" if value else "Home")
    page.wait_for_function(
        "v => document.querySelector('#command textarea').value.includes(`Glasses=${v}`)",
        arg=value,
    )
    expected = np.asarray(edit(portrait, {"Glasses": value}, model=small_model(), detail=0.9).photo)
    saved = tmp_path / "saved.png"
    # The file follows the picture: until it is there, the button holds the one before.
    for _ in range(40):
        page.wait_for_timeout(250)
        with page.expect_download() as download:
            page.locator("#download").click()
        download.value.save_as(saved)
        if np.array_equal(np.asarray(Image.open(saved)), expected):
            break
    assert np.array_equal(np.asarray(Image.open(saved)), expected)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, "nothing runs off a phone's screen"


def test_a_photo_without_a_face_and_a_file_that_is_none_have_their_line(
    page: Any, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.png"
    Image.new("RGB", (300, 300), "white").save(empty)
    page.reload()
    page.set_input_files("#upload input[type=file]", str(empty))
    page.get_by_text("no face").first.wait_for()
    page.reload()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    page.set_input_files("#upload input[type=file]", str(broken))
    page.get_by_text("broken.png").first.wait_for()
    assert not page.get_by_text("Error").count()


def begin_with(page: Any, photo: Path) -> None:
    page.reload()
    page.set_input_files("#upload input[type=file]", str(photo))
    page.get_by_text("1 face found").wait_for()
    page.locator("#result img").first.wait_for()


def test_on_a_phone_the_picture_stays_in_sight_beside_every_slider(
    page: Any, portrait: Path
) -> None:
    begin_with(page, portrait)
    slider = page.locator(f"#do-{NAMES[-1]} input[type=range]")
    slider.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    at, picture = slider.bounding_box(), page.locator("#result").bounding_box()
    assert 0 <= picture["y"] < picture["y"] + picture["height"] <= at["y"] + at["height"] <= 800


def test_the_line_between_before_and_after_moves_with_the_keyboard(
    page: Any, portrait: Path
) -> None:
    begin_with(page, portrait)
    page.wait_for_timeout(500)
    pixels = page.locator("#result").screenshot()
    line = page.locator("#line input[type=range]")
    line.focus()
    line.press("Home")
    page.wait_for_timeout(1500)
    assert page.locator("#result").screenshot() != pixels


def test_it_listens_on_this_machine_alone(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("ends", ["by a signal", "with the program"])
def test_nothing_that_was_uploaded_is_left(ends: str, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    small_model().save(tmp_path / "model")
    waits = ends == "by a signal"
    # An upload is a file in Gradio's folder; it says when one is there.
    program = f"""
import os, pathlib, threading, time
from cdvae_gan.app import launch
def upload():
    while not (folder := os.environ.get("GRADIO_TEMP_DIR")):
        time.sleep(0.1)
    pathlib.Path(folder).mkdir(exist_ok=True)  # as Gradio does
    (pathlib.Path(folder) / "photo.png").write_bytes(b"private")
    print("uploaded", flush=True)
if {waits}:
    threading.Thread(target=upload).start()
app = launch({str(tmp_path / "model")!r}, block={waits})
upload()
"""
    others = {k: v for k, v in os.environ.items() if not k.startswith("GRADIO_")}
    room = tmp_path / "room"
    room.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**others, "TMPDIR": str(room)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for told in running.stdout:
        if told == "uploaded\n":
            break
    assert waits is False or list(room.rglob("photo.png")), "it was never there"
    if waits:
        running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert not list(room.rglob("photo.png"))
    assert not list(room.glob("cdvae-gan-app-*"))
