"""Models between two models."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from between import between
from cdvae_gan import CDVAEGAN, ModelConfig
from cdvae_gan.errors import InputError

CONFIG = ModelConfig(("A", "B"), image_size=32, z_dim=4, width=4)


def model(seed: int) -> CDVAEGAN:
    torch.manual_seed(seed)
    return CDVAEGAN(CONFIG).eval()


def test_the_ends_are_the_models_and_the_middle_is_their_mean() -> None:
    first, second = model(0), model(1)
    for share, expected in ((0.0, first), (1.0, second)):
        found = between(first, second, share).state_dict()
        assert all(torch.equal(found[k], v) for k, v in expected.state_dict().items())
    weight = between(first, second, 0.25).encoder.to_a.weight
    torch.testing.assert_close(
        weight, 0.75 * first.encoder.to_a.weight + 0.25 * second.encoder.to_a.weight
    )


def test_models_of_another_kind_have_nothing_between_them() -> None:
    with pytest.raises(InputError, match="equal configuration"):
        between(model(0), CDVAEGAN(replace(CONFIG, width=8)), 0.5)
    with pytest.raises(InputError, match="--share must lie"):
        between(model(0), model(1), 1.5)


def test_what_is_between_is_calibrated_anew() -> None:
    first = model(0).adjusted(reach=[(1.5, 2), (1, 1)])
    assert between(first, model(1), 0.5).config.reach == ()
