"""Training: what is drawn, in which order, what a run leaves, and that it may break anywhere."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file

import cdvae_gan
from cdvae_gan import CDVAEGAN, InputError, ModelConfig, objective
from cdvae_gan.counterfactual import abduct, predict
from cdvae_gan.data import AttributeDataset, Batch, open_dataset
from cdvae_gan.data.dataset import ImageRows
from cdvae_gan.networks.identity import IdentityNetwork
from cdvae_gan.training import Limits, TrainConfig, callbacks, train
from cdvae_gan.training.augmentation import Augmentation
from cdvae_gan.training.callbacks import Checkpoints, Validation
from cdvae_gan.training.identity import (
    learn_identity,
    learned_identity,
    pairs_that_differ,
    share_within_people,
)
from cdvae_gan.training.interventions import (
    InterventionSampler,
    rarity,
    sample_weights,
    weighted_prevalence,
)
from cdvae_gan.training.module import TrainingModule, _Drawn
from cdvae_gan.training.order import StepBatches
from cdvae_gan.training.precision import choose_precision
from cdvae_gan.training.replay import Recalled, Replay
from cdvae_gan.training.run import _trainer
from cdvae_gan.training.start import Learned, take_over

SPEC = "avatars:n=60,seed=5,validation=0.2"
NAMES = ["Glasses", "Smile", "Hat"]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> AttributeDataset:
    cache = tmp_path_factory.mktemp("cache")
    return open_dataset(SPEC, size=32, attributes=NAMES, cache_dir=cache)


def tiny(preset: str = "default", **changes: object) -> TrainConfig:
    config = TrainConfig.from_preset(preset, batch_size=8)  # type: ignore[arg-type]
    return replace(config, **{"width": 4, "z_dim": 4, **changes})  # type: ignore[arg-type]


def on_pixels(**changes: object) -> TrainConfig:
    """With a discriminator on pixels."""
    return tiny(weights=replace(objective.Weights(), pixel=2.0), **changes)


def of_people(**changes: object) -> TrainConfig:
    """With a network that tells people apart."""
    weights = replace(objective.Weights(), identity=10.0)
    return tiny(weights=weights, identity_steps=2, **changes)


@pytest.fixture(scope="session")
def known(data: AttributeDataset) -> AttributeDataset:
    """Two avatars in a row are taken for one person."""
    return replace(data, identities=np.arange(len(data)) // 2)


class Drawn(NamedTuple):
    """What a module that has learned nothing draws from eight images."""

    module: TrainingModule
    x: torch.Tensor
    drawn: _Drawn


def draws(data: AttributeDataset, config: TrainConfig) -> Drawn:
    torch.manual_seed(0)
    model = CDVAEGAN(ModelConfig(tuple(NAMES), 32, z_dim=4, width=4, mask_channels=2))
    module = TrainingModule(model, config, torch.full((3,), 0.5), bf16=False)
    images, labels = data.batch(range(8))
    x = images.float() / 127.5 - 1
    return Drawn(module, x, module._draw(x, labels))


def quick(data: AttributeDataset, out: Path, steps: int, **options: object) -> CDVAEGAN:
    options = {"precision": "32", "config": tiny(), "validate_every": 1000, **options}
    return train(data, out, Limits(steps=steps), **options)  # type: ignore[arg-type]


# -- what is drawn ---------------------------------------------------------------------------------


def test_rare_values_count_by_their_rarity_up_to_a_cap() -> None:
    values = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    prevalence = torch.tensor([0.25, 0.02])
    expected = torch.tensor([[4.0, 1 / 0.98], [1 / 0.75, 8.0]])
    assert torch.allclose(rarity(values, prevalence, cap=8.0), expected)


def test_unknown_labels_count_neither_for_frequencies_nor_for_rarity() -> None:
    labels = torch.tensor([[1, -1], [0, -1], [0, 1], [0, 0]])
    assert weighted_prevalence(labels, torch.ones(4)).tolist() == pytest.approx([0.25, 0.5])
    assert sample_weights(labels, cap=8.0).tolist() == pytest.approx([4, 4 / 3, 2, 2])


def test_either_value_of_a_rare_attribute_is_asked_for_about_equally_often() -> None:
    torch.manual_seed(0)
    prevalence = torch.tensor([0.06, *[0.5] * 13])
    a = (torch.rand(20_000, 14) < prevalence).float()
    drawn = InterventionSampler(prevalence)(a)
    flipped = drawn.changed & (drawn.changed.sum(1, keepdim=True) == 1)
    put_on = (flipped[:, 0] & (a[:, 0] == 0)).sum()
    taken_off = (flipped[:, 0] & (a[:, 0] == 1)).sum()
    assert 0.5 < float(put_on / taken_off) < 2


def test_interventions_change_something_and_say_what() -> None:
    torch.manual_seed(0)
    a = (torch.rand(400, 3) < 0.5).float()
    drawn = InterventionSampler(torch.full((3,), 0.5), partial=0.3)(a)
    assert torch.equal(drawn.changed, drawn.a != a)
    assert drawn.changed.any(dim=1).float().mean() > 0.75
    rows = torch.arange(400)
    moved = drawn.changed.any(dim=1)
    assert drawn.changed[rows, drawn.attribute][moved].all()
    fractional = ((drawn.a > 0) & (drawn.a < 1)).any(dim=1)
    assert torch.equal(fractional, moved & ~drawn.whole)


def test_interventions_respect_exclusive_attributes() -> None:
    torch.manual_seed(0)
    a = torch.zeros(500, 3)
    a[torch.arange(500), torch.randint(0, 2, (500,))] = 1
    drawn = InterventionSampler(torch.full((3,), 0.4), exclusive=[[0, 1]])(a)
    assert (drawn.a[:, 0] + drawn.a[:, 1]).max() <= 1


def test_half_of_the_images_keep_their_colours() -> None:
    torch.manual_seed(0)
    grey = torch.full((400, 3, 8, 8), 0.25)
    kept = (Augmentation.draw(400)(grey) - grey).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert 0.4 < kept.float().mean() < 0.6


def test_numbers_are_set_by_name_and_checked() -> None:
    config = TrainConfig().changed(
        ["learning_rate_d=7e-4", "weights.edit = 2", "batch_size=16", "mirror=false", "scale=none"]
    )
    assert (config.learning_rate_d, config.weights.edit, config.batch_size) == (7e-4, 2.0, 16)
    assert (config.mirror, config.scale, config.weights.mask) == (False, None, 0.3)
    assert TrainConfig().changed(["discriminator=plain"]).discriminator == "plain"

    def refused(said: str, *settings: str) -> None:
        with pytest.raises(InputError, match=said):
            TrainConfig().changed(settings)

    refused("name=value", "emphasis")
    refused("no setting 'learning_rat': did you mean 'learning_rate'", "learning_rat=1")
    refused("no setting 'edits'", "weights.edits=1")
    refused("weights has parts", "weights=1")
    refused("add up to no more than 1", "mixture.plain=0.9")
    refused("shares of the mixture lie in", "mixture.prior=-0.1")
    refused("ema has no part 'x'", "ema.x=1")
    refused("ema is a number", "ema=much")
    refused("width is a whole number", "width=48.5")
    refused("mirror is true or false", "mirror=1")
    refused("no gan_loss 'wasserstein'", "gan_loss=wasserstein")
    refused("batch size must be at least 8", "batch_size=2")
    refused("pixel_steps and pixel_replay must be at least 1", "pixel_steps=0")
    refused("leave some in the mixture", "mixture.plain=0.75", "weights.pixel=1")
    refused("pixel_replay must hold a batch of 64, not 32", "pixel_replay=32", "weights.pixel=1")
    refused("leave some in the mixture", "mixture.plain=0.75", "weights.identity=1")
    refused("weights.cycle is of counterfactuals", "mixture.plain=0.75", "weights.cycle=1")
    refused("identity_steps must be at least 1, not 0", "identity_steps=0")
    refused("head_start must not be negative", "head_start=-1")


def test_settings_of_another_discriminator_are_refused() -> None:
    with pytest.raises(InputError, match="r1 is for discriminator=plain"):
        TrainConfig(r1=1.0)
    with pytest.raises(InputError, match="multiple of 32, not 100"):
        TrainConfig(discriminator_size=100)
    assert TrainConfig(r1=1.0, discriminator="plain", discriminator_size=64).r1 == 1


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_the_parts_of_a_mixture_add_up_to_the_batch(preset: str) -> None:
    mixture = TrainConfig.from_preset(preset).mixture  # type: ignore[arg-type]
    for batch in range(8, 81):
        counts = mixture.counts(batch)
        assert min(counts) >= 0, (batch, counts)
        assert sum(counts) == batch


def test_an_augmentation_does_the_same_to_real_and_drawn_images() -> None:
    augmentation = Augmentation.draw(4)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    assert torch.equal(augmentation(x), augmentation(x.clone()))
    assert not torch.equal(augmentation(x), Augmentation.draw(4)(x))
    x.requires_grad_()
    augmentation(x).sum().backward()
    assert x.grad is not None
    assert (x.grad.abs() > 0).float().mean() > 0.8


# -- the order -------------------------------------------------------------------------------------


def take(stream: StepBatches, n: int) -> list[Batch]:
    return [batch for batch, _ in zip(stream, range(n), strict=False)]


def test_the_order_depends_on_seed_step_and_process_alone(data: AttributeDataset) -> None:
    weights = torch.ones(len(data))
    unbroken = take(StepBatches(data, weights, 8, seed=1), 5)
    later = take(StepBatches(data, weights, 8, seed=1, start=3), 2)
    for a, b in zip(unbroken[3:], later, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
    for other in (
        StepBatches(data, weights, 8, seed=2),
        StepBatches(data, weights, 8, seed=1, rank=1),
    ):
        assert not torch.equal(take(other, 1)[0].images, unbroken[0].images)


def test_images_are_drawn_by_weight(data: AttributeDataset) -> None:
    weights = torch.zeros(len(data))
    weights[7] = 1
    (batch,) = take(StepBatches(data, weights, 8, seed=0), 1)
    assert torch.equal(batch.images, data.batch([7] * 8).images)


# -- a step ----------------------------------------------------------------------------------------


def test_the_gradient_of_an_unlabelled_image_reaches_the_encoders_attributes(
    data: AttributeDataset,
) -> None:
    model = CDVAEGAN(ModelConfig(tuple(NAMES), 32, z_dim=4, width=4))
    config = tiny(discriminator="plain")
    module = TrainingModule(model, config, torch.full((3,), 0.5), bf16=False)
    images, labels = data.batch(range(8))
    x = images.float() / 127.5 - 1

    def gradient(labels: torch.Tensor) -> float:
        model.zero_grad()
        drawn = module._draw(x, labels)
        drawn.reconstruction.square().sum().backward()
        assert model.encoder.to_a.weight.grad is not None or (labels >= 0).all()
        grad = model.encoder.to_a.weight.grad
        return 0.0 if grad is None else float(grad.abs().sum())

    assert gradient(torch.full_like(labels, -1)) > 0
    assert gradient(labels) == 0


def test_the_mixture_that_d_judges_is_what_the_configuration_says(data: AttributeDataset) -> None:
    model = CDVAEGAN(ModelConfig(tuple(NAMES), 32, z_dim=4, width=4))
    module = TrainingModule(model, tiny(discriminator="plain"), torch.full((3,), 0.5), bf16=False)
    images, labels = data.batch(range(8))
    x = images.float() / 127.5 - 1
    with torch.no_grad():
        drawn = module._draw(x, labels)
    assert tiny().mixture.counts(8) == (5, 1, 1, 1)
    assert torch.equal(drawn.fakes[:5], drawn.counterfactual[:5])
    assert torch.equal(drawn.fakes[6], drawn.reconstruction[6])
    assert torch.equal(drawn.asked[6], labels[6].float())
    assert not drawn.changed[6:].any()


def test_interventions_go_as_far_as_the_reach(
    data: AttributeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = ((1.5, 2.0), (1.5, 2.0), (1.5, 2.0))
    model = CDVAEGAN(ModelConfig(tuple(NAMES), 32, z_dim=4, width=4, reach=reach))
    module = TrainingModule(model, tiny(partial_strength=0.0), torch.full((3,), 0.5), bf16=False)
    told: list[torch.Tensor] = []
    decode = model.decoder.forward

    def listening(z: torch.Tensor, a: torch.Tensor, u: torch.Tensor | None) -> object:
        told.append(a)
        return decode(z, a, u)

    monkeypatch.setattr(model.decoder, "forward", listening)
    images, labels = data.batch(range(16))
    with torch.no_grad():
        drawn = module._draw(images.float() / 127.5 - 1, labels)
    (factual, other) = told[0][:16], told[0][16:32]
    assert set(factual.unique().tolist()) == {0.0, 1.0}
    assert set(other.unique().tolist()) == {-1.0, 0.0, 1.0, 1.5}
    assert set(drawn.asked.unique().tolist()) == {0.0, 1.0}, "what is asked for is still 0 or 1"


def test_a_reach_goes_into_the_model_and_is_written_with_the_run(
    data: AttributeDataset, tmp_path: Path
) -> None:
    reach = ((1.5, 1.0), (1.0, 2.0), (1.0, 1.0))
    model = quick(data, tmp_path, 1, config=tiny(reach=reach))
    assert model.config.reach == reach
    again = quick(data, tmp_path, 2, config=None, resume=True)
    assert again.config.reach == reach
    with pytest.raises(InputError, match="no setting 'reach'"):
        tiny().changed(["reach=2"])


def test_a_mixture_without_reconstructions_trains(data: AttributeDataset, tmp_path: Path) -> None:
    config = TrainConfig().changed(["mixture.reconstruction=0", "batch_size=8", "width=4"])
    assert config.weights.features > 0
    model = quick(data, tmp_path, 1, config=config)
    assert all(p.isfinite().all() for p in model.parameters())


def recalled(numbers: range) -> Recalled:
    """A batch whose every part says which number it is."""
    n = torch.tensor(numbers)
    images = (n / 127.5 - 1)[:, None, None, None].expand(-1, 3, 4, 4)
    return Recalled(images, n[:, None].expand(-1, 2) - 1, images, n, n % 2)


def test_a_replay_holds_what_was_drawn_last_and_nothing_else() -> None:
    replay = Replay(size=6, image_size=4, n_attributes=2)
    replay.add(recalled(range(4)))
    assert len(replay) == 4
    assert set(replay.draw(200).attribute.tolist()) == {0, 1, 2, 3}
    replay.add(recalled(range(4, 8)))
    assert len(replay) == 6
    seen = replay.draw(300)
    assert set(seen.attribute.tolist()) == {2, 3, 4, 5, 6, 7}
    edit = ((seen.edits[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert torch.equal(edit, seen.attribute)
    assert torch.equal(edit % 2, seen.value)
    photo = ((seen.photos[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert torch.equal(photo - 1, seen.labels[:, 0])
    assert not torch.equal(photo, edit)


def test_in_a_head_start_the_discriminators_alone_learn(
    data: AttributeDataset, tmp_path: Path
) -> None:
    def weights(steps: int) -> dict[str, torch.Tensor]:
        out = tmp_path / str(steps)
        quick(data, out, steps, config=on_pixels(head_start=2))
        state = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        return {n: v for n, v in state.items() if n.endswith("weight")}

    one, two, three = weights(1), weights(2), weights(3)

    def moved(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], part: str) -> bool:
        return any(not torch.equal(a[n], b[n]) for n in a if n.startswith(part))

    assert not moved(one, two, "model.")
    assert moved(one, two, "pixel.")
    assert moved(one, two, "discriminator.")
    assert moved(two, three, "model.")


def test_a_discriminator_on_pixels_moves_g_and_g_does_not_move_it(data: AttributeDataset) -> None:
    module, _, drawn = draws(data, on_pixels())
    assert module.pixel is not None
    module._pixel_term(module.pixel, drawn.fakes, drawn).backward()
    assert all(p.grad is None for p in module.pixel.parameters())
    assert float(module.model.decoder.out.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]
    assert module.pixel.training


def test_g_answers_to_the_branch_of_what_was_asked_since_no_edit_looks_realest(
    data: AttributeDataset,
) -> None:
    module, _, drawn = draws(data, on_pixels())
    assert module.pixel is not None
    with torch.no_grad():
        before = module._pixel_term(module.pixel, drawn.fakes, drawn)
        module.pixel.to_realness.bias[0] += 5
        assert module._pixel_term(module.pixel, drawn.fakes, drawn) == before
        module.pixel.to_realness.bias[1:] += 5
        assert module._pixel_term(module.pixel, drawn.fakes, drawn) < before


# -- who is on a photo -----------------------------------------------------------------------------


def photos(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int8], who: npt.NDArray[np.int64]
) -> AttributeDataset:
    n, k = labels.shape
    return AttributeDataset(
        name="people",
        attributes=tuple(f"A{i}" for i in range(k)),
        images=ImageRows(images, np.arange(n)),
        labels=labels,
        splits=np.full(n, "train"),
        files=tuple(map(str, range(n))),
        identities=who,
    )


def test_people_are_found_again_among_those_never_seen() -> None:
    """A person's photos have their colour in common, and differ in brightness."""
    draw = np.random.default_rng(0)
    colour = draw.integers(40, 216, (60, 1, 1, 3)).repeat(3, axis=0)
    light = draw.integers(-30, 30, (180, 1, 1, 1))
    noise = draw.integers(-10, 10, (180, 32, 32, 3))
    images = (colour + light + noise).clip(0, 255).astype(np.uint8)
    labels = (light.reshape(-1, 1) > 0).astype(np.int8)
    people = photos(images, labels, np.arange(60).repeat(3))
    seen, unseen = people.take(np.arange(90)), people.take(np.arange(90, 180))

    def found_again(network: IdentityNetwork) -> float:
        network.eval()
        with torch.no_grad():
            e = network(unseen.batch(range(90)).images.float() / 127.5 - 1).embedding
        nearest = (e @ e.T - 2 * torch.eye(90)).argmax(dim=1)
        network.train()
        return float((nearest // 3 == torch.arange(90) // 3).float().mean())

    torch.manual_seed(0)
    network = IdentityNetwork(1, width=8)
    told: list[int] = []
    learn_identity(network, seen, 60, report=lambda step, _: told.append(step))
    assert found_again(network) > 0.5  # by chance .02
    assert told == [60]


def test_what_changes_within_people_is_told_from_what_is_theirs() -> None:
    labels = np.array([[0, 0, 1], [1, 0, -1], [1, 1, -1], [0, 1, 0], [0, 1, 1]], np.int8)
    data = photos(np.zeros((5, 8, 8, 3), np.uint8), labels, np.array([1, 1, 2, 2, 3]))
    comes, stays, unknown = share_within_people(data).tolist()
    assert comes == 1.0  # (¼ · 4) / 2 within people, more than .24 in all
    assert stays == 0.0
    assert unknown == 0.0  # nobody has two known labels


def test_pairs_that_differ_are_of_one_person_without_and_with_the_attribute() -> None:
    people = np.array([7, 3, 7, 3, 7, 5, 5, 9])
    labels = np.array([[0], [1], [1], [1], [-1], [0], [1], [1]], np.int8)
    data = photos(np.zeros((8, 8, 8, 3), np.uint8), labels, people)
    pairs = pairs_that_differ(data, 0, 10, seed=0)
    assert sorted(map(tuple, pairs.tolist())) == [(0, 2), (5, 6)]
    assert pairs_that_differ(data, 0, 1, seed=0).shape == (1, 2)
    assert pairs_that_differ(data.take(np.array([1, 3, 2, 4])), 0, 10, seed=0).shape == (0, 2)


def test_the_network_that_tells_people_apart_moves_g_and_is_not_moved(
    data: AttributeDataset,
) -> None:
    module, x, drawn = draws(data, of_people())
    assert module.identity is not None
    module._identity_term(module.identity, x, drawn.fakes, drawn).backward()
    assert all(p.grad is None for p in module.identity.parameters())
    assert float(module.model.decoder.out.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]
    assert not module.train().identity.training  # type: ignore[union-attr]


def test_undoing_an_edit_has_the_photo_as_its_truth(data: AttributeDataset) -> None:
    module, x, drawn = draws(data, tiny(weights=replace(objective.Weights(), cycle=1.0)))
    missed = module._cycle_term(drawn)
    missed.backward()
    assert missed > 0
    assert float(module.model.decoder.out.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]
    assert all(p.grad is None for p in module.model.encoder.parameters())
    untouched = drawn._replace(fakes=x, asked=drawn.present)
    assert module._cycle_term(untouched) == 0  # nothing is undone, so the photo stays


def test_an_edit_counts_by_how_much_people_change_in_what_was_asked(
    data: AttributeDataset,
) -> None:
    module, x, drawn = draws(data, of_people())
    assert module.identity is not None
    with torch.no_grad():
        whole = module._identity_term(module.identity, x, drawn.fakes, drawn)
        module.within_people.zero_()
        assert module._identity_term(module.identity, x, drawn.fakes, drawn) == 0 < whole


def test_people_are_learned_once_for_runs_that_start_from_each_other(
    known: AttributeDataset, tmp_path: Path
) -> None:
    def learned(run: str) -> dict[str, torch.Tensor]:
        path = tmp_path / run / "checkpoints" / "last.ckpt"
        state = torch.load(path, weights_only=True)["state_dict"]
        return {n: v for n, v in state.items() if n.startswith("identity.")}

    quick(known, tmp_path / "one", 1, config=of_people())
    quick(known, tmp_path / "two", 2, config=of_people(seed=1), start_from=tmp_path / "one")
    one, two = learned("one"), learned("two")
    assert one
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_the_network_of_a_run_can_be_asked_by_others(
    known: AttributeDataset, tmp_path: Path
) -> None:
    quick(known, tmp_path / "people", 1, config=of_people())
    network = learned_identity(tmp_path / "people")
    state = torch.load(tmp_path / "people/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[f"identity.{name}"])
    assert not network.training

    quick(known, tmp_path / "without", 1)
    with pytest.raises(InputError, match="tells no people apart"):
        learned_identity(tmp_path / "without")
    with pytest.raises(InputError, match="is no run"):
        learned_identity(tmp_path / "nowhere")


def test_whoever_nobody_knows_cannot_be_told_apart(data: AttributeDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known who is on each photo, which avatars does"):
        quick(data, tmp_path / "run", 1, config=of_people())
    alone = replace(data, identities=np.arange(len(data)))
    with pytest.raises(InputError, match="people or more must have several photos: avatars has 0"):
        quick(alone, tmp_path / "run", 1, config=of_people())
    assert not (tmp_path / "run").exists()


# -- a run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_run_leaves_a_model_and_all_that_tells_how_it_came_about(
    data: AttributeDataset, tmp_path: Path, preset: str
) -> None:
    out = tmp_path / "run"
    config = tiny(preset)
    model = quick(data, out, 3, config=config, validate_every=2)
    assert model.attributes == tuple(NAMES)
    assert cdvae_gan.load(out).config == model.config
    assert TrainConfig.from_json((out / "config.json").read_text()) == config
    assert json.loads((out / "data.json").read_text())["fingerprint"] == data.fingerprint
    assert json.loads((out / "environment.json").read_text())["bf16"] is False
    looks = [json.loads(line) for line in (out / "validation.jsonl").read_text().splitlines()]
    assert [look["step"] for look in looks] == [2, 3]
    assert sorted(p.name for p in (out / "pictures").iterdir()) == [
        "step_0000002.png",
        "step_0000003.png",
    ]
    for name in ("checkpoints/last.ckpt", "logs/metrics.csv", "best/model.safetensors"):
        assert (out / name).is_file(), name
    assert list((out / "logs").glob("events.out.tfevents*"))
    with torch.no_grad():
        train_data = data.split("train")
        images = train_data.batch(range(len(train_data))).images
        z = model.encoder(cdvae_gan.images.to_float(images)).z_mean
    assert z.mean(dim=0).abs().max() < 0.01, "z lies where its prior does"


def test_a_single_attribute_has_its_best_model_and_figures(
    data: AttributeDataset, tmp_path: Path
) -> None:
    model = quick(data.select(["Smile"]), tmp_path, 1, config=tiny("paper"))
    assert model.attributes == ("Smile",)
    assert (tmp_path / "best" / "model.safetensors").is_file()
    figures = json.loads((tmp_path / "validation.jsonl").read_text())
    assert all(math.isfinite(value) for value in figures.values())


def test_validation_looks_at_the_edits_that_users_get(
    data: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hat, smile = NAMES.index("Hat"), NAMES.index("Smile")
    rules = (("Hat", "Smile"),)
    model = CDVAEGAN(ModelConfig(tuple(NAMES), 32, z_dim=4, width=4, exclusive=rules))
    with torch.no_grad():  # everyone smiles, and nobody has a hat
        model.encoder.to_a.weight.zero_()
        model.encoder.to_a.bias.copy_(torch.tensor([-9.0 if k == hat else 9.0 for k in range(3)]))
    module = TrainingModule(model, tiny(discriminator="plain"), torch.full((3,), 0.5), bf16=False)
    asked: list[torch.Tensor] = []

    def noted(model: CDVAEGAN, x: torch.Tensor, found: Any, a: torch.Tensor, *rest: Any) -> Any:
        asked.append(a)
        return predict(model, x, found, a, *rest)

    monkeypatch.setattr(callbacks, "predict", noted)
    Validation(data, tmp_path, every=1).measure(module.eval())
    a = torch.cat(asked)
    hats = a[:, hat] == 1
    assert hats.sum() == len(data) // len(NAMES)
    assert not a[hats, smile].any(), "the rule takes the smile away"


def test_every_validation_image_counts_as_much_as_another(
    data: AttributeDataset, tmp_path: Path
) -> None:
    model = CDVAEGAN(ModelConfig(tuple(NAMES), 32, z_dim=4, width=4))
    module = TrainingModule(model, tiny(discriminator="plain"), torch.full((3,), 0.5), bf16=False)
    validation = Validation(data.take(np.arange(65) % len(data)), tmp_path, every=1)
    x = validation.images
    with torch.no_grad():
        figures = validation.measure(module.eval())
        gap = abduct(module.average, x).drawing.location - x
    assert figures["val/reconstruction_l1"] == pytest.approx(float(gap.abs().mean()) / 2, rel=1e-4)
    assert math.isfinite(figures["val/contrast"])


@pytest.mark.parametrize("config", [tiny(), tiny("paper"), on_pixels(pixel_replay=12), of_people()])
def test_a_broken_run_goes_on_exactly(
    known: AttributeDataset, tmp_path: Path, config: TrainConfig
) -> None:
    """Same weights, bit for bit, as a run that was never broken; optimisers and D included."""
    quick(known, tmp_path / "whole", 5, config=config)
    quick(known, tmp_path / "broken", 2, config=config)
    torch.manual_seed(999)
    quick(known, tmp_path / "broken", 5, resume=True)
    whole, broken = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "broken")
    )
    assert whole["global_step"] == broken["global_step"] == 5
    assert whole["state_dict"].keys() == broken["state_dict"].keys()
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, broken["state_dict"][name]), name
    for a, b in zip(whole["optimizer_states"], broken["optimizer_states"], strict=True):
        for i, state in a["state"].items():
            for name, value in state.items():
                assert torch.equal(value, b["state"][i][name])


class Killed(BaseException):
    """As SIGKILL, at a moment of one's choice."""


def die(*_: object, **__: object) -> None:
    raise Killed


def trained(run: Path) -> dict[str, bytes]:
    """The weights that a run left."""
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*.safetensors")}


@pytest.mark.parametrize(
    "moment", ["callbacks.Validation.on_train_end", "run.match_prior"], ids=["look", "prior"]
)
def test_a_run_that_was_killed_at_its_end_is_finished_by_resume(
    data: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    quick(data, tmp_path / "whole", 2, config=tiny("paper"))
    run, whole = tmp_path / "run", trained(tmp_path / "whole")
    monkeypatch.setattr(Checkpoints.__init__, "__defaults__", (0.0,))
    with monkeypatch.context() as broken:
        broken.setattr(f"cdvae_gan.training.{moment}", die)
        with pytest.raises(Killed):
            quick(data, run, 2, config=tiny("paper"))
    assert step_of(run) == 2
    quick(data, run, 2, resume=True)
    name = "model/model.safetensors"
    assert trained(run)[name] == whole[name]
    assert (run / "checkpoints" / "prior-matched-at").read_text() == "2"


def test_a_run_that_is_over_stays_as_it_is(data: AttributeDataset, tmp_path: Path) -> None:
    quick(data, tmp_path, 2, config=tiny("paper"))
    before = trained(tmp_path)
    assert before.keys() == {"model/model.safetensors", "best/model.safetensors"}
    quick(data, tmp_path, 2, resume=True)
    assert trained(tmp_path) == before
    assert [path.name for path in (tmp_path / "logs").glob("*.csv")] == ["metrics.csv"]
    matched = tmp_path / "checkpoints" / "prior-matched-at"
    matched.unlink()
    quick(data, tmp_path, 2, resume=True)
    assert matched.read_text() == "2"


def test_figures_of_an_earlier_sitting_are_kept(data: AttributeDataset, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    quick(data, tmp_path, 1, config=tiny("paper"))
    first = (logs / "metrics.csv").read_text()
    quick(data, tmp_path, 2, resume=True)
    second = (logs / "metrics.csv").read_text()
    quick(data, tmp_path, 3, resume=True)
    assert (logs / "metrics-1.csv").read_text() == first
    assert (logs / "metrics-2.csv").read_text() == second
    assert len({first, second, (logs / "metrics.csv").read_text()}) == 3


def test_an_erased_encoder_stays_and_z_is_uncorrelated_with_attributes(
    data: AttributeDataset, tmp_path: Path
) -> None:
    first = quick(data, tmp_path / "first", 3)
    config = tiny(erase=True)
    model = quick(data, tmp_path / "erased", 3, config=config, start_from=tmp_path / "first")
    again = quick(data, tmp_path / "erased", 5, resume=True)
    images, labels = data.split("train").batch(np.arange(len(data.split("train"))))
    a = labels.double() - labels.double().mean(0)

    def leak(model: CDVAEGAN) -> float:
        z = model.encoder(cdvae_gan.images.to_float(images)).z_mean.double()
        return float(((z - z.mean(0)).T @ a / len(a)).abs().max())

    with torch.no_grad():
        assert leak(model) < 1e-2 * leak(first)
    for name, value in again.encoder.state_dict().items():
        assert torch.equal(value, model.encoder.state_dict()[name]), name
    assert not torch.equal(again.decoder.out.weight, first.decoder.out.weight)


def test_what_cannot_be_erased_is_refused_before_anything_is_written(
    data: AttributeDataset, tmp_path: Path
) -> None:
    out, model = tmp_path / "run", tmp_path / "model"
    names = tuple(NAMES)

    def refused(match: str, config: ModelConfig | None, **changes: object) -> None:
        if config is not None:
            CDVAEGAN(config).save(model)
        start = None if config is None else model
        with pytest.raises(InputError, match=match):
            quick(data, out, 1, config=tiny(erase=True, **changes), start_from=start)
        assert not out.exists()

    same = ModelConfig(names, image_size=32, z_dim=4, width=4)
    refused("nothing to erase", None)
    refused("has the attributes", replace(same, attributes=names[::-1]))
    refused("another z_dim: 5", replace(same, z_dim=5))
    refused("another u_channels: 0", replace(same, u_channels=0))


def test_a_run_can_start_from_what_another_learned(data: AttributeDataset, tmp_path: Path) -> None:
    still = {"learning_rate": 1e-12, "learning_rate_d": 1e-12}
    config = tiny("paper", seed=1)
    quick(data, tmp_path / "first", 1, config=config)
    learned = load_file(tmp_path / "first" / "model" / "model.safetensors")
    for source in ("first", "first/model"):
        out = tmp_path / f"from-{source.replace('/', '-')}"
        grown = replace(config, seed=2, gate_channels=2, **still)
        quick(data, out, 1, config=grown, start_from=tmp_path / source)
        model = load_file(out / "model" / "model.safetensors")
        close = {"rtol": 0.0, "atol": 1e-3}  # a step of 3e-4 lies between the run and its average
        now, then = (w["encoder.to_z.weight"] for w in (model, learned))
        assert torch.allclose(now, then, **close)
        out_now, out_then = model["decoder.out.weight"], learned["decoder.out.weight"]
        assert out_now.shape[0] == out_then.shape[0] + 2
        assert torch.allclose(out_now[: len(out_then)], out_then, **close), (
            "gate channels come behind"
        )


def test_weights_of_another_form_are_left_aside() -> None:
    module = torch.nn.Linear(3, 2)
    before = module.weight.clone()
    given = {"weight": torch.ones(2, 4), "bias": torch.full((2,), 5.0), "other": torch.ones(1)}
    assert take_over(module, Learned(given, ("A",)), ("A",)) == 1
    assert torch.equal(module.weight, before)
    assert module.bias.tolist() == [5, 5]


def _module(names: tuple[str, ...], seed: int, **changes: object) -> TrainingModule:
    torch.manual_seed(seed)
    config = tiny(discriminator="plain", **changes)
    model = CDVAEGAN(ModelConfig(names, 32, config.z_dim, 0, 0, 0, config.width))
    return TrainingModule(model, config, torch.full((len(names),), 0.5), bf16=False)


def test_a_scale_that_is_fixed_is_as_the_new_run_says() -> None:
    names = ("Hat", "Smile")
    given, module = _module(names, 1), _module(names, 2)
    with torch.no_grad():
        given.model.log_scale.fill_(-1.0)
        module.model.log_scale.fill_(-2.0)
    module.model.log_scale.requires_grad_(False)
    take_over(module, Learned(given.state_dict(), names), names)
    assert module.model.log_scale.item() == -2.0
    module.model.log_scale.requires_grad_(True)
    take_over(module, Learned(given.state_dict(), names), names)
    assert module.model.log_scale.item() == -1.0, "a learned one goes on from what was learned"


def test_what_belongs_to_an_attribute_is_taken_over_by_its_name() -> None:
    old, new = ("Hat", "Smile"), ("Smile", "Beard", "Hat")
    given, module = _module(old, 1), _module(new, 2)
    fresh = {name: value.clone() for name, value in module.state_dict().items()}
    take_over(module, Learned(given.state_dict(), old), new)
    rows, before = module.model.encoder.to_a.weight, given.model.encoder.to_a.weight
    assert torch.equal(rows[0], before[1])
    assert torch.equal(rows[2], before[0])
    assert torch.equal(rows[1], fresh["model.encoder.to_a.weight"][1])
    told, told_before = module.model.decoder.start.weight, given.model.decoder.start.weight
    z = module.model.config.z_dim
    assert torch.equal(told[:, :z], told_before[:, :z])
    assert torch.equal(told[:, [z, z + 2]], told_before[:, [z + 1, z]])
    branches = "discriminator.to_realness.weight"
    now, then = module.state_dict()[branches], given.state_dict()[branches]
    assert torch.equal(now[[0, 1, 2, 5, 6]], then[[0, 3, 4, 1, 2]])
    assert torch.equal(now[3:5], fresh[branches][3:5])


def test_more_dimensions_of_z_are_not_made_of_its_variances() -> None:
    names = ("Hat", "Smile")
    given, module = _module(names, 1), _module(names, 2, z_dim=12)
    before = module.model.encoder.to_z.weight.clone()
    take_over(module, Learned(given.state_dict(), names), names)
    assert torch.equal(module.model.encoder.to_z.weight, before)


def test_a_folder_with_a_model_of_another_is_no_place_for_a_run(
    data: AttributeDataset, tmp_path: Path
) -> None:
    config = ModelConfig(tuple(NAMES), 32, z_dim=4, width=4)
    CDVAEGAN(config).save(tmp_path / "run" / "model")
    before = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="holds a run already"):
        quick(data, tmp_path / "run", 1)
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == before


def test_a_start_that_is_none_is_refused(data: AttributeDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model"):
        quick(data, tmp_path / "run", 1, start_from="nothing")
    (tmp_path / "bad" / "checkpoints").mkdir(parents=True)
    (tmp_path / "bad" / "checkpoints" / "last.ckpt").write_text("no checkpoint")
    with pytest.raises(InputError, match="damaged"):
        quick(data, tmp_path / "run", 1, start_from=tmp_path / "bad")
    with pytest.raises(InputError, match="leave out start_from"):
        quick(data, tmp_path / "run", 1, start_from="nothing", resume=True)
    with pytest.raises(InputError, match="width must be even"):
        quick(data, tmp_path / "run", 1, config=tiny(width=5))
    assert not (tmp_path / "run").exists(), "refused before anything is written"


def test_seeds_differ_and_repeat(data: AttributeDataset, tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> torch.Tensor:
        quick(data, tmp_path / name, 1, config=tiny("paper", seed=seed))
        stored = load_file(tmp_path / name / "model" / "model.safetensors")
        return stored["encoder.to_z.weight"]

    first = weights("a", 1)
    assert torch.equal(first, weights("b", 1))
    assert not torch.equal(first, weights("c", 2))


def test_unknown_labels_train_the_same_model(data: AttributeDataset, tmp_path: Path) -> None:
    labels = np.array(data.labels)
    labels[::2] = -1
    model = quick(replace(data, labels=labels), tmp_path / "run", 2)
    assert all(p.isfinite().all() for p in model.parameters())


def test_epochs_and_steps_and_time_limit_a_run(data: AttributeDataset, tmp_path: Path) -> None:
    assert Limits(epochs=2).last_step(images=48, images_per_step=8) == 12
    assert Limits(epochs=2, steps=5).last_step(images=48, images_per_step=8) == 5
    assert Limits(seconds=1).last_step(images=48, images_per_step=8) is None
    config = tiny("paper")
    train(data, tmp_path / "run", Limits(seconds=0.01), config, precision="32")
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert 1 <= state["global_step"] <= 3


def test_a_run_that_cannot_be_meant_is_refused(data: AttributeDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="when to stop"):
        train(data, tmp_path / "a", Limits())
    with pytest.raises(InputError, match="holds no run"):
        quick(data, tmp_path / "a", 1, resume=True)
    quick(data, tmp_path / "a", 1, config=tiny("paper"))
    with pytest.raises(InputError, match="holds a run already"):
        quick(data, tmp_path / "a", 1)
    with pytest.raises(InputError, match="begun on other data"):
        quick(data.select(NAMES[:2]), tmp_path / "a", 2, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the run"):
        quick(data, tmp_path / "file" / "run", 1)


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "data.json"])
def test_a_truncated_run_is_refused_in_one_line(
    data: AttributeDataset, tmp_path: Path, name: str
) -> None:
    quick(data, tmp_path, 1, config=tiny("paper"))
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size // 2)
    with pytest.raises(InputError, match="is damaged") as error:
        quick(data, tmp_path, 2, resume=True)
    assert Path(name).name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_thread_can_train(data: AttributeDataset, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        model = pool.submit(quick, data, tmp_path, 1, config=tiny("paper")).result()
    assert model.attributes == tuple(NAMES)


def test_a_run_that_was_killed_before_its_first_checkpoint_can_begin_anew(
    data: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(lightning.Trainer, "fit", die)
        with pytest.raises(Killed):
            quick(data, tmp_path / "run", 1)
    assert {"config.json", "data.json"} <= {p.name for p in (tmp_path / "run").iterdir()}
    model = quick(data, tmp_path / "run", 1, config=tiny("paper", seed=1))
    begun = TrainConfig.from_json((tmp_path / "run" / "config.json").read_text())
    assert begun == tiny("paper", seed=1)
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="holds a run already"):
        quick(data, tmp_path / "model", 1)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(
    data: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(data, tmp_path / "run", 2, config=tiny("paper"))
    before = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()
    monkeypatch.setattr(objective, "reconstruction", lambda x, y, s: (x - y).sum() * float("nan"))
    with pytest.raises(InputError, match="loss became nan at step 3"):
        quick(data, tmp_path / "run", 5, resume=True)
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == before


def test_drawings_that_all_become_alike_stop_the_run(
    data: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contrasts = iter([0.5, 0.6, 0.01])
    figures = {"val/flips_read": 0.5, "val/others_kept": 0.5, "val/score": 0.5}
    monkeypatch.setattr(
        Validation, "measure", lambda *_: {**figures, "val/contrast": next(contrasts)}
    )
    with pytest.raises(InputError, match=r"collapsed at step 3: .* fell from 0.60 to 0.01"):
        quick(data, tmp_path / "run", 5, config=tiny("paper"), validate_every=1)


# -- killed, and on several processes --------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from dataclasses import replace
import torch
from cdvae_gan.data import open_dataset
from cdvae_gan.training import Limits, TrainConfig, callbacks, train

if __name__ == "__main__":
    out, cache, steps, devices = sys.argv[1:5]
    callbacks.Checkpoints.__init__.__defaults__ = (0.0,)

    def keep_weights(self, trainer, module):
        torch.save(dict(module.named_parameters()), Path(out) / f"rank{trainer.global_rank}.pt")

    callbacks.FiniteLoss.on_train_end = keep_weights
    data = open_dataset(
        "avatars:n=60,seed=5,validation=0.2", size=32, attributes=["Glasses", "Smile", "Hat"],
        cache_dir=cache,
    )
    config = replace(TrainConfig.from_preset("default", batch_size=8), width=4, z_dim=4)
    train(
        data, out, Limits(steps=int(steps)), config, precision="32", accelerator="cpu",
        devices=int(devices), validate_every=1000, resume="--resume" in sys.argv,
    )
"""


def start(tmp_path: Path, steps: int, devices: int = 1, *more: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    arguments = [str(tmp_path / "run"), str(tmp_path / "cache"), str(steps), str(devices), *more]
    return subprocess.Popen(
        [sys.executable, str(script), *arguments], stderr=subprocess.PIPE, text=True
    )


def step_of(run: Path) -> int:
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return int(state["global_step"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_moment_a_run_can_go_on(
    data: AttributeDataset, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(tmp_path, 100_000)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.is_file() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    os.kill(process.pid, number)
    process.wait(120)
    reached = step_of(tmp_path / "run")
    assert reached >= 1
    if number == signal.SIGTERM:
        assert process.returncode == 0
    again = start(tmp_path, reached + 2, 1, "--resume")
    assert again.wait(120) == 0, again.communicate()[1]
    assert step_of(tmp_path / "run") == reached + 2


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    process = start(tmp_path, 3, 2)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert step_of(tmp_path / "run") == 3
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["processes"] == 2
    first, second = (
        torch.load(tmp_path / "run" / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)
    )
    for name, value in first.items():
        assert value.isfinite().all(), name
        # They saw different photos: only averaged gradients make their weights equal.
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize(
    ("gpus", "strategy"), [(2, "ddp_find_unused_parameters_true"), (1, "auto"), (0, "auto")]
)
def test_all_gpus_train_together_where_there_are_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, strategy: str
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(lightning, "Trainer", lambda **options: asked.append(options))
    _trainer(tmp_path, "auto", "auto", ())
    _trainer(tmp_path, "cpu", "auto", ())
    assert [options["strategy"] for options in asked] == [strategy, "auto"]


# -- precision -------------------------------------------------------------------------------------


def test_precision_is_as_asked_or_probed_with_a_reason() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("bf16", cpu).bf16 is True
    assert choose_precision("32", cpu).bf16 is False
    threads = torch.get_num_threads()
    assert "times as fast" in choose_precision("auto", cpu).reason
    assert torch.get_num_threads() == threads
