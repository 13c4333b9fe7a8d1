"""The page that needs no server: written whole, and used in a real browser as a person would.

The tests in the browser need Chromium, and npm to fetch onnxruntime-web once; where CI is set,
nothing is skipped.
"""

from __future__ import annotations

import http.server
import io
import json
import shutil
import tarfile
import threading
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cdvae_gan import CDVAEGAN, InputError, editing
from cdvae_gan.counterfactual import Counterfactuals
from cdvae_gan.export import Example, export_web, ort_folder
from cdvae_gan.export.ort import ORT_FILES, ORT_VERSION
from cdvae_gan.faces import FRAME, Face, Similarity, aligned_face, straighten
from chromium import chromium, missing
from command_line import Cli
from small_export import NAMES, small_model

Pixels = NDArray[np.uint8]
SIZE = 32


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    grain = np.random.default_rng(seed).integers(30, 226, (height // 6, width // 6, 3), np.uint8)
    return Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC)


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


# Writing it


@pytest.fixture(scope="module")
def no_ort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the right names, for tests in which nothing runs them."""
    folder = tmp_path_factory.mktemp("ort")
    for name in ORT_FILES:
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def written(no_ort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the small model."""
    folder = tmp_path_factory.mktemp("page") / "page"
    pictures = [Example("noise.png", png(noise(120, 90)), [[50.0, 40.0], [70.0, 41.0]])]
    measured = {"Smile": 0.9}
    page = export_web(
        small_model(), folder, name="small", ort=no_ort, examples=pictures, measured=measured
    )
    assert page.difference.largest < 5e-3, "half precision rounds the weights"
    assert page.difference.exact
    return folder


def test_a_page_holds_all_that_it_needs(written: Path) -> None:
    files = {str(f.relative_to(written)) for f in written.rglob("*") if f.is_file()}
    assert {"index.html", "app.js", "model/encoder.onnx", "model/decoder.onnx"} <= files
    assert {f"ort/{name}" for name in ORT_FILES} | {"ort/LICENSE.txt"} <= files
    told = json.loads((written / "model" / "model.json").read_text())
    assert told["attributes"] == list(NAMES)
    assert told["size"] == SIZE
    assert told["measured"] == {"Smile": 0.9}
    assert told["examples"] == [{"file": "noise.png", "eyes": [[50, 40], [70, 41]]}]
    for text in ("index.html", "style.css", "app.js", "editing.js", "model.js"):
        assert "://" not in (written / text).read_text(), text


def test_a_page_replaces_a_page_and_nothing_else(
    cli: Cli, no_ort: Path, tmp_path: Path, written: Path
) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    (other / "dear.jpg").write_bytes(b"me")
    with pytest.raises(InputError, match="holds something else"):
        export_web(small_model(), other, name="small", ort=no_ort)
    assert [f.name for f in other.iterdir()] == ["dear.jpg"]
    assert "--overwrite" in cli.refused("export", "celeba64", "--web", written, "--ort", no_ort)
    assert "is a file" in cli.refused("export", "celeba64", "--web", other / "dear.jpg")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


# Where onnxruntime-web comes from


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(folder / "cache"))


def test_without_npm_it_is_said_how_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"install npm, or give --ort"):
        ort_folder()


def test_what_npm_says_is_passed_on_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path, "echo 'npm error network down' >&2; exit 1", monkeypatch)
    with pytest.raises(InputError, match=r"network down.*--ort") as caught:
        ort_folder()
    assert "\n" not in str(caught.value)


def test_an_archive_with_another_hash_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path, "echo other > package.tgz", monkeypatch)
    with pytest.raises(InputError, match="its hash is another"):
        ort_folder()
    assert not [f for f in (tmp_path / "cache").rglob("*") if f.is_file()]


def test_what_is_fetched_stays_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "given.tgz", "w:gz") as archive:
        for name in ORT_FILES:
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    fake_npm(tmp_path, f"cp {tmp_path}/given.tgz package.tgz", monkeypatch)
    monkeypatch.setattr("cdvae_gan.export.ort._digest", lambda content: "right")
    monkeypatch.setattr("cdvae_gan.export.ort._SHA512", "right")
    folder = ort_folder()
    assert {f.name: f.read_text() for f in folder.iterdir()} == {n: n for n in ORT_FILES}
    monkeypatch.setenv("PATH", "")
    assert ort_folder() == folder


def test_a_folder_given_by_hand_must_be_that_package(no_ort: Path, tmp_path: Path) -> None:
    assert ort_folder(no_ort) == no_ort
    with pytest.raises(InputError, match=ORT_FILES[0]):
        ort_folder(tmp_path)
    shutil.copytree(no_ort, tmp_path / "package" / "dist")
    (tmp_path / "package" / "package.json").write_text('{"version": "1.0.0"}')
    with pytest.raises(InputError, match=f"needs {ORT_VERSION}"):
        ort_folder(tmp_path)


# Using it


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium, without a network."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(written: Path) -> Iterator[str]:
    """The page, served from this machine as any static host would."""
    try:
        ort = ort_folder()
    except InputError as error:
        missing(str(error))
    for name in ORT_FILES:
        shutil.copyfile(ort / name, written / "ort" / name)
    handler = partial(_Quiet, directory=str(written))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Tab:
    """The page in the browser, and what a person does there."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page = page
        self.folder = folder

    def rest(self) -> None:
        self.page.wait_for_selector("body[data-ready=true][data-idle=true]")

    def open(self, picture: Image.Image, name: str = "photo.png") -> None:
        file = {"name": name, "mimeType": "image/png", "buffer": png(picture)}
        self.page.set_input_files("#file", file)
        self.page.wait_for_function(
            "([w, h]) => { const c = document.getElementById('before');"
            " return Math.abs(c.width * h - c.height * w) <= w; }",
            arg=list(picture.size),
        )
        self.rest()

    def press(self, selector: str, *keys: str) -> None:
        self.page.focus(selector)
        for key in keys:
            self.page.keyboard.press(key)
        self.rest()

    def shown(self, canvas: str = "after") -> Pixels:
        url = self.page.evaluate("id => document.getElementById(id).toDataURL()", canvas)
        return np.asarray(Image.open(io.BytesIO(b64decode(url.split(",")[1]))).convert("RGB"))

    def download(self) -> tuple[str, Image.Image]:
        with self.page.expect_download() as waiting:
            self.page.click("#download")
        waiting.value.save_as(self.folder / "download.png")
        return waiting.value.suggested_filename, Image.open(self.folder / "download.png")

    def flipped(self, name: str) -> None:
        """Move a slider to its other end by the keyboard."""
        selector = f"#attribute-{name}"
        at_end = self.page.input_value(selector) == "1"
        self.press(selector, "Home" if at_end else "End")


@pytest.fixture
def tab(browser: Any, address: str, tmp_path: Path) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1100, "height": 800}, color_scheme="light")
    context.set_default_timeout(120_000)
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.goto(address)
    tab = Tab(page, tmp_path)
    tab.rest()
    yield tab
    context.close()
    assert not wrong
    assert all(url.startswith((address, "blob:", "data:")) for url in asked), "nothing from outside"


def test_untouched_the_download_is_the_photo(tab: Tab) -> None:
    photo = noise(211, 150)
    tab.open(photo, "me.and.you.jpg")
    name, downloaded = tab.download()
    assert name == "me.and.you-edited.png"
    assert np.array_equal(np.asarray(downloaded.convert("RGB")), np.asarray(photo))


def test_a_slider_changes_the_face_and_nothing_around_it(tab: Tab) -> None:
    photo = noise(640, 300)
    tab.open(photo)
    before = tab.shown()
    tab.flipped("Smile")
    assert (tab.shown() != before).any()
    _, downloaded = tab.download()
    assert downloaded.size == photo.size, "at its full resolution"
    changed = (np.asarray(downloaded.convert("RGB")) != np.asarray(photo)).any(axis=2)
    assert changed.any()
    assert not changed[:20].any(), "above the frame"
    assert not changed[:, :80].any(), "beside it"
    tab.page.click("#reset")
    tab.rest()
    assert np.array_equal(tab.shown(), before)


def test_an_attribute_that_excludes_another_moves_its_slider(tab: Tab) -> None:
    for name in ("Black", "Blond"):
        tab.press(f"#attribute-{name}", "Home", "End")
    values = [tab.page.input_value(f"#attribute-{name}") for name in ("Black", "Blond")]
    assert values == ["1", "1"], "what is asked for outright is done"
    tab.page.click("#reset")
    tab.rest()
    tab.press("#attribute-Blond", "Home", "End")
    assert tab.page.input_value("#attribute-Black") == "0"


def test_the_eye_points_move_what_the_model_sees(tab: Tab) -> None:
    tab.open(noise(300, 300, seed=3))
    assert tab.page.is_checked("#align"), "a photo that is not aligned asks for it"
    before = tab.shown("seen")
    tab.press(".eye:nth-of-type(1)", "Shift+ArrowLeft", "Shift+ArrowLeft", "ArrowUp")
    assert (tab.shown("seen") != before).any()
    eye = tab.page.locator(".eye").nth(1)
    box = eye.bounding_box()
    moved = tab.shown("seen")
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 60, box["y"] + 40)
    tab.page.mouse.up()
    tab.rest()
    assert (tab.shown("seen") != moved).any()


def test_what_is_moved_while_it_works_ends_as_one_after_the_other(tab: Tab) -> None:
    moves = ["Glasses", "eye", "Smile"]
    ends: list[list[Pixels]] = []
    for calls in ([moves], [[move] for move in moves]):
        tab.open(noise(90, 200))  # with another photo, what was done to the last is forgotten
        tab.open(noise(300, 300, seed=3))
        for call in calls:
            tab.page.evaluate(_MOVE, call)
            tab.rest()
        ends.append([tab.shown(), tab.shown("seen")])
    for at_once, in_turn in zip(*ends, strict=True):
        assert np.array_equal(at_once, in_turn)


_MOVE = """async (moves) => {
  for (const move of moves) {
    if (move === "eye") {
      const key = { key: "ArrowLeft", shiftKey: true };
      document.querySelector(".eye").dispatchEvent(new KeyboardEvent("keydown", key));
    } else {
      const slider = document.getElementById(`attribute-${move}`);
      slider.value = 0.5;
      slider.dispatchEvent(new Event("input"));
    }
    await null; // the work begins
  }
}"""


def test_single_flips_are_shown_and_taken_over(tab: Tab) -> None:
    tab.page.click("#flips summary")
    tab.page.wait_for_selector("#grid button")
    assert tab.page.locator("#grid button").count() == len(NAMES)
    tab.page.locator("#grid button").nth(1).click()
    tab.rest()
    assert "set" in tab.page.locator(".slider").nth(1).get_attribute("class")


def test_what_is_no_image_is_refused_and_the_photo_stays(tab: Tab) -> None:
    before = tab.shown()
    file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"}
    tab.page.set_input_files("#file", file)
    tab.page.wait_for_selector("#status.wrong")
    assert "not an image" in tab.page.inner_text("#status")
    assert np.array_equal(tab.shown(), before)


def test_a_phone_shows_all_of_it(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 360, "height": 740})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360


# The same as in Python


class Painter(CDVAEGAN):
    """Draws what it is told to, at a place where nothing is known of faces."""

    def __init__(self, images: torch.Tensor, mask: torch.Tensor) -> None:
        super().__init__(small_model().config)
        self.drawn, self.drawn_mask = images, mask

    def counterfactual(self, images: Any, do: Any, *_: Any, **__: Any) -> Counterfactuals:
        a = torch.zeros(1, len(NAMES))
        return Counterfactuals(
            images, self.drawn, NAMES, a, a, a, self.drawn_mask, dict(do), detail=0.9
        )


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (1.15, 0.4), (0.53, -0.2)])
def test_photos_are_straightened_and_changes_put_back_as_in_python(
    tab: Tab, monkeypatch: pytest.MonkeyPatch, scale: float, angle: float
) -> None:
    photo = noise(300, 282, seed=5)
    flat = aligned_face(Image.new("RGB", (FRAME, FRAME)))
    turn = Similarity(scale * complex(np.cos(angle), np.sin(angle)), 0)
    place = Similarity(1, -complex(FRAME / 2, FRAME / 2)).then(turn)
    place = place.then(Similarity(1, complex(150, 140)))
    face = Face(place(flat.eyes), place(flat.nose[None])[0], 1.5)
    monkeypatch.setattr(editing, "find_faces", lambda photo, any_angle: [face])

    x = np.asarray(straighten(photo, face.to_frame, SIZE)).astype(np.float32)
    generator = torch.Generator().manual_seed(0)
    small = torch.from_numpy(x).permute(2, 0, 1)[None] / 127.5 - 1
    images = (
        small
        + 0.4
        * (torch.rand(1, 3, 4, 4, generator=generator) - 0.5)
        .repeat_interleave(8, dim=2)
        .repeat_interleave(8, dim=3)
    ).clamp(-1, 1)
    mask = torch.rand(1, 1, SIZE, SIZE, generator=generator)
    theirs = editing.edit(photo, {"Smile": 1}, model=Painter(images, mask)).photo

    eyes = face.eyes.reshape(2, 2, 2).mean(1).tolist()
    found = tab.page.evaluate(
        _IN_THE_PAGE,
        {
            "pixels": np.dstack([np.asarray(photo), np.full((282, 300), 255)]).ravel().tolist(),
            "size": list(photo.size),
            "eyes": eyes,
            "targets": flat.eyes.reshape(2, 2, 2).mean(1).tolist(),
            "drawn": ((images[0] + 1) * 127.5).flatten(1).tolist(),
            "mask": mask.flatten().tolist(),
            "side": SIZE,
        },
    )
    seen = np.array(found["seen"]).reshape(3, SIZE, SIZE).transpose(1, 2, 0)
    assert np.abs(seen - x).max() <= 1
    ours = np.array(found["photo"], float).reshape(282, 300, 4)[..., :3]
    gap = np.abs(ours - np.asarray(theirs).astype(float))
    changed = np.abs(np.asarray(theirs).astype(float) - np.asarray(photo)).max()
    assert changed > 20, "or there would be nothing to compare"
    assert gap.max() <= 3
    assert gap.mean() < 0.25


_IN_THE_PAGE = """async ({ pixels, size, eyes, targets, drawn, mask, side }) => {
  const e = await import("./editing.js");
  const photo = new ImageData(new Uint8ClampedArray(pixels), ...size);
  const toFrame = e.similarity(eyes, targets);
  const field = (values) => ({ data: Float32Array.from(values), width: side, height: side });
  const x = e.straighten(photo, toFrame, side);
  const change = e.changeOf(x, drawn.map(field), field(mask), 0.9);
  return {
    seen: x.flatMap((f) => [...f.data]),
    photo: [...e.pasted(photo, toFrame, change).data],
  };
}"""
