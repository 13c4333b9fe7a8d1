"""What edits gain and what they cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cdvae_gan import CDVAEGAN, ModelConfig
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.evaluation.judges import Card, Judge
from frontier import Space, directions, measured

NAMES = ("Hat", "Glasses")


@pytest.fixture(scope="module")
def data() -> AttributeDataset:
    return open_dataset("avatars:n=80,seed=5", size=32).select(list(NAMES))


def pixels(images: Tensor) -> Tensor:
    return images.float().mean(dim=(2, 3))


def reader(data: AttributeDataset, *, credulous: bool) -> Judge:
    """Reads photos as their labels say; of what is none, it reads the opposite or the same."""
    photos, labels = data.batch(np.arange(len(data)))
    known = {p.numpy().tobytes(): y for p, y in zip(photos, labels, strict=True)}
    latest: list[Tensor] = []

    def read(images: Tensor) -> Tensor:
        if all(image.numpy().tobytes() in known for image in images):
            latest[:] = [known[image.numpy().tobytes()] for image in images]
            return torch.stack(latest).float() - 0.5
        seen = torch.stack(latest).float() - 0.5
        return -seen if credulous else seen

    return Judge(Card("reader", "test", NAMES, data.image_size), read)


def model() -> CDVAEGAN:
    torch.manual_seed(0)
    return CDVAEGAN(ModelConfig(NAMES, image_size=32, z_dim=8, width=8, certainty=1)).eval()


def test_both_directions_of_each_attribute_with_as_many_real_ones(data: AttributeDataset) -> None:
    found = directions(data, 10)
    assert [(d.attribute, d.asked) for d in found] == [(n, a) for n in NAMES for a in (1, 0)]
    put_on, take_off = found[:2]
    assert torch.equal(put_on.real, take_off.photos)
    assert torch.equal(put_on.photos, take_off.real)
    assert all(len(d.photos) <= 10 for d in found)
    again = directions(data, 10)
    assert all(torch.equal(a.photos, b.photos) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("credulous", [True, False])
def test_deception_is_what_judges_believe(data: AttributeDataset, credulous: bool) -> None:
    asked = directions(data, 10)
    found = measured(model(), asked, [reader(data, credulous=credulous)], [])
    assert found.deception == (credulous, credulous, credulous)
    assert set(found.by_direction) == {float(credulous)}


def test_people_stay_who_they_are_where_nothing_is_changed(data: AttributeDataset) -> None:
    asked = directions(data, 10)
    judges = [reader(data, credulous=False)]

    def close(images: Tensor) -> Tensor:
        return pixels(images) / 1e6

    def far(images: Tensor) -> Tensor:
        return torch.rand(len(images), 64) * 100

    for embed, same in ((close, 1), (far, 0)):
        assert measured(model(), asked, judges, [Space.of(embed, asked)]).same == same


def test_photos_that_are_farther_away_are_found_to_be(data: AttributeDataset) -> None:
    asked = directions(data, 10)
    judges = [reader(data, credulous=False)]
    here = Space.of(pixels, asked)
    there = Space(pixels, here.photos, [f + 60 for f in here.real])
    (near, far) = measured(model(), asked, judges, [here, there]).frechet
    assert far > near + 60**2


def test_in_larger_photos_edits_are_gone_over_and_judged_at_the_size_of_the_model() -> None:
    larger = open_dataset("avatars:n=80,seed=5", size=64).select(list(NAMES))
    asked = directions(larger, 10)
    sizes: list[int] = []

    def read(images: Tensor) -> Tensor:
        sizes.append(images.shape[2])
        return torch.zeros(len(images), 2) - 0.5

    def sizes_and_pixels(images: Tensor) -> Tensor:
        sizes.append(images.shape[2])
        return pixels(images)

    judge = Judge(Card("reader", "test", NAMES, 32), read)
    torch.manual_seed(0)
    config = ModelConfig(NAMES, image_size=32, z_dim=8, width=8, certainty=1)
    refining = CDVAEGAN(replace(config, refine_width=4)).eval()
    assert refining.refiner is not None
    with torch.no_grad():
        refining.refiner.out.bias.fill_(1)
    coarse = CDVAEGAN(config).eval()
    coarse.load_state_dict(refining.state_dict(), strict=False)
    spaces = [Space.of(sizes_and_pixels, asked)]
    assert set(sizes) == {64}
    sizes.clear()
    with_it, without = (measured(m, asked, [judge], spaces).frechet[0] for m in (refining, coarse))
    assert set(sizes) == {32, 64}
    assert with_it > without + 1, "brighter, as this refiner makes it"
