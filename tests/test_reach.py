"""Reach: counterfactuals as clear as real photos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cdvae_gan
from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.card import Card
from cdvae_gan.cli import main
from cdvae_gan.data.dataset import AttributeDataset, ImageRows
from cdvae_gan.networks.decoder import Drawing
from cdvae_gan.networks.encoder import Encoding
from cdvae_gan.networks.identity import Identified
from cdvae_gan.training.reach import BOUNDS, calibrated

NAMES = ("Top", "Bottom")
SHY, BOLD = 0.25, 1.0
"""How much brighter the decoder draws the upper half, and the lower: photos differ by 0.5."""


class Eye(nn.Module):
    """Reads the brightness of either half, past the middle of dark and bright."""

    def forward(self, x: Tensor) -> Encoding:
        halves = [x[:, :, :16].mean((1, 2, 3)), x[:, :, 16:].mean((1, 2, 3))]
        z = torch.zeros(len(x), 4)
        return Encoding(z, z, 20 * torch.stack(halves, dim=1), None, None)


class Hand(nn.Module):
    """Brightens the upper half by too little and the lower by too much."""

    def forward(self, z: Tensor, a: Tensor, u: Tensor | None = None) -> Drawing:
        location = torch.zeros(len(a), 3, 32, 32)
        location[:, :, :16] = SHY * a[:, 0, None, None, None]
        location[:, :, 16:] = BOLD * a[:, 1, None, None, None]
        return Drawing(location, torch.zeros(len(a), 1, 32, 32), torch.zeros(len(a), 0, 32, 32))


@pytest.fixture(scope="module")
def model() -> CDVAEGAN:
    model = CDVAEGAN(ModelConfig(NAMES, 32, z_dim=4, u_channels=0, width=8))
    model.encoder, model.decoder = Eye(), Hand()  # type: ignore[assignment]
    return model


class Acquaintance(nn.Module):
    """Knows people by the brightness of some rows."""

    def __init__(self, rows: slice) -> None:
        super().__init__()
        self.to_embedding = nn.Linear(1, 1)
        self.rows = rows

    def forward(self, x: Tensor) -> Identified:
        angle = 3 * x[:, :, self.rows].mean((1, 2, 3))
        return Identified(torch.stack([angle.cos(), angle.sin()], dim=1), angle[:, None])


def photos(
    n: int = 80,
    without: int | None = None,
    labels: np.ndarray | None = None,
    spread: float = 3.0,
    each: int = 1,
) -> AttributeDataset:
    """Halves that are dark, about −¼, or bright, about ¼; each person a little different."""
    draw = np.random.default_rng(0)
    if labels is None:
        labels = draw.integers(0, 2, (n, 2)).astype(np.int8)
    if without is not None:
        labels[:, without] = 0
    person = draw.normal(0, spread, (n // each, 2)).repeat(each, axis=0)
    level = 127.5 * (1 + 0.5 * (labels - 0.5)) + person + draw.normal(0, spread / 8, (n, 2))
    pixels = np.repeat(np.repeat(level[:, :, None], 16, axis=1).reshape(n, 32, 1, 1), 32, axis=2)
    return AttributeDataset(
        "halves",
        NAMES,
        ImageRows(np.repeat(pixels, 3, axis=3).round().astype(np.uint8), np.arange(n)),
        labels,
        np.full(n, "train"),
        tuple(f"{i}.png" for i in range(n)),
    )


def test_what_is_shy_goes_farther_and_what_overdoes_it_less_far(model: CDVAEGAN) -> None:
    reach = calibrated(model, photos()).config.reach
    assert reach[0] == pytest.approx((0.5 / SHY, 0.5 / SHY), abs=0.15)
    assert reach[1] == pytest.approx((0.5 / BOLD, 0.5 / BOLD), abs=0.1)


def test_the_dearer_change_is_the_less_far_an_edit_goes(model: CDVAEGAN) -> None:
    data = photos(spread=12.0)
    put_on = [calibrated(model, data, price=p).config.reach[0][0] for p in (4.0, 6.0, 8.0, 1e3)]
    assert put_on[0] > put_on[1] > put_on[2] > put_on[3]


@pytest.mark.parametrize(("price", "quantile"), [(1e3, 0.25), (0.0, 0.9)])
def test_half_of_the_edits_are_between_a_quarter_and_nine_in_ten_of_the_photos_whatever_the_price(
    model: CDVAEGAN, price: float, quantile: float
) -> None:
    data = photos(spread=8.0)
    level = np.asarray(data.images.pixels)[:, 0, 0, 0] / 127.5 - 1
    bright = np.asarray(data.labels)[:, 0] == 1
    wanted, middle = np.quantile(level[bright], quantile), np.median(level[~bright])
    put_on = calibrated(model, data, price=price).config.reach[0][0]
    assert put_on == pytest.approx((wanted - middle) / SHY, abs=0.02)


def test_an_edit_that_makes_another_person_of_somebody_goes_less_far(model: CDVAEGAN) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (60, 2)).astype(np.int8).repeat(2, axis=0)
    labels[1:24:2, 0] ^= 1  # few people change above, and none below
    data = replace(photos(120, labels=labels, spread=8.0, each=2), identities=np.arange(120) // 2)

    def reach(people: Acquaintance | None, price: float = 1.0) -> tuple[tuple[float, float], ...]:
        found = calibrated(model, data, price=price, people=people)  # type: ignore[arg-type]
        return found.config.reach

    free, least = reach(None), reach(None, 1e3)
    above, below = (reach(Acquaintance(r)) for r in (slice(16), slice(16, 32)))
    assert below == free  # what is edited above says nothing of who it is
    assert least[0][0] <= above[0][0] < free[0][0] - 0.05
    assert above[0][0] == pytest.approx(0.5 / SHY, abs=0.1)  # as unlike as dark and bright photos
    assert above[1] == free[1]  # whoever changes below may be another


def test_people_must_be_known_to_be_told_apart(model: CDVAEGAN) -> None:
    with pytest.raises(InputError, match="which halves does not say"):
        calibrated(model, photos(), people=Acquaintance(slice(16)))  # type: ignore[arg-type]


def test_weights_stay_and_the_card_goes(model: CDVAEGAN) -> None:
    model.card = Card("figures of other counterfactuals")
    found = calibrated(model, photos())
    assert found.card is None
    assert model.config.reach == ()
    assert torch.equal(found.reach, torch.tensor(found.config.reach).T)


def test_a_measured_reach_is_saved_with_the_weights(tmp_path: Path) -> None:
    model = CDVAEGAN(ModelConfig(NAMES, 32, z_dim=4, width=8)).adjusted(reach=[(1.5, 2), (1, 0.75)])
    loaded = cdvae_gan.load(model.save(tmp_path / "m"))
    assert loaded.config == model.config
    assert loaded.reach.tolist() == [[1.5, 1], [2, 0.75]]


def test_an_attribute_that_no_photo_has_is_left_as_it_is(model: CDVAEGAN) -> None:
    reach = calibrated(model, photos(without=1)).config.reach
    assert reach[1] == (1, 1)
    assert reach[0][0] > 1


def test_a_reach_has_bounds(model: CDVAEGAN) -> None:
    dark = photos()
    dark.images.pixels[:, :16] = np.maximum(dark.images.pixels[:, :16].astype(int) * 3 - 260, 0)
    put_on, take_off = calibrated(model, dark, price=0.0).config.reach[0]
    assert take_off <= BOUNDS[1]
    assert put_on == BOUNDS[1]


def test_what_is_never_as_clear_as_photos_goes_to_where_it_is_clearest(model: CDVAEGAN) -> None:
    class Tired(Hand):
        """Beyond a reach of 1.5 it takes back what it has drawn."""

        def forward(self, z: Tensor, a: Tensor, u: Tensor | None = None) -> Drawing:
            return super().forward(z, 1.5 - (a - 1.5).abs(), u)

    tired = CDVAEGAN(model.config)
    tired.encoder, tired.decoder = Eye(), Tired()  # type: ignore[assignment]
    assert calibrated(tired, photos()).config.reach[0][0] == 1.5


def test_what_cannot_be_calibrated_is_refused(model: CDVAEGAN) -> None:
    with pytest.raises(InputError, match="price must not be negative, not -1"):
        calibrated(model, photos(), price=-1)
    with pytest.raises(InputError, match="did you mean"):
        calibrated(CDVAEGAN(ModelConfig(("Tops", "Bottom"), 32, width=8, z_dim=4)), photos())
    with pytest.raises(InputError, match="64 pixels"):
        calibrated(CDVAEGAN(ModelConfig(NAMES, 64, width=8, z_dim=4)), photos())


def test_the_command_writes_a_model_with_its_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    config = ModelConfig(("Glasses", "Hat"), 32, z_dim=4, width=8, u_channels=2)
    trained = CDVAEGAN(config).eval().save(tmp_path / "trained")
    out = tmp_path / "calibrated"
    command = ["calibrate", str(trained), "avatars:n=60", "--images", "8", "--out", str(out)]
    assert main([*command, "--faint", "0.03", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    reach = [(pair["put on"], pair["taken off"]) for pair in told["reach"].values()]
    assert list(told["reach"]) == ["Glasses", "Hat"]
    assert cdvae_gan.load(out).config == replace(config, reach=tuple(reach), faint=0.03)
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*command[:-1], str(trained), "--overwrite"]) == 2
    assert "is an input and will not be overwritten" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert "how far edits go" in capsys.readouterr().out
