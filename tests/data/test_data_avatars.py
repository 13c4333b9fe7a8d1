"""Drawn faces: everything from a seed, and counterfactuals that are true by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cdvae_gan.data import open_dataset
from cdvae_gan.data.avatars import (
    ATTRIBUTES,
    PREVALENCE,
    Avatars,
    Latents,
    draw_avatar,
    parse_avatars,
)
from cdvae_gan.errors import InputError

MANY = Avatars(n=20_000)  # their labels cost nothing; their pictures are not drawn


def changed(one: np.ndarray, other: np.ndarray) -> int:
    """The number of pixels that differ visibly."""
    return int((np.abs(one.astype(int) - other).max(-1) > 10).sum())


class TestSeed:
    def test_equal_seeds_draw_equal_pictures(self) -> None:
        one, two = Avatars(n=20, seed=3), Avatars(n=20, seed=3)
        assert np.array_equal(one.read(7, 32), two.read(7, 32))
        assert np.array_equal(one.labels, two.labels)

    def test_other_seeds_draw_others(self) -> None:
        assert changed(Avatars(n=20, seed=3).read(7, 32), Avatars(n=20, seed=4).read(7, 32)) > 300

    def test_a_picture_does_not_depend_on_how_many_there_are(self) -> None:
        few, more = Avatars(n=10), Avatars(n=1000)
        assert np.array_equal(few.read(5, 32), more.read(5, 32))
        assert np.array_equal(few.read(9, 32), more.read(900, 32))  # the first of validation

    def test_no_two_pictures_are_equal(self) -> None:
        pictures = {Avatars(n=60).read(i, 32).tobytes() for i in range(60)}
        assert len(pictures) == 60


class TestLabels:
    def test_prevalence_is_as_said(self) -> None:
        expected = list(PREVALENCE.values())
        assert np.allclose(MANY.labels.mean(0), expected, atol=0.02)

    def test_attributes_are_independent(self) -> None:
        phi = np.corrcoef(MANY.labels.T) - np.eye(len(ATTRIBUTES))
        assert np.abs(phi).max() < 0.03

    def test_latent_choices_are_independent_of_the_attributes(self) -> None:
        both = np.corrcoef(MANY.latents.T, MANY.labels.T)
        latents = MANY.latents.shape[1]
        assert np.abs(both[:latents, latents:]).max() < 0.03


class TestConfounding:
    def agreement(self, options: str) -> tuple[float, float]:
        """How often Hat equals Glasses in training and in validation."""
        drawn = parse_avatars(f"n=20000,validation=0.5,{options}")
        glasses, hat = (drawn.labels[:, ATTRIBUTES.index(name)] for name in ("Glasses", "Hat"))
        equal = glasses == hat
        return equal[:10_000].mean(), equal[10_000:].mean()

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
    def test_training_is_confounded_and_validation_is_not(self, share: float) -> None:
        train, validation = self.agreement(f"confound=Glasses+Hat:{share}")
        assert train == pytest.approx(share, abs=0.015)
        assert validation == pytest.approx(0.4 * 0.3 + 0.6 * 0.7, abs=0.02)

    def test_validation_is_confounded_when_asked(self) -> None:
        train, validation = self.agreement("confound=Glasses+Hat:0.9,confound_in=all")
        assert train == pytest.approx(0.9, abs=0.015)
        assert validation == pytest.approx(0.9, abs=0.015)

    def test_several(self) -> None:
        drawn = parse_avatars("n=9000,confound=Beard+Suit:1,confound=Suit+Smile:0")
        beard, suit, smile = (
            drawn.labels[:8000, ATTRIBUTES.index(name)] for name in ("Beard", "Suit", "Smile")
        )
        assert np.array_equal(beard, suit)
        assert np.array_equal(smile, 1 - suit)

    def test_the_cause_and_the_rest_stay_as_they_were(self) -> None:
        plain, confounded = parse_avatars("n=500"), parse_avatars("n=500,confound=Glasses+Hat:0.9")
        others = [k for k, name in enumerate(ATTRIBUTES) if name != "Hat"]
        assert np.array_equal(plain.labels[:, others], confounded.labels[:, others])
        assert np.array_equal(plain.latents, confounded.latents)


class TestTruth:
    @pytest.fixture
    def dataset(self):
        return open_dataset("avatars:n=24,validation=0.25", size=32)

    def test_doing_nothing_is_the_picture_itself(self, dataset) -> None:
        for i in (0, 20):
            assert np.array_equal(dataset.truth(i, {}), dataset.images[i])
            as_it_is = dict(zip(dataset.attributes, dataset.labels[i].tolist(), strict=True))
            assert np.array_equal(dataset.truth(i, as_it_is), dataset.images[i])

    def test_it_follows_the_view(self, dataset) -> None:
        part = dataset.split("validation").select(["Hat"]).take([2, 1])
        for i in range(2):
            assert np.array_equal(part.truth(i, {}), part.images[i])

    def test_flipping_back_gives_the_picture_back(self, dataset) -> None:
        labels = dict(zip(dataset.attributes, dataset.labels[3].tolist(), strict=True))
        flipped = {"Hat": 1 - labels["Hat"]}
        there = dataset.truth(3, flipped)
        assert changed(there, dataset.images[3]) > 50
        assert np.array_equal(dataset.truth(3, flipped | {"Hat": labels["Hat"]}), dataset.images[3])

    @pytest.mark.parametrize("attribute", ATTRIBUTES)
    def test_every_attribute_can_be_seen_on_every_picture(self, attribute: str) -> None:
        drawn = Avatars(n=30)
        for i in range(30):
            without, having = (drawn.draw(i, {attribute: value}, 64) for value in (0, 1))
            assert changed(without, having) >= 4, f"picture {i}"

    @pytest.mark.parametrize(
        ("attribute", "where"),
        [
            ("Glasses", slice(0, 48)),
            ("Hat", slice(0, 48)),
            ("Smile", slice(24, 64)),
            ("Beard", slice(20, 64)),
            ("Suit", slice(36, 64)),
            ("Earrings", slice(28, 64)),
        ],
    )
    def test_an_attribute_changes_its_place_and_nothing_else(
        self, attribute: str, where: slice
    ) -> None:
        drawn = Avatars(n=20)
        outside = np.setdiff1d(np.arange(64), np.arange(64)[where])
        for i in range(20):
            without, having = (drawn.draw(i, {attribute: value}, 64) for value in (0, 1))
            assert np.array_equal(without[outside], having[outside]), f"picture {i}"

    @pytest.mark.parametrize(
        ("do", "message"),
        [
            ({"Glases": 1}, "did you mean 'Glasses'"),
            ({"Hat": 2}, "is 0 or 1"),
            ({"Hat": 0.5}, "0 or 1"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, dataset, do, message: str) -> None:
        with pytest.raises(InputError, match=message):
            dataset.truth(0, do)


class TestDrawing:
    @pytest.mark.parametrize("size", [32, 64, 128])
    def test_size_and_type(self, size: int) -> None:
        picture = Avatars(n=1).read(0, size)
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8

    @pytest.mark.parametrize("choice", [0.0, 1 - 2**-53])
    def test_the_first_and_the_last_of_every_choice_can_be_drawn(self, choice: float) -> None:
        latents = Latents(*[choice] * len(Latents.__dataclass_fields__))
        for value in (0, 1):
            assert draw_avatar(latents, dict.fromkeys(ATTRIBUTES, value), 32).std() > 10

    @pytest.mark.parametrize("latent", Latents.__dataclass_fields__)
    def test_every_latent_choice_changes_the_picture(self, latent: str) -> None:
        """In at least one of the two pictures with no and with all attributes, but for hats."""
        plain = Latents(*[0.3] * len(Latents.__dataclass_fields__))
        other = replace(plain, **{latent: 0.9})
        for value in (0, 1):
            values = dict.fromkeys(ATTRIBUTES, value)
            if not np.array_equal(draw_avatar(plain, values, 64), draw_avatar(other, values, 64)):
                return
        pytest.fail(f"{latent} changes nothing")


class TestOptions:
    def test_defaults(self) -> None:
        assert parse_avatars("") == Avatars()

    def test_all_options(self) -> None:
        text = "n=40, seed=7, validation=0.25, confound=Hat+Suit:0.8, confound_in=all"
        expected = Avatars(40, 7, 0.25, (("Hat", "Suit", 0.8),), "all")
        assert parse_avatars(text) == expected
        assert expected.counts == (30, 10)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("m=3", "no avatars option 'm'"),
            ("n", "expected option=value, got 'n'"),
            ("n=many", "n=many: expected a whole number from 1"),
            ("n=0", "expected a whole number from 1"),
            ("validation=2", "expected a number from 0 to 1"),
            ("confound=Hat", "as in Glasses.Hat:0.9"),
            ("confound=Hat+Hat:1", "two attributes"),
            ("confound=Hat+Soot:0.9", "did you mean 'Suit'"),
            ("confound=Hat+Suit:9", "expected a number from 0 to 1"),
            ("confound_in=test", "expected train or all"),
        ],
    )
    def test_what_is_wrong_is_named(self, options: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            open_dataset(f"avatars:{options}")


def test_as_a_data_set() -> None:
    dataset = open_dataset("avatars:n=40,seed=1", size=32, attributes=["Smile", "Hat"])
    assert len(dataset.split("train")) == 36
    assert len(dataset.split("validation")) == 4
    assert dataset.attributes == ("Smile", "Hat")
    assert (
        dataset.fingerprint
        == open_dataset("avatars:n=40,seed=1", size=32, attributes=["Smile", "Hat"]).fingerprint
    )
