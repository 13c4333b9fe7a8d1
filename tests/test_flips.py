"""Flipping every attribute of every image, and asking a judge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.data.dataset import AttributeDataset, ImageRows
from cdvae_gan.evaluation.edits import ModelEditor
from cdvae_gan.evaluation.flips import flip_deception
from cdvae_gan.evaluation.judges import Card, Judge

NAMES = ("Top", "Bottom")


@pytest.fixture
def dataset() -> AttributeDataset:
    """The upper half is bright where Top is 1, the lower where Bottom is."""
    labels = np.random.default_rng(0).integers(0, 2, (60, 2)).astype(np.int8)
    pixels = np.full((60, 32, 32, 3), 60, dtype=np.uint8)
    pixels[labels[:, 0] == 1, :16] = 200
    pixels[labels[:, 1] == 1, 16:] = 200
    return AttributeDataset(
        "halves",
        NAMES,
        ImageRows(pixels, np.arange(60)),
        labels,
        np.full(60, "validation"),
        tuple(f"{i}.png" for i in range(60)),
    )


def brightness(images: Tensor) -> Tensor:
    x = images.float() / 127.5 - 1
    return torch.stack([x[:, :, :16].mean((1, 2, 3)), x[:, :, 16:].mean((1, 2, 3))], dim=1)


JUDGE = Judge(Card("eye", "test", NAMES), brightness)


def perfect(x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1) -> Tensor:
    if attribute is None or target is None:
        return x
    rows = slice(0, 16) if attribute == "Top" else slice(16, 32)
    x = x.clone()
    goal = torch.where(target > 0, 0.57, -0.53)[:, None, None, None]
    x[:, :, rows] += strength * (goal - x[:, :, rows])
    return x


def idle(x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1) -> Tensor:
    return x


def test_a_perfect_editor_deceives_and_an_idle_one_does_not(dataset: AttributeDataset) -> None:
    good, bad = (flip_deception(e, JUDGE, dataset, batch_size=25) for e in (perfect, idle))
    assert good.deception["mean", "all"].value == 1
    assert good.preservation["mean", "kept"].value == 1
    assert good.deception["mean", "all"].n == 120
    assert bad.deception["mean", "unconditional"].value == 0
    assert good.composition == bad.composition == 0


def test_half_an_edit_is_half_as_strong(dataset: AttributeDataset) -> None:
    weak = flip_deception(perfect, JUDGE, dataset, strength=0.2)
    assert weak.deception["mean", "all"].value == 0


def test_a_judge_of_other_things_is_refused(dataset: AttributeDataset) -> None:
    other = Judge(Card("nose", "test", ("Smell",)), lambda x: torch.zeros(len(x), 1))
    with pytest.raises(InputError, match="knows no attribute"):
        flip_deception(idle, other, dataset)


def test_a_model_is_an_editor(dataset: AttributeDataset) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        (*NAMES, "Black", "Blond"), 32, z_dim=4, width=8, exclusive=(("Black", "Blond"),)
    )
    model = CDVAEGAN(config).eval()
    editor = ModelEditor(model)
    x = dataset.batch(range(6)).images.float() / 127.5 - 1
    assert torch.equal(editor(x, None, None), x)
    for name in ("Top", "Blond"):
        target = torch.tensor([0, 1, 0, 1, 1, 0])
        expected = torch.stack(
            [
                model.counterfactual(x[i : i + 1], {name: int(t)}).images[0]
                for i, t in enumerate(target)
            ]
        )
        torch.testing.assert_close(editor(x, name, target), expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="did you mean 'Top'"):
        editor(x, "Tap", torch.ones(6))
    y = x.flip(0)
    assert torch.equal(editor(y, None, None), y)
