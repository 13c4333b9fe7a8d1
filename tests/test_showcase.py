"""The demo edits photographs at once, shows all of it on a page, and avatars beside the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan import CDVAEGAN, ModelConfig, showcase
from cdvae_gan.data.avatars import ATTRIBUTES
from cdvae_gan.errors import InputError
from cdvae_gan.faces import find_faces
from cdvae_gan.showcase import Photograph, photographs, show
from command_line import Cli

NAMES = ("Smile", "Glasses", "Hat")


def model_of(names: tuple[str, ...], size: int = 32) -> CDVAEGAN:
    torch.manual_seed(0)
    return CDVAEGAN(ModelConfig(names, image_size=size, z_dim=8, width=8)).eval()


@pytest.fixture(scope="module")
def model() -> CDVAEGAN:
    return model_of(NAMES)


@pytest.fixture
def photos(monkeypatch: pytest.MonkeyPatch) -> list[Photograph]:
    """Of the size that is taken for an aligned face, so that no finder is needed."""
    noise = np.random.default_rng(0).integers(0, 256, (218, 178, 3), np.uint8)
    given = [Photograph("noise", "Noise", "Drawn by chance.", Image.fromarray(noise))]
    monkeypatch.setattr(showcase, "photographs", lambda: given)
    monkeypatch.setattr(showcase, "shipped_models", lambda: ["celeba64"])
    return given


def test_every_flip_is_written_at_full_resolution(
    model: CDVAEGAN, photos: list[Photograph], tmp_path: Path
) -> None:
    (shown,) = show(tmp_path, model=model).photographs
    before = np.asarray(photos[0].picture).astype(int)
    assert tuple(shown.edited) == NAMES
    for path in shown.edited.values():
        with Image.open(path) as picture:
            after = np.asarray(picture).astype(int)
        assert after.shape == before.shape
        assert (after != before).any()
        assert (after[:20] == before[:20]).all(), "above the frame"
    with Image.open(shown.flips) as sheet:
        assert sheet.width > 4 * 178, "before and three flips beside each other"
    assert 'type="range"' in shown.slider.read_text("utf-8")


def test_the_page_leads_to_every_file(
    model: CDVAEGAN, photos: list[Photograph], tmp_path: Path
) -> None:
    shown = show(tmp_path, model=model)
    page = shown.page.read_text("utf-8")
    links = {link for link in re.findall(r'href="([^"]+)"', page) if not link.startswith("#")}
    assert links == {f"noise/{name}.png" for name in NAMES} | {"noise/before-and-after.html"}
    assert all((tmp_path / link).is_file() for link in links)
    assert "Drawn by chance." in page
    assert page.count("<img") == 2, "the photo before and after, and the sheet of flips"
    assert "Avatars" not in page


def test_again_replaces_the_last_and_nothing_else(
    model: CDVAEGAN, photos: list[Photograph], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    show(tmp_path, model=model)
    show(tmp_path, model=model)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert not list(tmp_path.rglob("*.partial"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("<title>My own page</title>")
    with pytest.raises(InputError, match=r"index\.html is no page of a demo: choose another --out"):
        show(other, model=model)
    assert [p.name for p in other.iterdir()] == ["index.html"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cache")
def test_avatars_are_shown_beside_the_truth_once_a_model_of_them_is_shipped(
    model: CDVAEGAN,
    photos: list[Photograph],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert show(tmp_path / "without", model=model).avatars == []
    asked: list[object] = []

    def load(source: object) -> CDVAEGAN:
        asked.append(source)
        return model_of(ATTRIBUTES)

    monkeypatch.setattr(showcase, "shipped_models", lambda: ["avatars64", "celeba64"])
    monkeypatch.setattr(showcase, "load", load)
    shown = show(tmp_path / "with", model=model)
    assert asked == ["avatars64"]
    assert [p.name for p in shown.avatars] == ["avatars.png", "avatars-2.png"]
    for path in shown.avatars:
        with Image.open(path) as picture:
            assert picture.width > 1000, "the photo, and four times the model's and the true one"
    assert 'id="avatars"' in shown.page.read_text("utf-8")


def test_the_photographs_show_one_face_one_face_and_two() -> None:
    for package in ("dlib", "skimage", "matplotlib"):
        pytest.importorskip(package)
    given = photographs()
    found = [find_faces(photograph.picture) for photograph in given]
    assert [len(faces) for faces in found] == [1, 1, 2]
    left, right = found[2]
    assert right.angle - left.angle > 10
    assert all("public domain" in photograph.credit for photograph in given[:2])


@pytest.mark.parametrize("package", ["skimage", "matplotlib"])
def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    pytest.importorskip("skimage")
    real: Callable[..., Path | None] = showcase.file_of_package

    def lacking(name: str, *parts: str) -> Path | None:
        return None if name == package else real(name, *parts)

    monkeypatch.setattr(showcase, "file_of_package", lacking)
    with pytest.raises(InputError, match=rf"of {package} is not here: .*cdvae-gan\[demo\]"):
        photographs()


def test_the_command_tells_what_to_open(
    model: CDVAEGAN,
    photos: list[Photograph],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / "model")
    cli = Cli(capsys)
    said = cli("demo", "--model", "model")
    assert said.code == 0, said.err
    assert "open demo/index.html" in said.out
    told = json.loads(cli("demo", "--model", "model", "--json").out)
    assert told["photographs"][0]["edited"]["Hat"] == "demo/noise/Hat.png"
    assert told["photographs"][0]["faces"] == 1
    assert told["avatars"] == []
    assert "no model 'celeba999'" in cli.refused("demo", "--model", "celeba999")
