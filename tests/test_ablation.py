"""The ablation study: objectives, variants as editors, the queue, and the table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

import ablation
from cdvae_gan import CDVAEGAN, InputError, ModelConfig, load
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.evaluation.judges import Card, Judge
from cdvae_gan.evaluation.truth import true_flips
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.networks.discriminator import Verdict
from cdvae_gan.training import TrainConfig
from cdvae_gan.training.callbacks import Collapse
from study import models, translators
from study.data import AVATARS, Study, Unseen
from study.measure import balanced, drag, ratios
from study.models import Directions, Erased, Model, hide_labels
from study.results import Run, Store, over_seeds, table
from study.runs import run_all, time_left
from study.task import Mark, Task, Trained
from study.translators import ATTGAN, STARGAN, AttGANGenerator, Recipe, StarGANGenerator, Translator
from study.variants import VARIANTS, Variant, choose, photo_base

NAMES = ["Glasses", "Hat", "Smile"]
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> AttributeDataset:
    cache = tmp_path_factory.mktemp("cache")
    return open_dataset(
        "avatars:n=64,seed=5,validation=0.25", size=32, attributes=NAMES, cache_dir=cache
    )


def task_of(data: AttributeDataset, folder: Path, steps: int = 2) -> Task:
    base = replace(AVATARS.base, width=4, z_dim=4, fine_channels=2, batch_size=8)
    return Task(data, folder, steps, base, "32", QUIET)


# -- the translators' objectives, against numbers worked out by hand -------------------------------


def verdict(realness: list[float], logits: list[list[float]]) -> Verdict:
    return Verdict([torch.tensor(realness)[:, None, None, None]], torch.tensor(logits))


@pytest.mark.parametrize(("recipe", "cross_entropy"), [(ATTGAN, 1.0), (STARGAN, 2.0)])
def test_the_critic_is_wasserstein_with_a_penalty_and_a_classifier(
    recipe: Recipe, cross_entropy: float
) -> None:
    real = verdict([2.0, 4.0], [[0.0, 0.0], [0.0, 0.0]])
    fake = verdict([1.0, -1.0], [[9.0, 9.0], [9.0, 9.0]])
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss = translators.critic_loss(recipe, real, fake, labels, torch.tensor(0.25))
    # Realness 0 − 3, penalty 10 · ¼; the classifier is undecided on what is real, 2 attributes.
    assert float(loss) == pytest.approx(-3 + 2.5 + cross_entropy * math.log(2))


@pytest.mark.parametrize(
    ("recipe", "of_attributes", "of_pixels"), [(ATTGAN, 10 / 2, 100), (STARGAN, 1, 10)]
)
def test_the_generator_must_look_real_be_read_as_asked_and_lead_back(
    recipe: Recipe, of_attributes: float, of_pixels: float
) -> None:
    fake = verdict([0.5], [[math.log(3), math.log(3)]])
    asked = torch.tensor([[1.0, 0.0]])
    x = torch.zeros(1, 3, 2, 2)
    loss = translators.generator_loss(recipe, fake, asked, x, x + 0.125)
    cross_entropy = -math.log(0.75) - math.log(0.25)  # a probability of ¾ for each of the two
    assert float(loss) == pytest.approx(-0.5 + of_attributes * cross_entropy + of_pixels / 8)


def test_the_penalty_is_of_the_slope_between_real_and_drawn() -> None:
    real, fake = torch.ones(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    share = torch.tensor([0.25, 1.0])[:, None, None, None]
    linear = translators.gradient_penalty(lambda x: 2 * x.flatten(1).sum(1), real, fake, share)
    assert linear.item() == pytest.approx((2 * math.sqrt(12) - 1) ** 2)
    # ∇ ½|x|² = x, and x is share · 1: slopes ¼√12 and √12.
    square = translators.gradient_penalty(
        lambda x: x.square().flatten(1).sum(1) / 2, real, fake, share
    )
    slopes = [0.25 * math.sqrt(12), math.sqrt(12)]
    assert square.item() == pytest.approx(sum((s - 1) ** 2 for s in slopes) / 2)


def test_the_penalty_trains_the_critic() -> None:
    slope = torch.tensor(3.0, requires_grad=True)
    x = torch.zeros(1, 1, 1, 1)
    translators.gradient_penalty(lambda i: slope * i, x, x, x).backward()
    assert slope.grad is not None
    assert float(slope.grad) == pytest.approx(4)  # d (s − 1)² / ds at 3


def test_the_generator_goes_back_by_itself_or_by_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """StarGAN redraws what it drew; AttGAN draws x again."""
    x, a = torch.rand(4, 3, 32, 32), torch.eye(4)[:, :2]
    seen: list[Tensor] = []
    monkeypatch.setattr(translators, "_of_others", lambda a: 1 - a)
    monkeypatch.setattr(translators, "_descend", lambda *_: None)
    monkeypatch.setattr(
        translators,
        "generator_loss",
        lambda recipe, fake, asked, x, again: seen.append(again) or x.sum(),
    )
    for recipe, kind in ((ATTGAN, AttGANGenerator), (STARGAN, StarGANGenerator)):
        torch.manual_seed(0)
        generator = kind(32, 2, 4).eval()
        state: Any = SimpleNamespace(
            recipe=recipe, generator=generator, critic=lambda x: None, of_generator=None, step=0
        )
        translators._generator_step(state, x, a)
        back = generator(generator(x, 1 - a), a) if recipe.cycle else generator(x, a)
        torch.testing.assert_close(seen.pop(), back)


@pytest.mark.parametrize("kind", [AttGANGenerator, StarGANGenerator])
@pytest.mark.parametrize("size", [32, 64])
def test_generators_redraw_with_attributes_and_have_the_size_of_the_others(
    kind: Any, size: int
) -> None:
    base = AVATARS.base if size == 32 else photo_base()
    generator = kind(size, 8, base.width)
    x, a = torch.rand(2, 3, size, size) * 2 - 1, torch.zeros(2, 8)
    drawn = generator(x, a)
    assert drawn.shape == x.shape
    assert drawn.abs().max() <= 1
    assert not torch.equal(drawn, generator(x, 1 - a))
    assert 0.67 < parameters(generator) / parameters(model_like(size, base)) < 1.5


def model_like(size: int, base: TrainConfig) -> CDVAEGAN:
    return CDVAEGAN(
        ModelConfig(
            tuple(f"a{k}" for k in range(8)),
            size,
            z_dim=base.z_dim,
            u_channels=base.u_channels,
            mask_channels=base.mask_channels,
            gate_channels=base.gate_channels,
            width=base.width,
            fine_channels=base.fine_channels,
        )
    )


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# -- every variant, trained a little, is an editor -------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_a_variant_trains_and_edits(
    variant: Variant, data: AttributeDataset, tmp_path: Path
) -> None:
    trained = variant.method.train(task_of(data, tmp_path, steps=1))
    shown = data.split("validation")
    x = to_float(shown.batch(np.arange(8)).images).contiguous()
    with torch.no_grad():
        read = trained.read(x)
        drawn = trained.reconstruct(x)
    assert read.shape == (8, 3)
    assert ((read >= 0) & (read <= 1)).all()
    assert drawn.shape == x.shape
    for detail in (0.0, 1.0):
        editor = trained.editor(detail)
        nothing = editor(x, None, None)
        assert nothing.shape == x.shape
        assert nothing.isfinite().all()
        assert nothing.abs().max() <= 1
        # To ask for what is surely there is to ask for nothing.
        there = (read > 0.5).long()
        sure = (read[:, 1] - 0.5).abs() > ModelConfig.certainty - 0.5
        torch.testing.assert_close(editor(x, "Hat", there[:, 1])[sure], nothing[sure])
        assert not torch.equal(editor(x, "Hat", 1 - there[:, 1]), nothing)
        assert torch.equal(nothing, x) == (detail == 1)
    if trained.encode is not None:
        with torch.no_grad():
            assert trained.encode(x).shape == (8, 4)
    assert json.loads(json.dumps(trained.config))["seed"] == 0
    again = variant.method.train(task_of(data, tmp_path, steps=1))
    assert torch.equal(again.editor(0.0)(x, None, None), trained.editor(0.0)(x, None, None))


def test_variants_differ_and_are_the_base_but_for_their_point() -> None:
    base = AVATARS.base
    assert len({v.name for v in VARIANTS}) == len(VARIANTS)
    configs = {
        v.name: (v.method.change(base).to_json(), v.method.labelled)
        for v in VARIANTS
        if isinstance(v.method, Model)
    }
    assert len(set(configs.values())) == len(configs)
    assert configs["demo"][0] == base.to_json()
    for text, _ in configs.values():
        made, own = json.loads(text), json.loads(base.to_json())
        for key in (
            "width",
            "z_dim",
            "fine_channels",
            "batch_size",
            "learning_rate",
            "ema",
            "seed",
        ):
            assert made[key] == own[key]


def test_critics_of_no_counterfactual_see_neither_edits_nor_a_price_on_them() -> None:
    method = next(v.method for v in VARIANTS if v.name == "no-counterfactual")
    assert isinstance(method, Model)
    config = method.change(AVATARS.base)
    assert config.mixture.counts(32) == (0, 0, 16, 16)
    assert config.weights.edit == config.weights.mask == config.weights.gate == 0


def test_variants_are_chosen_by_name_and_must_take_something_away() -> None:
    assert [v.name for v in choose("paper, demo", AVATARS.base)] == ["paper", "demo"]
    assert choose("all", AVATARS.base) == list(VARIANTS)
    with pytest.raises(InputError, match="did you mean 'attgan'"):
        choose("atgan", AVATARS.base)
    gateless = replace(photo_base(), gate_channels=0)
    with pytest.raises(InputError, match="no-gate takes away a part"):
        choose("no-gate", gateless)
    assert "no-gate" not in [v.name for v in choose("all", gateless)]


# -- what a variant sees ---------------------------------------------------------------------------


def test_hidden_labels_are_of_whole_training_images_and_differ_by_seed(
    data: AttributeDataset,
) -> None:
    hidden = hide_labels(data, 0.25, seed=0)
    train = data.splits == "train"
    known = (hidden.labels >= 0).all(1)
    assert known[train].sum() == 12
    assert (hidden.labels[train & ~known] == -1).all()
    assert np.array_equal(hidden.labels[known], data.labels[known])
    assert known[~train].all()
    assert not np.array_equal(hide_labels(data, 0.25, seed=1).labels, hidden.labels)
    assert hide_labels(data, 1.0, seed=0) is data


def test_a_direction_moves_z_to_the_mean_score_of_the_value_asked_for() -> None:
    """z is the three pixels; w = (3, 0, 4), so |w|² = 25, and scores are −1 and 2 on average."""
    model: Any = SimpleNamespace(
        posterior=lambda x: SimpleNamespace(
            z=SimpleNamespace(base_dist=SimpleNamespace(loc=x.flatten(1)))
        ),
        decode=lambda z, a: z.view(-1, 3, 1, 1),
    )
    found = Directions(
        model, torch.tensor([[3.0, 0.0, 4.0]]), torch.tensor([0.5]), torch.tensor([[-1.0, 2.0]])
    )
    x = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert float(found.read(x)) == pytest.approx(1 / (1 + math.exp(-0.5)))
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    moved = found.redraw(x, one, zero).flatten()
    assert moved.tolist() == pytest.approx([-1.5 * 3 / 25, 1.0, -1.5 * 4 / 25])
    assert torch.equal(found.redraw(x, one, one), x)
    half = found.redraw(x, one, one / 2).flatten()
    assert half.tolist() == pytest.approx([-0.75 * 3 / 25, 1.0, -0.75 * 4 / 25])


# -- sittings --------------------------------------------------------------------------------------


def weights_of(trained: Trained, x: Tensor) -> Tensor:
    return trained.editor(0.0)(x, "Hat", torch.tensor([0, 1]))


def test_a_killed_translator_goes_on_as_if_nothing_had_happened(
    data: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = to_float(data.batch([0, 1]).images).contiguous()
    method = Translator(STARGAN)
    unbroken = weights_of(method.train(task_of(data, tmp_path / "a", 3)), x)
    monkeypatch.setattr(translators, "_SAVE_EVERY", 0.0)
    step = translators._generator_step

    def killed(state: Any, *rest: Any) -> None:
        if state.step == 2:
            raise KeyboardInterrupt
        step(state, *rest)

    monkeypatch.setattr(translators, "_generator_step", killed)
    with pytest.raises(KeyboardInterrupt):
        method.train(task_of(data, tmp_path / "b", 3))
    assert Mark.read(tmp_path / "b") is None
    monkeypatch.setattr(translators, "_generator_step", step)
    assert torch.equal(weights_of(method.train(task_of(data, tmp_path / "b", 3)), x), unbroken)
    with pytest.raises(InputError, match="begun with other settings"):
        Translator(STARGAN, faster=5.0).train(task_of(data, tmp_path / "b", 3))


def test_a_killed_model_goes_on_from_its_checkpoint(
    data: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, resumed = models.train, []

    def train(*args: Any, resume: bool, **options: Any) -> Any:
        resumed.append(resume)
        return real(*args, resume=resume, **options)

    def stopped(data: Any, out: Any, limits: Any, *args: Any, **options: Any) -> Any:
        return train(data, out, replace(limits, steps=1), *args, **options)

    method = Model(lambda base: base)
    monkeypatch.setattr(models, "train", stopped)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 1"):
        method.train(task_of(data, tmp_path))
    monkeypatch.setattr(models, "train", train)
    method.train(task_of(data, tmp_path))
    mark = Mark.read(tmp_path)
    assert mark is not None
    assert mark.steps == 2
    assert resumed == [False, True]
    method.train(task_of(data, tmp_path))
    assert resumed == [False, True]
    with pytest.raises(InputError, match="begun with other settings"):
        Model(lambda base: replace(base, r1=1.0)).train(task_of(data, tmp_path))


def test_an_erased_variant_keeps_the_encoder_of_its_first_half(
    data: AttributeDataset, tmp_path: Path
) -> None:
    trained = Erased(lambda base: base).train(task_of(data, tmp_path, steps=4))
    first, second = load(tmp_path / "first" / "run"), load(tmp_path / "run")
    assert torch.equal(second.encoder.to_a.weight, first.encoder.to_a.weight)
    assert not torch.equal(second.encoder.to_z.weight, first.encoder.to_z.weight)
    assert trained.config["erase"]
    marks = [Mark.read(tmp_path / "first"), Mark.read(tmp_path)]
    assert [m.steps for m in marks if m is not None] == [2, 2]


# -- measuring -------------------------------------------------------------------------------------


class Painter:
    """An editor that knows the truth: flips what it is told, and perhaps a second attribute."""

    def __init__(self, unseen: Unseen, share: float = 1.0, also: str | None = None) -> None:
        self.unseen, self.share, self.also = unseen, share, also
        images = unseen.edited.images
        self.rows = {images[i].tobytes(): i for i in range(len(images))}

    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        if attribute is None or target is None:
            return x
        pixels = to_uint8(x).permute(0, 2, 3, 1).contiguous().numpy()
        drawn = np.stack([self.flip(self.rows[p.tobytes()], attribute) for p in pixels])
        return x + self.share * (to_float(torch.from_numpy(drawn)) - x)

    def flip(self, row: int, attribute: str) -> Any:
        data = self.unseen.edited
        if self.also is None:
            return self.unseen.flips[row, NAMES.index(attribute)]
        assert data.truth is not None
        do = {n: 1 - int(data.labels[row, NAMES.index(n)]) for n in (attribute, self.also)}
        return data.truth(row, do).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def unseen(data: AttributeDataset) -> Unseen:
    shown = data.split("validation")
    return Unseen(shown, shown)


def test_true_flips_are_those_of_the_drawing(unseen: Unseen) -> None:
    data = unseen.edited
    assert unseen.flips.shape == (16, 3, 3, 32, 32)
    assert data.truth is not None
    drawn = data.truth(3, {"Hat": 1 - int(data.labels[3, 1])})
    assert np.array_equal(unseen.flips[3, 1].transpose(1, 2, 0), drawn)
    assert np.array_equal(true_flips(data, np.array([3]))[0], unseen.flips[3])


@pytest.mark.parametrize(
    ("also", "share", "moved"), [(None, 1.0, 0.0), ("Hat", 1.0, 1.0), ("Hat", 0.5, 0.5)]
)
def test_drag_is_how_far_the_hat_comes_along(
    unseen: Unseen, also: str | None, share: float, moved: float
) -> None:
    pull, region = drag(Painter(unseen, share, also), unseen, "Glasses", "Hat")
    assert float(ratios(pull.sum(0))) == pytest.approx(moved, abs=0.02)
    assert float(ratios(region.sum(0))) == pytest.approx(moved, abs=0.02)
    labels = unseen.edited.labels
    assert np.array_equal(pull[:, 0, 1] > 0, labels[:, 0] == labels[:, 1])


def test_a_balanced_accuracy_weighs_both_values_alike() -> None:
    labels = np.array([[1], [0], [0], [0], [-1]])
    answers = np.array([[1.0], [0.0], [1.0], [np.nan], [1.0]])
    assert float(ratios(balanced(answers, labels).sum(0))) == pytest.approx((1 + 0.5) / 2)


def test_a_figure_over_seeds_is_the_mean_and_its_interval_knows_images_and_seeds() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(400, 1))
    one = np.stack([1 + 0.1 * noise, np.ones_like(noise)], axis=2)
    shifted = [one + np.array([shift, 0.0]) for shift in (-0.3, 0.0, 0.3)]
    over_images = over_seeds([one])
    assert over_images.value == pytest.approx(1 + 0.1 * noise.mean())
    assert over_images.high - over_images.low == pytest.approx(4 * 0.1 / 20, rel=0.15)
    both = over_seeds(shifted)
    assert both.value == pytest.approx(over_images.value)
    assert both.high - both.low > 0.4
    # Between methods on the same images and seeds, what both share is no uncertainty.
    difference = over_seeds(shifted, [s - np.array([0.05, 0.0]) for s in shifted])
    assert difference.low == pytest.approx(0.05)
    assert difference.high == pytest.approx(0.05)


# -- the queue and the table -----------------------------------------------------------------------


@dataclass
class Fake:
    """A method that takes no time; ``trouble`` is raised as often as it is there."""

    painter: Callable[[], Any]
    trouble: list[BaseException] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)

    def train(self, task: Task) -> Trained:
        self.trained.append(task.base.seed)
        if self.trouble:
            raise self.trouble.pop()
        return Trained(
            editor=lambda detail: self.painter(),
            detail=1.0,
            reconstruct=lambda x: x,
            read=lambda x: torch.ones(len(x), 3),
            encode=None,
            config={"seed": task.base.seed},
            parameters=10,
            steps_per_second=2.0,
        )


@pytest.fixture
def study(data: AttributeDataset, unseen: Unseen) -> Study:
    opened = {"drawn": data, "test": unseen}
    return replace(AVATARS, training={"plain": "drawn"}, steps=60, _opened=opened)


def variant(name: str, method: Any) -> Variant:
    return Variant(name, "", method)


def test_a_queue_skips_what_is_over_and_survives_kills_and_collapses(
    study: Study, unseen: Unseen, tmp_path: Path
) -> None:
    good = Fake(lambda: Painter(unseen))
    bad = Fake(lambda: Painter(unseen), [Collapse("the loss became nan"), InputError("no weights")])
    killed = Fake(lambda: Painter(unseen, 0.0), [KeyboardInterrupt()])
    queue = [variant("demo", good), variant("paper", bad), variant("vae", killed)]

    def go_on(**options: bool) -> bool:
        store = Store(tmp_path, study)
        return run_all(study, store, queue, ["plain"], [0, 1], QUIET, **options)

    with pytest.raises(KeyboardInterrupt):
        go_on()
    assert not (tmp_path / "plain/vae/seed-0/sums.npz").exists()
    assert go_on()  # paper was left out once and collapsed once, which is an answer
    assert good.trained == [0, 1]
    assert killed.trained == [0, 0, 1]
    assert bad.trained == [0, 0, 1]
    assert go_on()
    assert len(good.trained) == 2
    assert go_on(retry=True)
    assert bad.trained == [0, 0, 1, 0]
    lines = [json.loads(t) for t in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert not any("failed" in line for line in lines)
    first = next(line for line in lines if line["variant"] == "demo")
    assert first["figures"]["error"]["value"] == 0
    assert set(first["error_by_attribute"]) == set(NAMES)
    assert first["steps"] == 60
    assert first["config"] == {"seed": 0}


def test_results_of_other_settings_are_not_mixed(study: Study, tmp_path: Path) -> None:
    Store(tmp_path, study)
    with pytest.raises(InputError, match="are of steps 60, not 61"):
        Store(tmp_path, replace(study, steps=61))


def test_the_time_left_is_that_of_the_runs_that_are_over(study: Study, tmp_path: Path) -> None:
    store = Store(tmp_path, study)
    rest = [Run("demo", "plain", 1), Run("paper", "plain", 0)]
    assert "known after the first" in time_left(rest, store)
    line = {"steps": 1200, "steps_per_second": 0.5, "measuring_seconds": 600, "seed": 0}
    store.add({"variant": "demo", "data": "plain", **line})
    # 50 minutes a run: demo's own, and for want of better paper's too.
    assert time_left(rest, store) == "2 to go, about 1 h 40 min"


def test_the_table_shows_what_is_finished_with_differences_and_failures(
    study: Study, unseen: Unseen, tmp_path: Path
) -> None:
    queue = [
        variant("demo", Fake(lambda: Painter(unseen))),
        variant("vae", Fake(lambda: Painter(unseen, 0.0))),
        variant("paper", Fake(lambda: None, [Collapse("all drawings look alike")])),
    ]
    run_all(study, Store(tmp_path, study), queue, ["plain"], [0], QUIET)
    text = table(tmp_path, ["vae", "demo", "paper", "cvae"], "demo")
    rows = [line for line in text.splitlines() if line.startswith("| vae |")]
    assert "| 1 | 1 | 1.000 [1.000, 1.000] | +1.000 [+1.000, +1.000] |" in rows[0]
    assert "| demo | 1 | 1 | 0.000 [0.000, 0.000] | – |" in text
    assert "Does do(Glasses) move the Hat?" in text
    assert "- paper, plain, seed 0: all drawings look alike" in text
    assert "cvae" not in text
    with pytest.raises(InputError, match="no run is over"):
        table(tmp_path / "none", ["demo"], "demo")


def test_the_table_says_in_words_what_each_part_buys(
    study: Study, unseen: Unseen, tmp_path: Path
) -> None:
    queue = [
        variant(name, Fake(lambda share=share: Painter(unseen, share)))
        for name, share in (("demo", 0.5), ("no-gate", 0.0), ("no-mask", 1.0), ("no-r1", 0.5))
    ]
    queue.append(variant("vae", Fake(lambda: Painter(unseen, 1.0))))
    run_all(study, Store(tmp_path, study), queue, ["plain"], [0], QUIET)
    text = table(tmp_path, [v.name for v in queue], "demo")
    said = [line for line in text.splitlines() if line.startswith("- **")]
    assert [line.split(" (")[0] for line in said] == [
        "- **gate** lowers the error by 0.500",
        "- **mask** raises the error by 0.500",
        "- **r1**: no difference shown in the error",
    ]


def test_where_there_is_no_truth_a_judge_reads_the_edits(
    data: AttributeDataset, unseen: Unseen, study: Study, tmp_path: Path
) -> None:
    """The judge sees whether the picture is the photo; Hat is all that it can be trusted on."""
    shown = unseen.edited.select(["Hat"])
    photos = shown.batch(np.arange(len(shown)))
    known = {p.numpy().tobytes(): y for p, y in zip(photos.images, photos.labels, strict=True)}

    def sees(images: Tensor) -> Tensor:
        there = [p.contiguous().numpy().tobytes() for p in images]
        flipped = {unseen.flips[i, 1].tobytes(): 1 - y for i, y in enumerate(photos.labels)}
        return torch.stack([{**known, **flipped}[p] for p in there]).float() - 0.5

    judge = Judge(Card("eye", "test", ("Hat",)), sees)
    opened = {"drawn": data, "test": Unseen(unseen.data, shown, judge)}
    judged = replace(study, judge="eye", drag=None, _opened=opened)
    queue = [
        variant("default", Fake(lambda: Painter(unseen))),
        variant("paper", Fake(lambda: Painter(unseen, 0.0))),
    ]
    assert run_all(judged, Store(tmp_path, judged), queue, ["plain"], [0], QUIET)
    text = table(tmp_path, ["default", "paper"], "default")
    rows = [line for line in text.splitlines() if "| 0 |" in line]
    assert rows[0].startswith("| default | 0 | 1.000 [")
    assert rows[1].startswith("| paper | 0 | 0.000 [")
    assert "counterfactual error" not in text


# -- the command line ------------------------------------------------------------------------------


def test_the_command_line_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablation.main(["list"]) == 0
    assert "AttGAN" in capsys.readouterr().out
    out = ["--out", str(tmp_path / "runs")]
    for words, message in (
        (["run", "--seeds", "a", *out], "--seeds are numbers"),
        (["run", "--variants", "pape", *out], "did you mean 'paper'"),
        (["run", "--data", "plane", *out], "did you mean 'plain'"),
        (["run", "--steps", "0", *out], "--steps must be at least 1"),
        (["run", "--celeba", "photos", *out], "--celeba and --judge go together"),
        (["table", str(tmp_path)], "holds no results"),
    ):
        assert ablation.main(words) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
