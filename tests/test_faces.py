"""Faces are found, and brought into the frame of the training images."""

from __future__ import annotations

import cmath
import math
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cdvae_gan import faces
from cdvae_gan.errors import InputError
from cdvae_gan.faces import FRAME, Face, Similarity, aligned_face, find_faces, straighten
from cdvae_gan.images import square

IN_FRAME = np.array([(61.5, 93.5), (77.5, 94.5), (100.5, 94.5), (116.5, 93.5)])
# Eileen Collins in NASA's portrait: outer and inner corners of her eyes, by eye.
EYES = np.array([(196, 102), (213, 104), (238, 105), (255, 105)])


def turned(degrees: float, scale: float = 1.0, shift: complex = 0) -> Similarity:
    return Similarity(cmath.rect(scale, math.radians(degrees)), shift)


def texture(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    pytest.importorskip("dlib")
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut())


@pytest.mark.parametrize("degrees", [0, 33, 90, -120, 180])
def test_a_similarity_is_recovered_from_points(degrees: float) -> None:
    truth = turned(degrees, 2.5, 30 - 7j)
    points = np.random.default_rng(0).normal(size=(4, 2))
    found = Similarity.fit(points, truth(points))
    assert found.alpha == pytest.approx(truth.alpha)
    assert found.beta == pytest.approx(truth.beta)
    assert found.scale == pytest.approx(2.5)
    assert abs(found.angle) == pytest.approx(abs(degrees))


def test_similarities_invert_and_compose() -> None:
    first, second = turned(20, 3, 5j), turned(-70, 0.4, 11)
    points = np.random.default_rng(1).normal(size=(5, 2))
    assert np.allclose(first.inverse()(first(points)), points)
    assert np.allclose(first.then(second)(points), second(first(points)))
    a, b, c, d, e, f = first.coefficients()
    assert np.allclose(points @ np.array([(a, d), (b, e)]) + (c, f), first(points))


def test_an_aligned_photo_is_cut_as_for_training() -> None:
    photo = texture(178, 218)
    face = aligned_face(photo)
    assert face.box == (0, 20, 178, 198)
    assert face.angle == pytest.approx(0)
    assert face.turned == pytest.approx(0)
    assert np.array_equal(np.asarray(straighten(photo, face.to_frame, 64)), square(photo, 64))


@pytest.mark.parametrize("size", [(300, 200), (64, 64), (97, 211)])
def test_an_aligned_photo_of_any_size_is_its_central_square(size: tuple[int, int]) -> None:
    photo = texture(*size)
    cut = straighten(photo, aligned_face(photo).to_frame, 32)
    assert np.array_equal(np.asarray(cut), square(photo, 32))


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.37), (30, 2.0), (-100, 1.5), (180, 4.2)])
def test_straightening_puts_the_eyes_where_training_images_have_them(
    degrees: float, scale: float
) -> None:
    to_photo = Similarity(-(FRAME / 2) * (1 + 1j), 0)  # the frame's middle to the photo's
    to_photo = Similarity(1, to_photo.alpha).then(turned(degrees, scale, 500 + 450j))
    photo = Image.new("RGB", (1000, 900), "white")
    draw = ImageDraw.Draw(photo)
    for x, y in to_photo(IN_FRAME):
        draw.ellipse((x - 4 * scale, y - 4 * scale, x + 4 * scale, y + 4 * scale), fill="black")
    face = Face(to_photo(IN_FRAME), to_photo(np.array([(89, 122.5)]))[0], 1.0)
    assert face.angle == pytest.approx(degrees) or abs(face.angle) == pytest.approx(180)
    assert face.eye_distance == pytest.approx(39 * scale)
    ink = 255.0 - np.asarray(straighten(photo, face.to_frame, FRAME).convert("L"))
    for x, y in IN_FRAME:
        part = ink[round(y) - 7 : round(y) + 7, round(x) - 7 : round(x) + 7]
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]] + 0.5
        centre = (part * columns).sum() / part.sum(), (part * rows).sum() / part.sum()
        where = (centre[0] + round(x) - 7, centre[1] + round(y) - 7)
        assert where == pytest.approx((x, y), abs=0.35)


def test_beyond_the_edge_the_last_pixels_are_repeated() -> None:
    photo = Image.new("RGB", (100, 100), (10, 200, 30))
    out = straighten(photo, turned(25, 1.5, 60 + 80j), 64)
    assert out.getextrema() == ((10, 10), (200, 200), (30, 30))


def test_one_face_is_found_on_the_portrait_and_none_on_the_suit(portrait: Image.Image) -> None:
    (face,) = find_faces(portrait)
    assert np.abs(face.eyes - EYES).max() < 3
    assert face.angle == pytest.approx(3, abs=1.5)
    assert abs(face.turned) < 0.1
    assert face.score > 1


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [30, 90, 180])
def test_a_rotated_face_is_found_in_the_same_place(portrait: Image.Image, degrees: float) -> None:
    (upright,) = find_faces(portrait)
    photo, turn = rotate(portrait, degrees)
    (found,) = find_faces(photo)
    assert np.abs(found.eyes - turn(upright.eyes)).max() < 2
    assert np.abs(found.nose - turn(upright.nose[None])[0]).max() < 3
    difference = (found.angle - upright.angle - degrees + 180) % 360 - 180
    assert abs(difference) < 2


def rotate(photo: Image.Image, degrees: float) -> tuple[Image.Image, Similarity]:
    """Around the middle, on a canvas that holds it all; with the map of its points."""
    side = math.ceil(math.hypot(*photo.size))
    middle = complex(photo.width, photo.height) / 2
    turn = Similarity(1, -middle).then(turned(degrees, 1, complex(side, side) / 2))
    coefficients = turn.inverse().coefficients()
    return (
        photo.transform((side, side), Image.Transform.AFFINE, coefficients, Image.BICUBIC),
        turn,
    )


def test_faces_are_numbered_from_left_to_right_and_sizes_may_differ(
    portrait: Image.Image,
) -> None:
    photo = Image.new("RGB", (512 + 300, 512), "grey")
    photo.paste(portrait.resize((300, 300)), (0, 100))
    photo.paste(portrait, (300, 0))
    left, right = find_faces(photo)
    assert left.centre[0] < 300 < right.centre[0]
    assert left.eye_distance / right.eye_distance == pytest.approx(300 / 512, abs=0.03)


def test_a_dark_face_is_found(portrait: Image.Image) -> None:
    (face,) = find_faces(portrait.point(lambda v: v * 0.08))
    assert np.abs(face.eyes - EYES).max() < 4


@pytest.mark.slow
def test_noise_is_no_face() -> None:
    pytest.importorskip("dlib")
    noise = np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8)
    assert find_faces(Image.fromarray(noise)) == []


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_photos_of_any_mode_are_searched(portrait: Image.Image, mode: str) -> None:
    (face,) = find_faces(portrait.crop((100, 0, 350, 250)).convert(mode))
    assert np.abs(face.eyes + np.array([100, 0]) - EYES).max() < 4


def test_without_its_packages_the_finder_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tools: Any = faces._tools
    tools.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match=r"pip install 'cdvae-gan\[faces\]'"):
        find_faces(texture(64, 64))
    tools.cache_clear()
