"""The experiment that measures what the way through a photograph costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import round_trip
from cdvae_gan import CDVAEGAN, ModelConfig
from cdvae_gan.evaluation.judges import Card, Judge
from cdvae_gan.faces import FRAME, Face, find_faces, straighten
from cdvae_gan.images import square
from round_trip import Trip, compare, cropped, embed, found_face, known_face
from round_trip import _both as both_ways

NAMES = ("Smile", "Glasses")
SIZE = 32


def smooth(size: tuple[int, int] = (178, 218)) -> Image.Image:
    noise = np.random.default_rng(0).integers(40, 216, (12, 10, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("seed", range(4))
def test_the_known_frame_of_the_photograph_shows_the_aligned_photo(seed: int) -> None:
    aligned = smooth()
    embedded = embed(aligned, np.random.default_rng(seed))
    assert abs(embedded.to_frame.angle) <= 15
    assert 3.4 <= 1 / embedded.to_frame.scale <= 4.6
    again = cropped(embedded.photo, embedded.to_frame, SIZE).permute(1, 2, 0).numpy()
    direct = square(aligned, SIZE)
    assert np.abs(again.astype(int) - direct)[1:-1, 1:-1].mean() < 1.5  # Pillow rounds down, twice


def test_seeds_fix_the_photograph_and_vary_it() -> None:
    first, same, other = (embed(smooth(), np.random.default_rng(s)) for s in (0, 0, 1))
    assert first.photo.tobytes() == same.photo.tobytes()
    assert first.to_frame == same.to_frame
    assert first.to_frame != other.to_frame


def test_a_face_is_found_where_it_was_put_and_its_edit_comes_back() -> None:
    pytest.importorskip("dlib")
    portrait = Image.fromarray(pytest.importorskip("skimage.data").astronaut())
    (face,) = find_faces(portrait)
    aligned = Image.new("RGB", (178, 218), (180, 170, 160))
    aligned.paste(straighten(portrait, face.to_frame, FRAME), (0, 20))
    embedded = embed(aligned, np.random.default_rng(0))
    found = found_face(embedded)
    assert found is not None
    corners = np.array([(0.0, 0.0), (FRAME, FRAME)])
    known, seen = (frame.inverse()(corners) for frame in (embedded.to_frame, found.to_frame))
    assert np.abs(known - seen).max() * embedded.to_frame.scale < 0.06 * FRAME

    torch.manual_seed(0)
    model = CDVAEGAN(ModelConfig(NAMES, image_size=SIZE, z_dim=8, width=8)).eval()
    image = torch.from_numpy(square(aligned, SIZE)).permute(2, 0, 1)[None]
    direct, again = both_ways(model, image, embedded, found, {"Smile": "flip"})
    inner = (slice(None), slice(6, -6), slice(6, -6))  # where nothing fades out
    change = (direct.int() - image[0].int())[inner].abs().float().mean()
    off = (again.int() - direct.int())[inner].abs().float().mean()
    assert change > 3, "or there would be nothing to come back"
    assert off < change / 2


def test_a_find_elsewhere_is_not_that_face(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = embed(smooth(), np.random.default_rng(0))
    face = known_face(embedded)
    assert face.to_frame.alpha == pytest.approx(embedded.to_frame.alpha)
    assert face.to_frame.beta == pytest.approx(embedded.to_frame.beta)
    beside = Face(face.eyes + FRAME, face.nose + FRAME, 2.0)
    for found, expected in (([face, beside], face), ([beside], None), ([], None)):
        monkeypatch.setattr(round_trip, "find_faces", lambda photo, given=found: given)
        assert found_face(embedded) is expected


def by_brightness() -> Judge:
    """Reads both attributes where the picture is bright."""
    return Judge(
        Card("bright", "test", NAMES, SIZE),
        lambda images: (images.float().mean(dim=(1, 2, 3)) - 127)[:, None].expand(-1, 2),
    )


def flat(*values: int) -> torch.Tensor:
    """Pictures of one grey each."""
    return torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, SIZE, SIZE)


def test_both_ways_are_counted_on_the_same_flips() -> None:
    bright, dark = 200, 50
    flipped = flat(dark, bright, dark, dark, bright)
    stuck = flat(dark, bright, dark, bright, bright)  # the fourth stays as it was
    trip = Trip(
        images=flat(bright, dark, bright, bright, bright),
        labels=torch.tensor([[1, 1], [0, 0], [1, -1], [1, 1], [0, 0]]),  # the last is misread
        groups=np.arange(5),
        direct=torch.stack([flipped, flipped], dim=1),
        again=torch.stack([stuck, stuck], dim=1),
        asked=6,
    )
    told = compare(by_brightness(), trip, NAMES)
    assert told.direct.value == 1
    assert told.round_trip.value == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert told.difference.value == pytest.approx(told.round_trip.value - 1)
    assert told.difference.low < told.difference.value < told.difference.high <= 0
    assert told.direct.n == 4 + 3
    assert told.to_dict()["judge"] == "bright"
