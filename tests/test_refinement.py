"""The refiner: an edit goes into a photo of twice the model's size, and is gone over there."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cdvae_gan import CDVAEGAN, InputError, edit, load
from cdvae_gan.counterfactual import Counterfactuals
from cdvae_gan.data import open_dataset
from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.faces import FRAME, Face, Similarity, aligned_face
from cdvae_gan.images import to_float
from cdvae_gan.networks.residual import ResidualTrunk
from cdvae_gan.refinement import coarse, fine, paste, reduced, refine
from cdvae_gan.training.retouch import Refining, RetouchConfig, learn_retoucher
from command_line import Cli
from small_retouch import NAMES, brightening, plain_model

SMALL = replace(Refining.usual, width=4, batch_size=8, head_start=2, replay=16, learning_rate=5e-3)


@pytest.fixture(scope="module")
def data() -> AttributeDataset:
    """Photos of twice the model's size."""
    return open_dataset("avatars:n=60,validation=0.2", size=64, attributes=NAMES).split("train")


@pytest.fixture(scope="module")
def plain() -> CDVAEGAN:
    return plain_model()


@pytest.fixture
def refining() -> CDVAEGAN:
    """With a refiner that makes everything brighter where it may."""
    torch.manual_seed(1)
    return brightening(refine_width=4)


def photos(data: AttributeDataset, n: int = 4) -> Tensor:
    return to_float(data.batch(np.arange(n)).images)


def small(images: Tensor) -> Tensor:
    return reduced(images).clamp(-1, 1)


def edited(x: Tensor, where: Tensor, mask: float = 0.0) -> Counterfactuals:
    """A counterfactual that is darker there; the photo's detail is given up there, or not."""
    a = torch.zeros(len(x), 2)
    images = (x - 0.5 * where).clamp(-1, 1)
    asked = a + torch.tensor([1.0, 0.0])
    return Counterfactuals(x, images, NAMES, a, asked, a, mask * where, {"Hat": 1}, 1.0)


def square(n: int, side: int = 32) -> Tensor:
    where = torch.zeros(n, 1, side, side)
    where[..., 12:16, 12:16] = 1
    return where


# -- put into the larger photo ---------------------------------------------------------------------


def test_made_small_again_a_pasted_photo_is_the_edit(data: AttributeDataset) -> None:
    large = photos(data)
    x = small(large)
    at = torch.arange(32) - 15.5
    bump = torch.exp(-(at[:, None] ** 2 + at**2) / 32)
    found = edited(x, torch.where(bump > 0.02, bump, 0).expand(4, 1, 32, 32))
    pasted = paste(large, x, found.images, found.mask)
    inside = (bump > 0.2).expand_as(x)
    assert (found.images - x)[inside].mean() < -0.2
    assert (reduced(pasted.image) - found.images)[inside].abs().mean() < 0.01
    away = torch.nn.functional.max_pool2d(pasted.seen, 9, 1, 4) == 0
    assert (pasted.image - large)[away.expand_as(large)].abs().max() < 1 / 255, "half a grey level"


def test_detail_finer_than_the_model_goes_where_it_was_given_up_and_nowhere_else() -> None:
    torch.manual_seed(0)
    texture = 0.3 * torch.randn(1, 3, 64, 64)
    large = texture - reduced(texture).repeat_interleave(2, 2).repeat_interleave(2, 3)
    x = small(large)
    where = torch.zeros(1, 1, 32, 32)
    where[..., 8:24, 8:24] = 1
    flat = torch.where(where.bool(), torch.full_like(x, -0.5), x)
    middle = (..., slice(24, 40), slice(24, 40))
    kept, gone = (paste(large, x, flat, mask).image[middle] for mask in (0 * where, where))
    assert gone.std() < 0.5 * kept.std()


# -- gone over -------------------------------------------------------------------------------------


def test_where_nothing_is_asked_for_the_photo_comes_back_to_the_bit(
    refining: CDVAEGAN, data: AttributeDataset
) -> None:
    large = photos(data)
    assert torch.equal(refine(refining, large, refining.counterfactual(small(large), {})), large)


def test_it_changes_a_photo_near_a_visible_change_alone(
    refining: CDVAEGAN, data: AttributeDataset
) -> None:
    large = photos(data)
    x = small(large)
    found = edited(x, square(4))
    pasted = paste(large, x, found.images, found.mask)
    difference = refine(refining, large, found) - pasted.image
    near = torch.nn.functional.max_pool2d(pasted.seen, 9, 1, 4) > 0
    assert difference[near.expand_as(large)].mean() > 0.1, "brighter, as this refiner makes it"
    assert (difference[~near.expand_as(large)] == 0).all()


def test_what_was_moved_is_what_it_is_told(refining: CDVAEGAN, data: AttributeDataset) -> None:
    large = photos(data)
    found = edited(small(large), square(4))
    assert refining.refiner is not None
    with torch.no_grad():
        refining.refiner.coarse[0].film.weight.add_(torch.arange(2.0))  # type: ignore[union-attr,operator]
    other = replace(found, asked=found.before + torch.tensor([0.0, 1.0]), do={"Smile": 1})
    assert not torch.equal(refine(refining, large, found), refine(refining, large, other))


def test_photos_of_another_size_and_models_without_one_are_refused(
    plain: CDVAEGAN, refining: CDVAEGAN, data: AttributeDataset
) -> None:
    large = photos(data)
    found = edited(small(large), square(4))
    with pytest.raises(InputError, match="retouch --large"):
        refine(plain, large, found)
    for wrong in (small(large), large[:1]):
        with pytest.raises(InputError, match="4 photos of 64×64"):
            refine(refining, wrong, found)


def test_coarse_and_fine_say_what_is_added_at_either_resolution(
    refining: CDVAEGAN, data: AttributeDataset
) -> None:
    large = photos(data)
    found = edited(small(large), square(4))
    before, after = coarse(found), fine(refining, large, found)
    assert before.added.shape[2:] == (32, 32)
    inside = square(4).bool()
    assert before.added[inside.expand_as(before.added)].mean() < -0.3
    assert torch.allclose(after.x + after.added, refine(refining, large, found), atol=1e-6)
    assert after.faded.shape == (4, 1, 64, 64)


def test_it_is_part_of_the_model_that_is_saved_and_edits_at_its_size_are_as_ever(
    plain: CDVAEGAN, refining: CDVAEGAN, data: AttributeDataset, tmp_path: Path
) -> None:
    large = photos(data)
    again = load(refining.save(tmp_path / "with"))
    found = [m.counterfactual(small(large), {"Hat": "flip"}) for m in (plain, again)]
    assert torch.equal(found[0].images, found[1].images)
    expected = refine(refining, large, found[0])
    assert torch.allclose(refine(again, large, found[1]), expected, atol=1e-5)


# -- in a photograph -------------------------------------------------------------------------------


def face_at(x: float, y: float, side: float) -> Face:
    """A face whose frame has so many pixels a side, and its middle there."""
    flat = aligned_face(Image.new("RGB", (FRAME, FRAME)))
    middle = complex(FRAME / 2, FRAME / 2)
    place = Similarity(1, -middle).then(Similarity(complex(side / FRAME), complex(x, y)))
    return Face(place(flat.eyes), place(flat.nose[None])[0], math.inf)  # of any size


def test_faces_with_the_pixels_for_it_are_gone_over_in_photographs(
    plain: CDVAEGAN, refining: CDVAEGAN
) -> None:
    noise = np.random.default_rng(0).integers(40, 216, (60, 80, 3), np.uint8)
    photo = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    large, tiny = face_at(200, 200, 260), face_at(500, 400, 48)
    do = {"Hat": "flip"}
    before, after = (
        np.asarray(edit(photo, do, model=m, found=[large, tiny]).photo).astype(int)
        for m in (plain, refining)
    )
    assert (after - before)[100:300, 100:300].mean() > 5, "brighter, as this refiner makes it"
    assert (before[360:, 430:] != np.asarray(photo)[360:, 430:]).any()
    assert (after == before)[360:, 430:].all(), "the small face has not the pixels"
    frame = np.zeros(before.shape[:2], bool)
    frame[60:340, 60:340] = frame[370:430, 470:530] = True
    assert (after[~frame] == np.asarray(photo)[~frame]).all()


# -- taught ----------------------------------------------------------------------------------------


def test_teaching_changes_the_refiner_alone(plain: CDVAEGAN, data: AttributeDataset) -> None:
    taught = learn_retoucher(Refining(plain, data, SMALL), steps=4)
    same = taught.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in plain.state_dict().items())
    large = photos(data)
    found = taught.counterfactual(small(large), {"Hat": "flip"})
    pasted = paste(large, found.factual, found.images, found.mask).image
    assert not torch.equal(refine(taught, large, found), pasted)
    nothing = learn_retoucher(Refining(plain, data, SMALL), steps=4, share=0.0)
    assert torch.equal(refine(nothing, large, found), pasted)


def test_a_price_on_colour_holds_colours_and_leaves_texture(
    plain: CDVAEGAN, data: AttributeDataset
) -> None:
    large = photos(data, 16)

    def drift(colour: float) -> float:
        weights = replace(SMALL.weights, branch=0, attribute_d=0, attribute_e=0, touch=0)
        weights = replace(weights, edit=1, colour=colour)  # else it takes the edit back
        config = replace(SMALL, weights=weights, head_start=0)
        taught = learn_retoucher(Refining(plain, data, config), steps=40)
        found = taught.counterfactual(small(large), {"Hat": "flip"})
        pasted = paste(large, found.factual, found.images, found.mask).image
        moved = refine(taught, large, found) - pasted
        return float(torch.nn.functional.avg_pool2d(moved, 8).abs().mean())

    assert drift(10.0) < 0.5 * drift(0.0)


def test_it_is_taught_on_photos_of_twice_the_size_and_without_a_cycle(
    plain: CDVAEGAN, data: AttributeDataset
) -> None:
    same_size = open_dataset("avatars:n=20,validation=0.2", size=32, attributes=NAMES)
    with pytest.raises(InputError, match="of 64 pixels, not 32"):
        Refining(plain, same_size, SMALL)
    with pytest.raises(InputError, match="cycle must be 0"):
        Refining(plain, data, RetouchConfig())


def test_folded_pixels_are_seen_one_by_one() -> None:
    torch.manual_seed(0)
    trunk = ResidualTrunk(4, folded=2).eval()
    x = torch.zeros(1, 3, 64, 64)
    moved = x.clone()
    moved[..., 31, 31] = 1
    shifted = x.clone()
    shifted[..., 30, 31] = 1  # in the same square
    features = [trunk(image) for image in (x, moved, shifted)]
    assert not torch.equal(features[0], features[1])
    assert not torch.equal(features[1], features[2])


def test_the_command_teaches_one(
    capsys: pytest.CaptureFixture[str],
    plain: CDVAEGAN,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    cli = Cli(capsys)
    plain.save("plain")
    ask = ("retouch", "plain", "avatars:n=60,validation=0.2", "--large", "--width", "4")
    small_one = ("--set", "batch_size=8", "--set", "replay=16", "--set", "head_start=0")
    assert cli(*ask, *small_one, "--steps", "1", "--out", "new").code == 0
    new = load("new")
    assert new.config.refine_width == 4
    assert new.retoucher is None
    assert "cycle must be 0" in cli.refused(
        *ask, "--set", "weights.cycle=1", "--steps", "1", "--out", "none"
    )
    assert not (tmp_path / "none").exists()
    begun = (tmp_path / "new/retouching.ckpt").read_bytes()
    wrong = ("--set", "weights.cycle=1", "--steps", "1", "--out", "new", "--overwrite")
    assert "cycle must be 0" in cli.refused(*ask, *wrong)
    assert (tmp_path / "new/retouching.ckpt").read_bytes() == begun, "nothing is lost"
