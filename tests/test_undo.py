"""Models that learn to undo their own edits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import undo
from cdvae_gan import CDVAEGAN, ModelConfig, load
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.errors import InputError
from cdvae_gan.images import to_float
from learning import Batches
from undo import Terms, Undoing, undone

AVATARS = "avatars:n=60,validation=0.2"


def data() -> AttributeDataset:
    return open_dataset(AVATARS, size=32).split("train")


def model(mask_channels: int = 0, gate_channels: int = 0) -> CDVAEGAN:
    torch.manual_seed(0)
    config = ModelConfig(
        data().attributes,
        image_size=32,
        z_dim=12,
        u_channels=0,
        width=8,
        mask_channels=mask_channels,
        gate_channels=gate_channels,
    )
    return CDVAEGAN(config).eval()


def loss(teacher: CDVAEGAN, pupil: CDVAEGAN, terms: Terms) -> float:
    torch.manual_seed(1)
    with torch.no_grad():
        return float(Undoing(teacher, pupil, Batches(data(), 48, 1), terms)())


def test_a_copy_learns_to_undo_edits_and_the_model_stays_as_it_is() -> None:
    teacher = model()
    was = {k: v.clone() for k, v in teacher.state_dict().items()}
    found = undone(teacher, Batches(data(), 48, 0), 60, 2e-3)
    assert all(torch.equal(teacher.state_dict()[k], v) for k, v in was.items())
    nothing = Terms(undo=0, draw=0, read=0, same=0, keep=0)
    for term in ("draw", "read"):
        alone = Terms(**{**vars(nothing), term: 1.0})
        assert loss(teacher, found, alone) < loss(teacher, teacher, alone), term
    assert loss(teacher, found, nothing) == 0


def test_undoing_alone_teaches_encoder_and_decoder() -> None:
    teacher = model(mask_channels=2, gate_channels=2)
    alone = Terms(undo=1, draw=0, read=0, same=0, keep=0)
    found = undone(teacher, Batches(data(), 16, 0), 2, 1e-3, terms=alone)
    for part in ("encoder.to_z.weight", "encoder.stages.0.0.weight", "decoder.out.weight"):
        assert not torch.equal(found.get_parameter(part), teacher.get_parameter(part)), part
    same = found.encoder.to_a.weight, teacher.encoder.to_a.weight
    assert torch.equal(*same), "nothing was to be read"


def test_edits_become_those_of_the_copy_where_asked() -> None:
    teacher = model()
    was = {k: v.clone() for k, v in teacher.state_dict().items()}
    stale, renewed = (
        undone(teacher, Batches(data(), 16, 0), 6, 1e-2, renew=renew) for renew in (None, 2)
    )
    assert not torch.equal(stale.decoder.out.weight, renewed.decoder.out.weight)
    assert all(torch.equal(teacher.state_dict()[k], v) for k, v in was.items())


def test_who_reads_the_same_z_from_an_edit_takes_away_what_was_put_on() -> None:
    one = model()
    with torch.no_grad():
        one.encoder.to_z.weight.zero_()
    terms = Terms(undo=1, draw=0, read=0, same=0, keep=0)
    lesson = Undoing(one, one, Batches(data(), 48, 1), terms)
    with torch.no_grad():
        assert float(lesson()) < 1e-3
        one.decoder.out.bias += torch.tensor([1.0, 0, 0])
        assert float(lesson()) < 1e-3
        lesson.pupil = model()
        assert float(lesson()) > 1e-3


def test_an_intervention_flips_one_attribute_or_takes_those_of_another() -> None:
    torch.manual_seed(0)
    lesson = Undoing(model(), model(), Batches(data(), 48, 0))
    a = torch.zeros(4000, 8)
    other = lesson.interventions(a).a
    assert set(other.sum(1).tolist()) == {0.0, 1.0}
    assert float(other.sum(1).mean()) == pytest.approx(0.75, abs=0.03)
    assert float(other.mean(0).min()) == pytest.approx(0.75 / 8, rel=0.3)


def test_images_are_drawn_as_often_as_asked() -> None:
    batches = Batches(data(), 8, 0, often=np.where(np.arange(48) < 24, 1.0, 3.0))
    rare = {x.numpy().tobytes() for x in to_float(data().batch(np.arange(24)).images)}
    seen = [x.numpy().tobytes() in rare for _ in range(100) for x in batches()[0].contiguous()]
    assert np.mean(seen) == pytest.approx(0.25, abs=0.06)


def test_a_spatial_latent_is_refused() -> None:
    config = ModelConfig(data().attributes, image_size=32, z_dim=12, u_channels=2, width=4)
    with pytest.raises(InputError, match="models of z alone"):
        undone(CDVAEGAN(config), Batches(data(), 16, 0), 1, 1e-3)


def test_the_script_erases_z_and_writes_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model().save(tmp_path / "model")
    words = [str(tmp_path / "model"), "--source", AVATARS, "--steps", "2", "--batch", "16"]
    monkeypatch.setattr(sys, "argv", ["undo.py", *words, "--erase", "--out", str(tmp_path / "o")])
    undo.main()
    found = load(tmp_path / "o")
    assert not torch.equal(found.encoder.to_z.weight, model().encoder.to_z.weight)
    images, labels = data().batch(np.arange(len(data())))
    with torch.no_grad():
        z = found.encoder(to_float(images)).z_mean
    a = labels.float() - labels.float().mean(0)
    assert ((z - z.mean(0)).T @ a / len(a)).abs().max() < 1e-3 * z.std()
