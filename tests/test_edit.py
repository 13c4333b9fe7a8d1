"""A photo is edited where its faces change, and nowhere else."""

from __future__ import annotations

import base64
import cmath
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms

from cdvae_gan import editing
from cdvae_gan.cli.app import main
from cdvae_gan.counterfactual import Counterfactuals
from cdvae_gan.editing import EditedPhoto, edit
from cdvae_gan.errors import InputError
from cdvae_gan.faces import FRAME, Face, Similarity, aligned_face, straighten
from cdvae_gan.images import to_float
from cdvae_gan.model import CDVAEGAN, ModelConfig

NAMES = ("Smile", "Glasses")
SIZE = 32
Draw = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Painter(CDVAEGAN):
    """Draws a change that the test knows, with a mask that the test knows."""

    def __init__(self, draw: Draw) -> None:
        super().__init__(ModelConfig(NAMES, image_size=SIZE, z_dim=4, width=8))
        self.draw = draw

    def counterfactual(self, images: Any, do: Any, detail: Any = None, **_: Any) -> Counterfactuals:
        drawn, mask = self.draw(images)
        a = torch.zeros(len(images), 2)
        kappa = 1.0 if detail is None else detail
        return Counterfactuals(images, drawn, NAMES, a, a, a, mask, dict(do), kappa)


def blob(images: torch.Tensor, width: float = 0.12) -> torch.Tensor:
    """1 in the middle of the frame, smoothly 0 around it."""
    at = (torch.arange(SIZE) + 0.5) / SIZE - 0.5
    bump = torch.exp(-(at[:, None] ** 2 + at**2) / (2 * width**2))
    return torch.where(bump > 0.02, bump, 0).expand(len(images), 1, -1, -1)


def redder(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    colour = torch.tensor([0.3, -0.1, -0.15])[:, None, None]
    return (images + colour * blob(images)).clamp(-1, 1), torch.zeros_like(images[:, :1])


def flattened(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Everything in the middle gives way to one grey, and its detail with it."""
    weight = (3 * blob(images)).clamp(max=1)
    return images * (1 - weight), weight


def texture(width: int, height: int, grain: int = 8, seed: int = 0) -> Image.Image:
    shape = (math.ceil(height / grain), math.ceil(width / grain), 3)
    noise = np.random.default_rng(seed).integers(40, 216, shape, np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def face_at(x: float, y: float, scale: float = 2.0, degrees: float = 0.0) -> Face:
    """A face whose frame, of ``178 scale`` pixels, has its middle there."""
    flat = aligned_face(Image.new("RGB", (FRAME, FRAME)))
    centre = complex(FRAME / 2, FRAME / 2)
    place = Similarity(1, -centre).then(
        Similarity(cmath.rect(scale, math.radians(degrees)), complex(x, y))
    )
    return Face(place(flat.eyes), place(flat.nose[None])[0], 1.5)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the finder find what the test says."""

    def say(*faces: Face) -> None:
        monkeypatch.setattr(editing, "find_faces", lambda photo, any_angle: list(faces))

    return say


@pytest.fixture(scope="module")
def untrained() -> CDVAEGAN:
    torch.manual_seed(0)
    return CDVAEGAN(ModelConfig(NAMES, image_size=SIZE, z_dim=8, width=8)).eval()


def array(picture: Image.Image) -> NDArray[np.int64]:
    return np.asarray(picture).astype(int)


# What is done


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_doing_nothing_returns_the_photo_bit_for_bit(untrained: CDVAEGAN, mode: str) -> None:
    photo = texture(201, 150).convert(mode)
    result = edit(photo, {}, model=untrained, aligned=True)
    assert result.photo.mode == mode
    assert result.photo.tobytes() == photo.tobytes()
    assert result.original.tobytes() == photo.tobytes()


@pytest.mark.parametrize(("scale", "degrees"), [(0.9, 0), (2.0, 0), (2.3, 30), (1.6, -130)])
def test_the_photo_cropped_again_shows_the_change(
    found: Callable[..., None], scale: float, degrees: float
) -> None:
    photo, face = texture(700, 640), face_at(350, 320, scale, degrees)
    found(face)
    result = edit(photo, {"Smile": 1}, model=Painter(redder))
    again = np.asarray(straighten(result.photo, face.to_frame, SIZE)).copy()
    x = to_float(torch.from_numpy(again).permute(2, 0, 1))
    error = (x - result.counterfactuals.images[0]).abs() * 127.5
    size = (result.counterfactuals.images - result.counterfactuals.factual).abs() * 127.5
    assert error.mean() < 0.6
    assert error.max() < 4
    assert size.max() > 35, "the change that was to be seen again"


def test_pixels_outside_of_the_change_keep_every_bit(found: Callable[..., None]) -> None:
    photo, face = texture(700, 640, grain=2), face_at(350, 320, 2.0, 17)
    found(face)
    result = edit(photo, {"Smile": 1}, model=Painter(redder))
    moved = (array(result.photo) != array(photo)).any(axis=2)
    y, x = np.nonzero(moved)
    assert moved.mean() > 0.03
    # The blob reaches 0.336 of the frame's side from its middle; filters add two small pixels.
    assert np.hypot(x + 0.5 - 350, y + 0.5 - 320).max() < (0.336 + 3 / SIZE) * 2 * FRAME


def test_a_change_up_to_the_border_fades_out_without_an_edge(found: Callable[..., None]) -> None:
    photo, face = Image.new("RGB", (500, 500), (90, 100, 110)), face_at(250, 250, 2.0, 8)
    found(face)

    def brighter(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 0.4, torch.zeros_like(x[:, :1])

    change = array(edit(photo, {"Smile": 1}, model=Painter(brighter)).photo) - array(photo)
    assert change[250, 250].tolist() == [51, 51, 51]
    assert np.abs(np.diff(change, axis=0)).max() <= 3
    assert np.abs(np.diff(change, axis=1)).max() <= 3
    left, top, right, bottom = face.box
    outside = np.ones((500, 500), bool)
    outside[max(top, 0) : bottom, max(left, 0) : right] = False
    assert not change[outside].any()


def test_the_photo_stays_as_sharp_as_it_was_where_the_mask_is_closed(
    found: Callable[..., None],
) -> None:
    photo = texture(600, 600, grain=2).point(lambda v: 70 + v // 3)  # nothing clips
    found(face_at(300, 300, 2.5, 12))
    result = edit(photo, {"Smile": 1}, model=Painter(redder))
    change = array(result.photo)[260:340, 260:340] - array(photo)[260:340, 260:340]
    assert change.mean(axis=(0, 1)) == pytest.approx([33, -11, -16], abs=2)
    for axis in (0, 1):
        assert np.abs(np.diff(change, axis=axis)).max() <= 2, "nothing fine was added or taken"


def test_of_what_gives_way_no_ghost_stays_at_full_resolution(found: Callable[..., None]) -> None:
    coarse, fine = texture(600, 600, grain=40), texture(600, 600, grain=3)
    photo = Image.blend(coarse, fine, 0.5)  # structure that the model sees, and that it doesn't
    found(face_at(300, 300, 2.5, 12))
    result = edit(photo, {"Smile": 1}, model=Painter(flattened))
    before, after = (array(p)[270:330, 270:330] for p in (result.original, result.photo))
    assert after.mean() == pytest.approx(127.5, abs=4)
    assert after.std() < 0.12 * before.std()


def test_what_only_changes_its_colour_keeps_its_detail_under_an_open_mask(
    found: Callable[..., None],
) -> None:
    photo = texture(600, 600, grain=3)
    found(face_at(300, 300, 2.5, 12))

    def recoloured(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return redder(x)[0], torch.ones_like(x[:, :1])

    result = edit(photo, {"Smile": 1}, model=Painter(recoloured))
    before, after = (array(p)[270:330, 270:330] for p in (result.original, result.photo))
    assert after.std(axis=(0, 1)) == pytest.approx(before.std(axis=(0, 1)), rel=0.12)


def test_without_detail_the_frame_is_as_coarse_as_the_model(found: Callable[..., None]) -> None:
    photo = texture(600, 600, grain=2)
    found(face_at(300, 300, 2.5))
    result = edit(photo, {"Smile": 1}, model=Painter(redder), detail=0.0)
    after = array(result.photo)[270:330, 270:330]
    assert (
        np.abs(np.diff(after, axis=0)).mean()
        < 0.1 * np.abs(np.diff(array(photo)[270:330, 270:330], axis=0)).mean()
    )


def test_a_grey_photo_stays_grey_and_transparency_stays(untrained: CDVAEGAN) -> None:
    grey = texture(200, 200).convert("L")
    result = edit(grey, {"Smile": "flip"}, model=untrained, aligned=True)
    assert result.photo.mode == "L"
    assert result.photo.tobytes() != grey.tobytes()
    clear = texture(200, 200)
    clear.putalpha(Image.linear_gradient("L").resize((200, 200)))
    result = edit(clear, {"Smile": "flip"}, model=untrained, aligned=True)
    assert result.photo.getchannel("A").tobytes() == clear.getchannel("A").tobytes()
    assert result.photo.tobytes() != clear.tobytes()


def test_a_face_at_the_photos_edge_is_edited(found: Callable[..., None]) -> None:
    photo = texture(300, 300)
    found(face_at(290, 20, 1.5, 40))
    result = edit(photo, {"Smile": 1}, model=Painter(redder))
    assert result.photo.size == photo.size
    assert (array(result.photo) != array(photo)).any()


# Which faces


def test_the_chosen_face_alone_is_edited(found: Callable[..., None]) -> None:
    photo = texture(900, 400)
    found(face_at(200, 200), face_at(700, 200))
    result = edit(photo, {"Smile": 1}, model=Painter(redder), faces=2)
    moved = (array(result.photo) != array(photo)).any(axis=(0, 2))
    assert not moved[:500].any()
    assert moved[650:750].all()
    assert result.edited == (2,)
    assert result.counterfactuals.names == ("face 2",)
    assert len(result.counterfactuals) == 1


def test_all_faces_are_edited_unless_said_otherwise(found: Callable[..., None]) -> None:
    photo = texture(900, 400)
    found(face_at(200, 200, 1.5), face_at(700, 200, 2.0))
    assert edit(photo, {"Smile": 1}, model=Painter(redder)).edited == (1, 2)
    assert edit(photo, {"Smile": 1}, model=Painter(redder), faces=[2, 1]).edited == (1, 2)
    assert edit(photo, {"Smile": 1}, model=Painter(redder), faces="largest").edited == (2,)


def test_an_edit_does_not_reach_into_the_face_beside(found: Callable[..., None]) -> None:
    photo = texture(700, 400)
    left, right = face_at(270, 200), face_at(470, 200)  # their frames overlap by half
    found(left, right)

    def brighter(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (x + 0.3).clamp(-1, 1), torch.zeros_like(x[:, :1])

    result = edit(photo, {"Smile": 1}, model=Painter(brighter), faces=1)
    change = np.abs(array(result.photo) - array(photo)).max(axis=2)
    assert change[200, 230:290].min() > 30
    assert change[150:250, 440:].max() <= 1


def test_faces_that_were_found_before_are_not_looked_for(
    found: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = texture(900, 400)
    found(face_at(200, 200, 1.5), face_at(700, 200, 2.0))
    first = edit(photo, {"Smile": 1}, model=Painter(redder))
    monkeypatch.setattr(editing, "find_faces", None)
    again = edit(photo, {"Smile": 1}, model=Painter(redder), found=first.faces)
    assert again.photo.tobytes() == first.photo.tobytes()
    alone = edit(photo, {"Smile": 1}, model=Painter(redder), found=first.faces, faces=2)
    assert alone.faces == first.faces
    assert alone.edited == (2,)
    assert not (array(alone.photo) != array(photo))[:, :450].any()


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (3, "no face 3 in the photo, which shows 2 faces, numbered from left to right"),
        (0, "no face 0 in the photo"),
        ([], "no face was chosen"),
        (1.5, "faces are 'all', 'largest' or numbers from 1, not 1.5"),
        ("both", "faces are 'all', 'largest' or numbers from 1, not 'both'"),
    ],
)
def test_a_face_that_is_not_there_is_refused(
    found: Callable[..., None], which: Any, message: str
) -> None:
    found(face_at(200, 200), face_at(700, 200))
    with pytest.raises(InputError, match=re.escape(message)):
        edit(texture(900, 400), {"Smile": 1}, model=Painter(redder), faces=which)


def test_no_face_at_all_is_one_clear_line(found: Callable[..., None]) -> None:
    found()
    with pytest.raises(InputError, match=r"^no face found in the photo: profiles, .*aligned$"):
        edit(texture(200, 200), {"Smile": 1}, model=Painter(redder))
    with pytest.raises(InputError, match=r"no face found in the photo, and it is dark \(6 of 255"):
        edit(Image.new("RGB", (99, 99), (6, 6, 6)), {"Smile": 1}, model=Painter(redder))


def test_small_faces_are_warned_of_and_tiny_ones_refused(found: Callable[..., None]) -> None:
    photo = texture(600, 400)
    found(face_at(150, 200, 0.3), face_at(450, 200, 0.7))
    result = edit(photo, {"Smile": 1}, model=Painter(redder))
    assert result.edited == (2,)
    assert result.notes == (
        "face 1 is too small: 12 pixels between the eyes, where an edit takes 16; left as it is",
        "face 2 is small, 27 pixels between the eyes: edits are less sure below 40",
    )
    with pytest.raises(InputError, match="face 1 is too small: 12 pixels"):
        edit(photo, {"Smile": 1}, model=Painter(redder), faces=1)


def test_dark_and_averted_faces_are_warned_of(found: Callable[..., None]) -> None:
    face = face_at(200, 200)
    found(replace(face, nose=face.nose + np.array([40, 0])))
    photo = texture(400, 400).point(lambda v: v // 10)
    averted, dark = edit(photo, {"Smile": 1}, model=Painter(redder)).notes
    assert averted == "face 1 is turned away: edits are made for frontal faces"
    assert re.fullmatch(r"face 1 is dark, 1\d of 255: edits are less sure", dark)


def test_aligned_faces_need_no_finder(untrained: CDVAEGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "find_faces", None)
    photo = texture(178, 218)
    result = edit(photo, {"Smile": "flip"}, model=untrained)
    assert torch.equal(
        result.counterfactuals.images, untrained.counterfactual(photo, {"Smile": "flip"}).images
    )
    assert result.notes == ()
    with pytest.raises(InputError, match=r"no face 2 in the photo, which shows 1 face$"):
        edit(photo, {"Smile": 1}, model=untrained, faces=2)


# Files


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def jpeg(path: Path, orientation: int = 1) -> Path:
    photo = texture(240, 200)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9003] = "2020:02:20 20:20:20"
    photo.save(path, exif=exif, icc_profile=PROFILE, dpi=(300, 300))
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_exif_and_colour_profile_are_kept(untrained: CDVAEGAN, tmp_path: Path, suffix: str) -> None:
    source = jpeg(tmp_path / "photo.jpg")
    result = edit(source, {"Smile": "flip"}, model=untrained, aligned=True)
    with Image.open(result.save(tmp_path / f"out{suffix}")) as written:
        assert written.getexif()[0x010F] == "a camera"
        assert written.getexif().get_ifd(0x8769)[0x9003] == "2020:02:20 20:20:20"
        assert written.info["icc_profile"] == PROFILE
        difference = np.abs(array(written.convert("RGB")) - array(result.photo))
        assert difference.mean() < (2 if suffix == ".jpg" else 1e-9)


def test_a_lying_photo_is_set_upright_once(untrained: CDVAEGAN, tmp_path: Path) -> None:
    result = edit(jpeg(tmp_path / "a.jpg", 6), {}, model=untrained, aligned=True)
    assert result.photo.size == (200, 240)
    with Image.open(result.save(tmp_path / "out.png")) as written:
        assert written.size == (200, 240)
        assert written.getexif().get(0x0112, 1) == 1
        assert written.getexif()[0x010F] == "a camera"


def test_transparency_of_a_file_is_kept(untrained: CDVAEGAN, tmp_path: Path) -> None:
    photo = texture(100, 100)
    photo.putalpha(77)
    photo.save(tmp_path / "a.png")
    result = edit(tmp_path / "a.png", {"Smile": "flip"}, model=untrained, aligned=True)
    with Image.open(result.save(tmp_path / "b.png")) as written:
        assert written.getextrema()[3] == (77, 77)
    with pytest.raises(InputError, match=r"b\.jpg: JPEG has no transparency: use \.png"):
        result.save(tmp_path / "b.jpg")


@pytest.mark.parametrize("mode", ["CMYK", "P", "I;16"])
def test_photos_of_rare_modes_become_colour(untrained: CDVAEGAN, tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(np.arange(10000, dtype=np.uint16).reshape(100, 100) * 6).save(path)
    else:
        texture(100, 100).convert(mode).save(path)
    assert edit(path, {}, model=untrained, aligned=True).photo.mode == "RGB"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.gif", "cannot write a photo as '.gif': use .png"),
        ("no/such/a.png", "cannot write .*no/such/a.png: No such file or directory"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_named(
    untrained: CDVAEGAN, tmp_path: Path, name: str, message: str
) -> None:
    result = edit(texture(64, 64), {}, model=untrained, aligned=True)
    with pytest.raises(InputError, match=message):
        result.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_photo_is_named(untrained: CDVAEGAN, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no photo")
    with pytest.raises(InputError, match="not an image"):
        edit(tmp_path / "a.jpg", {}, model=untrained)


def test_a_model_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="no model 'nowhere'"):
        edit(texture(64, 64), {}, model="nowhere", aligned=True)


# What the result shows


@pytest.fixture(scope="module")
def result(untrained: CDVAEGAN) -> EditedPhoto:
    return edit(texture(240, 200), {"Smile": "flip"}, model=untrained, aligned=True)


def test_the_result_shows_itself(result: EditedPhoto) -> None:
    assert result._repr_png_().startswith(b"\x89PNG")
    assert result.figure().mode == "RGB"
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["faces"][0]["box"] == [20, 0, 220, 200]
    assert set(plain["faces"][0]["attributes"]) == set(NAMES)


def test_the_comparison_is_one_page_that_needs_no_other(
    result: EditedPhoto, tmp_path: Path
) -> None:
    odd = replace(result, counterfactuals=replace(result.counterfactuals, do={"<b>": 1.0}))
    page = odd.save_comparison(tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.search(r"https?:|src=\"(?!data:)|href", page)
    assert '<input type="range"' in page
    assert "aria-label" in page
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    with pytest.raises(InputError, match=r"use \.html"):
        result.save_comparison(tmp_path / "a.png")


def test_the_page_says_which_faces_of_several(result: EditedPhoto, tmp_path: Path) -> None:
    face = result.faces[0]

    def caption(faces: int, edited: tuple[int, ...]) -> str:
        several = replace(result, faces=(face,) * faces, edited=edited)
        page = several.save_comparison(tmp_path / "a.html").read_text(encoding="utf-8")
        return page.split("<figcaption>")[1].split("</figcaption>")[0]

    assert caption(1, (1,)) == "do(Smile=flip), drawn by CDVAE-GAN"
    assert caption(2, (1, 2)) == "do(Smile=flip) on both faces, drawn by CDVAE-GAN"
    assert caption(3, (1, 2, 3)) == "do(Smile=flip) on all 3 faces, drawn by CDVAE-GAN"
    assert caption(3, (2,)) == "do(Smile=flip) on face 2 of 3, drawn by CDVAE-GAN"
    assert caption(3, (1, 3)) == "do(Smile=flip) on faces 1, 3 of 3, drawn by CDVAE-GAN"


def test_what_the_edited_photo_cannot_keep_is_said(untrained: CDVAEGAN, tmp_path: Path) -> None:
    frames = [texture(240, 200), texture(240, 200).rotate(180)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("CMYK").save(tmp_path / "printed.jpg")
    frames[0].convert("L").save(tmp_path / "grey.png")

    def notes(name: str) -> str:
        asked = {"Smile": "flip"}
        return "; ".join(edit(tmp_path / name, asked, model=untrained, aligned=True).notes)

    assert "the first of 2 pictures" in notes("moving.gif")
    assert "mode CMYK are written as 8-bit RGB" in notes("printed.jpg")
    assert "written as" not in notes("grey.png"), "its mode is kept"


def test_the_page_tells_no_place_and_the_photo_keeps_it(
    untrained: CDVAEGAN, tmp_path: Path
) -> None:
    edited = edit(jpeg(tmp_path / "photo.jpg"), {"Smile": "flip"}, model=untrained, aligned=True)
    page = edited.save_comparison(tmp_path / "a.html").read_text(encoding="utf-8")
    for part in re.findall(r"data:image/jpeg;base64,([^\"]+)", page):
        with Image.open(io.BytesIO(base64.b64decode(part))) as shown:
            assert not shown.getexif()
    with Image.open(edited.save(tmp_path / "out.png")) as written:
        assert written.getexif()[0x010F] == "a camera"


# The command


@pytest.fixture
def folder(untrained: CDVAEGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    untrained.save(tmp_path / "model")
    texture(240, 200).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], folder: Path) -> Call:
    def call(*args: str) -> tuple[int, str, str]:
        code = main(["edit", "--model", "model", *args])
        return (code, *capsys.readouterr())

    return call


def test_one_line_edits_a_photo(cli: Call, folder: Path) -> None:
    code, out, _ = cli("photo.png", "--do", "Smile=flip", "--aligned", "--compare", "c.html")
    assert code == 0
    assert "Smile" in out
    assert "written to photo-edited.png" in out
    assert (folder / "c.html").is_file()
    with Image.open("photo.png") as before, Image.open("photo-edited.png") as after:
        assert before.size == after.size
        assert before.tobytes() != after.tobytes()


def test_json_tells_of_every_face(cli: Call, folder: Path) -> None:
    args = ("photo.png", "--do", "Smile=1", "--aligned", "--json", "--show-aligned", "f.png")
    code, out, _ = cli(*args)
    assert code == 0
    told = json.loads(out)
    assert told["output"] == "photo-edited.png"
    assert told["faces"][0]["edited"] is True
    assert (folder / "f.png").is_file()


def test_several_photos_are_edited_into_a_folder(cli: Call, folder: Path) -> None:
    (folder / "in").mkdir()
    for name in ("a.png", "b.png"):
        texture(240, 200).save(folder / "in" / name)
    (folder / "in" / "c.png").write_bytes((folder / "photo.png").read_bytes()[:500])
    edit_all = ("in", "--do", "Smile=flip", "--aligned")
    assert "--out FOLDER" in cli(*edit_all)[2]
    assert "not out.png" in cli(*edit_all, "--out", "out.png")[2]
    code, _, err = cli(*edit_all, "--out", "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "c.png" in err
    code, out, err = cli(*edit_all, "--out", "out", "--overwrite", "--skip-bad", "--json")
    assert code == 0
    assert "c.png" in err
    assert [json.loads(line)["output"] for line in out.splitlines()] == [
        "out/a-edited.png",
        "out/b-edited.png",
    ]
    texture(200, 240).save(folder / "in" / "a.webp")  # another of the same name
    code, out, _ = cli(*edit_all, "--out", "named", "--skip-bad")
    assert code == 0
    assert "3 photos edited, 1 left out" in out
    assert sorted(path.name for path in (folder / "named").iterdir()) == [
        "a-2-edited.png",
        "a-edited.png",
        "b-edited.png",
    ]
    alone = edit(folder / "in" / "a.png", {"Smile": "flip"}, model="model", aligned=True)
    with Image.open("out/a-edited.png") as written:
        assert written.tobytes() == alone.photo.tobytes()


def test_many_photos_go_on_where_they_broke_off(cli: Call, folder: Path) -> None:
    (folder / "in").mkdir()
    for name in ("a.png", "c.png"):
        texture(240, 200).save(folder / "in" / name)
    (folder / "in" / "b.png").write_bytes((folder / "photo.png").read_bytes()[:500])
    edit_all = ("in", "--do", "Smile=flip", "--aligned", "--out", "out", "--resume")
    assert cli(*edit_all)[0] == 2
    made = Path("out/a-edited.png")
    before = made.stat().st_mtime_ns
    texture(240, 200).save(folder / "in" / "b.png")
    assert "2 photos edited, 1 before, 0 left out" in cli(*edit_all)[1]
    assert made.stat().st_mtime_ns == before
    code, out, _ = cli(*edit_all)
    assert code == 0
    assert "0 photos edited, 3 before" in out


def test_where_no_photo_can_be_edited_it_fails(cli: Call, folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "c.png").write_bytes((folder / "photo.png").read_bytes()[:500])
    code, _, err = cli("in", "--do", "Smile=flip", "--aligned", "--out", "out", "--skip-bad")
    assert code == 2
    assert "none of 1 photos could be edited" in err


def test_one_photo_goes_into_a_folder_too(cli: Call, folder: Path) -> None:
    (folder / "out").mkdir()
    assert cli("photo.png", "--do", "Smile=flip", "--aligned", "--out", "out")[0] == 0
    assert (folder / "out/photo-edited.png").is_file()


def test_at_strength_0_it_does_not_speak_of_what_is_there(cli: Call) -> None:
    _, out, _ = cli("photo.png", "--do", "Smile=flip", "--aligned", "--strength", "0")
    assert "nothing to change: the strength is 0" in out


def test_the_list_tells_what_was_measured(cli: Call, folder: Path) -> None:
    assert cli("--list")[1].count("not measured") == 2
    (folder / "model" / "metrics.json").write_text('{"deception": {"Smile": 0.97}}')
    out = cli("--list")[1]
    assert ".97" in out
    assert out.count("no judge to trust") == 1
    assert json.loads(cli("--list", "--json")[1]) == {
        "attributes": {"Smile": 0.97, "Glasses": None}
    }


def test_the_list_tells_what_is_put_on_from_what_is_taken_off(cli: Call, folder: Path) -> None:
    (folder / "model" / "metrics.json").write_text(
        '{"deception": {"Smile": 0.97}, "put on": {"Smile": 0.99}, "taken off": {}}'
    )
    smile = next(line for line in cli("--list")[1].splitlines() if "Smile" in line)
    assert [cell.strip() for cell in smile.split("│")[1:-1]] == ["Smile", ".99", "–", ".97"]
    told = json.loads(cli("--list", "--json")[1])
    assert told["put on"] == {"Smile": 0.99, "Glasses": None}
    assert told["taken off"] == {"Smile": None, "Glasses": None}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "which photo?"),
        (("photo.png", "photo.png", "--do", "Smile=1", "--compare", "c.html"), "folder"),
        (("photo.png",), "attributes are Smile, Glasses"),
        (("photo.png", "--do", "Smiel=1"), "did you mean 'Smile'"),
        (("missing.png", "--do", "Smile=1"), "no such file or folder: missing.png"),
        (("photo.png", "--do", "Smile=1", "--aligned", "--face", "2"), "no face 2 in photo.png"),
        (("photo.png", "--do", "Smile=1", "--face", "left"), "--face takes numbers"),
        (("photo.png", "--do", "Smile=1", "--out", "photo.png"), "will not be overwritten"),
        (("photo.png", "--do", "Smile=1", "--out", "a.gif"), "cannot write a picture as '.gif'"),
        (("photo.png", "--do", "Smile=1", "--compare", "a.png"), "--compare writes a page"),
        (("photo.png", "--do", "Smile=1", "--resume"), "--resume is for several photos"),
        (("photo.png", "--do", "Smile=1", "--model", "celeba999"), "no model 'celeba999'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cli: Call, args: tuple[str, ...], message: str) -> None:
    code, out, err = cli(*args)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not Path("photo-edited.png").exists()


def test_an_edited_photo_is_not_lost_to_the_next(cli: Call) -> None:
    args = ("photo.png", "--do", "Smile=flip", "--aligned")
    assert cli(*args)[0] == 0
    code, _, err = cli(*args)
    assert code == 2
    assert "photo-edited.png exists" in err
    assert cli(*args, "--overwrite")[0] == 0


# A real photo


def test_of_the_portrait_the_face_is_edited_and_not_the_suit(
    untrained: CDVAEGAN, tmp_path: Path
) -> None:
    pytest.importorskip("dlib")
    data = pytest.importorskip("skimage.data")
    photo = Image.fromarray(data.astronaut())
    result = edit(photo, {"Smile": "flip", "Glasses": "flip"}, model=untrained)
    assert len(result.faces) == 1
    moved = (array(result.photo) != array(photo)).any(axis=2)
    left, top, right, bottom = result.faces[0].box
    assert moved[max(top, 0) : bottom, left:right].mean() > 0.3
    assert not moved[bottom:].any(), "the suit"
    assert not moved[:, :left].any()
    assert not moved[:, right:].any()
