"""The retoucher: what it may touch, and how it is taught."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cdvae_gan import CDVAEGAN, InputError, load
from cdvae_gan.data import open_dataset
from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.networks.discriminator import Verdict
from cdvae_gan.networks.retoucher import Retoucher
from cdvae_gan.training.critics import loss_on_pixels
from cdvae_gan.training.interventions import InterventionSampler
from cdvae_gan.training.replay import Recalled
from cdvae_gan.training.retouch import RetouchConfig, Retouching, RetouchWeights, learn_retoucher
from command_line import Cli
from small_retouch import CONFIG, NAMES, brightening, plain_model

SMALL = RetouchConfig(width=4, batch_size=8, head_start=2, replay=16, learning_rate=5e-3)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def data() -> AttributeDataset:
    return open_dataset("avatars:n=60,validation=0.2", size=32, attributes=NAMES).split("train")


@pytest.fixture(scope="module")
def plain() -> CDVAEGAN:
    return plain_model()


@pytest.fixture(scope="module")
def retouched() -> CDVAEGAN:
    """With a retoucher that touches whatever it may."""
    return brightening(retouch_width=4)


def faces(data: AttributeDataset, n: int = 4) -> Tensor:
    return data.batch(np.arange(n)).images / 127.5 - 1


class Credulous(nn.Module):
    """Takes every image for real, in some branches."""

    def __init__(self, branches: Tensor) -> None:
        super().__init__()
        self.branches = branches

    def forward(self, x: Tensor) -> Verdict:
        realness = self.branches.expand(len(x), -1)[:, :, None, None]
        return Verdict([realness], torch.zeros(len(x), 1))


@pytest.mark.parametrize(
    ("label", "dearer"), [(0, "a photo without it is no real one with it"), (-1, "")]
)
def test_photos_are_also_shown_as_what_they_are_known_not_to_be(label: int, dearer: str) -> None:
    images = torch.zeros(4, 3, 32, 32)
    known = torch.full((4, 1), label)
    seen = Recalled(images, known, images, torch.zeros(4).long(), torch.zeros(4).long())
    losses = [
        loss_on_pixels(
            Credulous(torch.tensor([0.0, 0.0, with_it])),  # type: ignore[arg-type]
            seen,
            InterventionSampler(torch.tensor([0.5])),
            mismatched=True,
        ).loss
        for with_it in (-3.0, 3.0)
    ]
    assert bool(losses[1] > losses[0] + 1) == bool(dearer)
    assert bool(losses[1] == losses[0]) != bool(dearer)


def test_it_touches_nothing_but_the_gate_and_a_few_pixels_around() -> None:
    gate = torch.zeros(1, 1, 32, 32)
    gate[..., 10:12, 10:12] = 1
    x = torch.rand(1, 3, 32, 32)
    added = Retoucher(2, 4)(x, x, gate, gate, torch.ones(1, 2))
    near = torch.zeros(32, 32, dtype=torch.bool)
    near[6:16, 6:16] = True
    assert (added[..., near] != 0).any()
    assert (added[..., ~near] == 0).all()


def test_what_is_asked_for_changes_what_it_adds() -> None:
    x, gate = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    network = Retoucher(2, 4)
    hat, smile = torch.tensor([1.0, 0.0]).expand(2, 2), torch.tensor([0.0, 1.0]).expand(2, 2)
    assert not torch.equal(network(x, x, gate, gate, hat), network(x, x, gate, gate, smile))


def test_an_edit_is_retouched_and_doing_nothing_stays_nothing(
    plain: CDVAEGAN, retouched: CDVAEGAN, data: AttributeDataset
) -> None:
    x = faces(data)
    assert torch.equal(retouched.counterfactual(x, {}).images, x)
    before, after = (m.counterfactual(x, {"Hat": "flip"}) for m in (plain, retouched))
    assert (after.images - before.images).mean() > 0.01, "brighter, as this retoucher makes it"
    decoded = [m.counterfactual(x, {"Hat": "flip"}, detail=0.0).images for m in (plain, retouched)]
    assert torch.equal(*decoded), "plain decoding is the decoder's alone"


def test_it_is_part_of_the_model_that_is_saved(
    plain: CDVAEGAN, retouched: CDVAEGAN, data: AttributeDataset, tmp_path: Path
) -> None:
    x = faces(data)
    again = load(retouched.save(tmp_path / "with"))
    expected = retouched.counterfactual(x, {"Smile": "flip"}).images
    assert torch.allclose(again.counterfactual(x, {"Smile": "flip"}).images, expected, atol=1e-5)
    plain.save(tmp_path / "without")
    assert "retouch_width" not in json.loads((tmp_path / "without/config.json").read_text())


def test_without_a_gate_it_would_touch_everything_and_is_refused(data: AttributeDataset) -> None:
    with pytest.raises(InputError, match="gate_channels"):
        replace(CONFIG, gate_channels=0, retouch_width=4)
    ungated = CDVAEGAN(replace(CONFIG, gate_channels=0))
    with pytest.raises(InputError, match="gate_channels"):
        Retouching(ungated, data, SMALL)


def test_teaching_changes_the_retoucher_alone(plain: CDVAEGAN, data: AttributeDataset) -> None:
    taught = learn_retoucher(Retouching(plain, data, SMALL), steps=4)
    same = taught.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in plain.state_dict().items())
    x = faces(data)
    drawn = [m.counterfactual(x, {"Hat": "flip"}).images for m in (plain, taught)]
    assert not torch.equal(*drawn)
    assert plain.retoucher is None


def test_one_that_is_asked_for_no_more_than_the_photo_learns_to_take_edits_back(
    plain: CDVAEGAN, data: AttributeDataset
) -> None:
    alone = RetouchWeights(branch=0, attribute_d=0, attribute_e=0, cycle=0, edit=1, touch=0)
    config = replace(SMALL, weights=alone, head_start=0, d_steps=1)
    taught = learn_retoucher(Retouching(plain, data, config), steps=60)
    x = faces(data, 16)
    sizes = [
        float((m.counterfactual(x, {"Hat": "flip"}).images - x).abs().mean())
        for m in (plain, taught)
    ]
    assert sizes[1] < 0.7 * sizes[0]


def test_a_training_that_goes_on_ends_where_an_unbroken_one_does(
    plain: CDVAEGAN, data: AttributeDataset, tmp_path: Path
) -> None:
    whole = learn_retoucher(Retouching(plain, data, SMALL), steps=5)
    begun = tmp_path / "begun.ckpt"
    learn_retoucher(Retouching(plain, data, SMALL), steps=3, checkpoint=begun)
    parts = learn_retoucher(Retouching(plain, data, SMALL), steps=5, checkpoint=begun)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    with pytest.raises(InputError, match="other numbers"):
        learn_retoucher(Retouching(plain, data, replace(SMALL, seed=1)), steps=6, checkpoint=begun)
    begun.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="damaged"):
        learn_retoucher(Retouching(plain, data, SMALL), steps=6, checkpoint=begun)


def test_a_share_of_what_was_learned_is_added(
    plain: CDVAEGAN, data: AttributeDataset, tmp_path: Path
) -> None:
    begun, x = tmp_path / "begun.ckpt", faces(data, 8)

    def edits(share: float) -> Tensor:
        taught = learn_retoucher(
            Retouching(plain, data, SMALL), steps=6, share=share, checkpoint=begun
        )
        return taught.counterfactual(x, {"Hat": "flip"}).images

    none, half, whole = (edits(share) for share in (0.0, 0.5, 1.0))
    assert torch.equal(none, plain.counterfactual(x, {"Hat": "flip"}).images)
    assert 0 < float((half - none).abs().mean()) < float((whole - none).abs().mean())
    with pytest.raises(InputError, match="share must lie"):
        edits(1.5)


def test_photos_without_its_attributes_teach_it_nothing(plain: CDVAEGAN) -> None:
    others = open_dataset("avatars:n=20,validation=0.2", size=32, attributes=("Hat", "Beard"))
    with pytest.raises(InputError, match="no labels of Smile"):
        Retouching(plain, others, SMALL)


def test_the_command_writes_a_model_and_goes_on_with_it(
    cli: Cli, plain: CDVAEGAN, here: Path
) -> None:
    plain.save(here / "plain")
    ask = ("retouch", "plain", "avatars:n=60,validation=0.2", "--out", "new", "--width", "4")
    assert "when to stop" in cli.refused(*ask)
    assert "nothing was begun" in cli.refused(*ask, "--steps", "1", "--resume")
    assert not (here / "new").exists()
    first = cli(*ask, "--steps", "1", "--json")
    assert first.objects == [{"model": "new"}], first
    assert load("new").config.retouch_width == 4
    assert "--overwrite" in cli.refused(*ask, "--steps", "2")
    assert cli(*ask, "--steps", "2", "--resume").code == 0
    state = torch.load(here / "new/retouching.ckpt", weights_only=True)
    assert state["steps_done"] == 2
    assert "other numbers" in cli.refused(
        *ask, "--steps", "3", "--resume", "--set", "weights.edit=1"
    )
    wrong = (*ask, "--steps", "3", "--resume", "--set", "weights.edits=1")
    assert "attribute_d" in cli.refused(*wrong)
    plain.adjusted(faint=0.1).save(here / "other")
    said = cli.refused("retouch", "other", *ask[2:], "--steps", "3", "--resume")
    assert "another model" in said


def test_a_model_whose_attributes_the_photos_lack_leaves_no_folder(cli: Cli, here: Path) -> None:
    CDVAEGAN(replace(CONFIG, attributes=("Wings",))).save(here / "strange")
    ask = ("retouch", "strange", "avatars:n=20,validation=0.2", "--out", "none", "--steps", "1")
    assert "no labels of Wings" in cli.refused(*ask)
    assert not (here / "none").exists()


def test_a_run_that_starts_from_a_model_says_that_what_goes_over_its_edits_stays_behind(
    cli: Cli, plain: CDVAEGAN, retouched: CDVAEGAN, here: Path
) -> None:
    plain.save(here / "plain")
    retouched.save(here / "retouched")
    ask = ("train", "avatars:n=60,validation=0.2", "--size", "32", "--attributes", "Hat,Smile")
    small = ("--steps", "1", "--batch-size", "8", "--set", "width=8", "--precision", "32")
    for name, said in (("plain", False), ("retouched", True)):
        run = cli(*ask, *small, "--start-from", name, "--out", f"from-{name}")
        assert ("cdvae-gan retouch" in run.out) == said, run.out
        assert load(f"from-{name}").retoucher is None
