"""Audits of classifiers whose true dependence is known."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import cdvae_gan
from cdvae_gan import CDVAEGAN, CounterfactualExplainer, InputError, ModelConfig
from cdvae_gan.auditing import Audit, audit
from cdvae_gan.auditing.conclusions import Conclusion, conclude
from cdvae_gan.auditing.placebo import as_seen, energy, noise_like, scaled_like
from cdvae_gan.auditing.result import Sight
from cdvae_gan.auditing.significance import holm, sign_test
from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.evaluation.edits import TruthEditor
from cdvae_gan.evaluation.judges import Card, Judge
from cdvae_gan.images import to_uint8
from command_line import Cli

NAMES = ("Glasses", "Hat", "Suit")
EFFECT = 0.3
"""What glasses add to the score of the classifier that depends on them."""


@pytest.fixture(scope="module")
def avatars(tmp_path_factory: pytest.TempPathFactory) -> AttributeDataset:
    cache = tmp_path_factory.mktemp("cache")
    data = cdvae_gan.open_dataset("avatars:n=40,seed=7,validation=0", size=32, cache_dir=cache)
    return data.select(NAMES)


class Knower:
    """A regressor that finds the nearest picture that it knows, of which it has all attributes.

    Its score is what the person adds, what each attribute adds, and noise that differs from picture
    to picture, down to single pixels.
    """

    def __init__(
        self,
        data: AttributeDataset,
        editor: TruthEditor,
        adds: dict[str, float],
        noise: float = 0,
        seed: int = 0,
    ) -> None:
        x = data.batch(range(len(data))).images.float() / 127.5 - 1
        labels = torch.from_numpy(data.labels.astype(np.float32))
        pictures, values = [x], [labels]
        for k, name in enumerate(data.attributes):
            pictures.append(editor(x, name, 1 - data.batch(range(len(data))).labels[:, k]))
            values.append(labels.clone())
            values[-1][:, k] = 1 - labels[:, k]
        self.pictures = torch.cat(pictures).flatten(1)
        weights = torch.tensor([adds.get(name, 0.0) for name in data.attributes])
        person = torch.from_numpy(np.random.default_rng(seed).normal(size=len(x))).float()
        self.scores = person.repeat(len(pictures)) + torch.cat(values) @ weights
        self.noise, self.seed = noise, seed

    def __call__(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(x.flatten(1), self.pictures).argmin(1)
        seeds = [(self.seed, zlib.crc32(p.numpy().tobytes())) for p in to_uint8(x).contiguous()]
        noise = [np.random.default_rng(seed).normal() for seed in seeds]
        return self.scores[nearest] + self.noise * torch.tensor(noise).float()


@pytest.fixture(scope="module")
def drawer(avatars: AttributeDataset) -> TruthEditor:
    return TruthEditor(avatars)


def audited(
    avatars: AttributeDataset, drawer: TruthEditor, classifier: Any, **options: Any
) -> Audit:
    defaults: dict[str, Any] = {"task": "regression", "resamples": 200, "strengths": (), "shown": 0}
    return audit(classifier, avatars, model=drawer, limit=None, **{**defaults, **options})


# -- against the truth ----------------------------------------------------------------------------


def test_over_seeds_the_interval_holds_the_known_effect_and_false_alarms_are_rare(
    avatars: AttributeDataset, drawer: TruthEditor
) -> None:
    """One classifier depends on glasses by a known amount and not on hats."""
    covered = found = alarms = 0
    knower = Knower(avatars, drawer, {"Glasses": EFFECT}, noise=0.2)
    for seed in range(100):
        knower.seed = seed
        result = audited(
            avatars, drawer, knower, interventions=["Glasses", "Hat"], unrelated="Suit", seed=seed
        )
        glasses, hat = (result[name].effects[0] for name in ("Glasses", "Hat"))
        covered += glasses.change.low <= EFFECT <= glasses.change.high
        found += glasses.verdict == "depends"
        alarms += hat.verdict == "depends"
    assert covered >= 88
    assert found >= 90
    assert alarms <= 5


@pytest.fixture(scope="module")
def exact(avatars: AttributeDataset, drawer: TruthEditor) -> Audit:
    """Of a classifier without noise that depends on glasses and a little on hats."""
    knower = Knower(avatars, drawer, {"Glasses": EFFECT, "Hat": -0.01})
    return audited(
        avatars, drawer, knower, threshold=0.0, groups=["Suit"], strengths=(0.25, 0.75), shown=2
    )


def test_without_noise_the_effect_is_exact(exact: Audit) -> None:
    e = exact["Glasses"].effects[0]
    for estimate in (e.change, e.put_on.change, e.magnitude):
        assert estimate.value == pytest.approx(EFFECT, abs=1e-5)
    assert e.take_off.change.value == pytest.approx(-EFFECT, abs=1e-5)
    assert e.put_on.change.n + e.take_off.change.n == e.change.n == 40
    assert exact["Hat"].effects[0].change.value == pytest.approx(-0.01, abs=1e-5)
    assert exact["Suit"].effects[0].change.value == 0
    assert exact["Suit"].effects[0].p_corrected == 1


def test_placebos_that_change_nothing_are_reported_so(exact: Audit) -> None:
    e = exact["Glasses"].effects[0]
    assert e.nothing == 0
    assert e.noise.change.value == 0
    assert e.noise.energy == pytest.approx(1, abs=0.05)
    assert e.excess.value == pytest.approx(e.change.value)
    assert e.unrelated is not None
    assert e.unrelated.name in ("Hat", "Suit")
    assert e.unrelated.energy <= 1.01


def test_answers_turn_one_way_where_it_is_put_on_and_the_other_where_taken_off(
    exact: Audit,
) -> None:
    e = exact["Glasses"].effects[0]
    on, off = e.put_on, e.take_off
    assert on.to_yes is not None
    assert off.to_no is not None
    assert on.to_yes.value > 0
    assert off.to_no.value > 0
    assert on.to_no is not None
    assert on.to_no.value == 0
    before, after = (a[:, 0] > 0 for a in (exact.factual, exact.counterfactual["Glasses"]))
    assert e.to_yes is not None
    assert e.to_yes.value == pytest.approx((~before & after).mean())


def test_the_response_grows_with_the_dose(exact: Audit) -> None:
    doses = exact["Glasses"].effects[0].strengths
    assert list(doses) == ["0.25", "0.75", "1"]
    assert doses["0.25"].value == 0  # nearer to the photo than to the counterfactual
    assert doses["0.75"].value == pytest.approx(EFFECT, abs=1e-5)


def test_groups_are_those_of_the_labels(exact: Audit, avatars: AttributeDataset) -> None:
    groups = {g.name: g for g in exact["Glasses"].effects[0].groups}
    assert set(groups) == {"Suit=0", "Suit=1"}
    suits = int(avatars.labels[:, NAMES.index("Suit")].sum())
    assert groups["Suit=1"].change.n == suits
    assert groups["Suit=1"].difference.value == pytest.approx(0, abs=1e-5)


def test_pairs_are_the_images_of_the_greatest_change(
    exact: Audit, avatars: AttributeDataset
) -> None:
    pairs = exact["Hat"].effects[0].pairs
    assert len(pairs) == 2
    for pair in pairs:
        i = avatars.files.index(pair.file)
        assert np.array_equal(pair.image, avatars.images[i])
        assert avatars.truth is not None
        assert np.array_equal(pair.counterfactual, avatars.truth(i, {"Hat": 1 - pair.present}))
        assert pair.change == pytest.approx(-0.01 if not pair.present else 0.01, abs=1e-5)


def test_batches_do_not_matter(avatars: AttributeDataset, drawer: TruthEditor) -> None:
    knower = Knower(avatars, drawer, {"Glasses": EFFECT}, noise=0.1, seed=0)
    one, other = (
        audited(avatars, drawer, knower, interventions=["Glasses"], batch_size=b).to_dict()
        for b in (7, 40)
    )
    assert one == other


# -- what makes a conclusion honest ---------------------------------------------------------------


def roughness(x: Tensor) -> Tensor:
    """Answers to any change of neighbouring pixels, whatever it shows."""
    return 100 * (x[..., 1:] - x[..., :-1]).pow(2).mean(dim=(1, 2, 3))


def test_a_classifier_of_noise_is_not_said_to_depend(
    avatars: AttributeDataset, drawer: TruthEditor
) -> None:
    e = audited(avatars, drawer, roughness, interventions=["Glasses"])["Glasses"].effects[0]
    assert e.p < 0.01
    assert e.verdict == "not told from placebo"
    assert "noise of the same energy" in e.can


def judge_of(avatars: AttributeDataset, drawer: TruthEditor, name: str = "knower") -> Judge:
    """It reads every known picture right."""
    knower = Knower(avatars, drawer, {})
    x = avatars.batch(range(len(avatars)))
    values = [x.labels]
    for k in range(len(NAMES)):
        values.append(x.labels.clone())
        values[-1][:, k] = 1 - x.labels[:, k]
    table = torch.cat(values).float()

    def scores(images: Tensor) -> Tensor:
        pixels = (images.float() / 127.5 - 1).flatten(1)
        return table[torch.cdist(pixels, knower.pictures).argmin(1)] - 0.5

    return Judge(Card(name, "test", NAMES), scores)


def test_a_judge_that_sees_the_edits_confirms_them(
    avatars: AttributeDataset, drawer: TruthEditor
) -> None:
    knower = Knower(avatars, drawer, {"Glasses": EFFECT})
    judges = [judge_of(avatars, drawer)]
    found = audited(avatars, drawer, knower, interventions=["Glasses"], judges=judges)["Glasses"]
    (sight,) = found.sights
    assert sight.deception.value == sight.put_on.value == 1
    assert sight.moved_share is not None
    assert sight.moved_share.value == 0
    assert found.effects[0].verdict == "depends"
    assert "Judge" not in found.effects[0].cannot
    alone = audited(avatars, drawer, knower, interventions=["Glasses"])["Glasses"].effects[0]
    assert "no judge was asked" in alone.cannot


def test_a_judge_is_believed_on_what_it_reads_off_these_images(
    avatars: AttributeDataset, drawer: TruthEditor
) -> None:
    right = judge_of(avatars, drawer)
    wrong = Judge(right.card, lambda images: -right.scores(images))
    for judge, trusted in ((right, True), (wrong, False)):
        found = audited(avatars, drawer, roughness, interventions=["Hat"], judges=[judge])["Hat"]
        assert found.sights[0].trusted is trusted


def test_an_edit_that_fails_audits_nothing(avatars: AttributeDataset, drawer: TruthEditor) -> None:
    def wrong(x: Tensor, attribute: str | None, target: Any, strength: float = 1) -> Tensor:
        return x if attribute is None else (x + 0.1).clamp(-1, 1)

    result = audit(
        lambda x: x.mean(dim=(1, 2, 3)),
        avatars,
        model=wrong,
        interventions=["Glasses"],
        judges=[judge_of(avatars, drawer)],
        task="regression",
        resamples=200,
    )
    e = result["Glasses"].effects[0]
    assert e.magnitude.value > 0.05
    assert result["Glasses"].sights[0].deception.value == 0
    assert e.verdict == "edit failed"
    assert "Nothing about Glasses" in e.can
    assert "an edit that fails audits nothing" in e.cannot


def test_what_judges_see_goes_into_the_conclusion(exact: Audit) -> None:
    def rate(value: float) -> Estimate:
        return Estimate(value, value, value, 40)

    def said(sight: Sight) -> Conclusion:
        one = replace(exact["Glasses"], sights=(sight,))
        return conclude(one, one.effects[0], p_alone=0.001, tests=3, people=40)

    good = Sight("cnn", True, rate(0.95), rate(0.99), rate(0.9), "Hat", rate(0.01))
    assert said(good).verdict == "depends"
    assert "cnn" not in said(good).cannot
    diluted = said(replace(good, deception=rate(0.7)))
    assert diluted.verdict == "depends"
    assert "the others dilute the effect" in diluted.cannot
    one_way = said(replace(good, take_off=rate(0.1)))
    assert "taken off: that direction was hardly audited" in one_way.cannot
    moved = said(replace(good, moved_share=rate(0.2)))
    assert "sees Hat change too in 20 %" in moved.cannot
    assert said(replace(good, deception=rate(0.4))).verdict == "edit failed"
    doubtful = said(replace(good, trusted=False, deception=rate(0.1)))
    assert doubtful.verdict == "depends"
    assert "no judge reads it well enough" in doubtful.cannot


def test_an_editor_that_cannot_do_nothing_is_found_out(
    avatars: AttributeDataset, drawer: TruthEditor
) -> None:
    def restless(x: Tensor, attribute: str | None, target: Any, strength: float = 1) -> Tensor:
        return (
            (x + 0.1).clamp(-1, 1) if attribute is None else drawer(x, attribute, target, strength)
        )

    result = audit(
        lambda x: x.mean(dim=(1, 2, 3)),
        avatars,
        model=restless,
        interventions=["Hat"],
        task="regression",
        resamples=100,
    )
    e = result["Hat"].effects[0]
    assert e.nothing > 0.01
    assert "do(nothing) is not exact" in e.cannot


def test_few_images_say_nothing(avatars: AttributeDataset, drawer: TruthEditor) -> None:
    knower = Knower(avatars, drawer, {"Glasses": EFFECT})
    few = audited(avatars.take(range(12)), drawer, knower, interventions=["Glasses"])
    assert few["Glasses"].effects[0].verdict == "too few images"


def test_images_of_one_person_count_as_one(avatars: AttributeDataset, drawer: TruthEditor) -> None:
    knower = Knower(avatars, drawer, {"Glasses": EFFECT}, noise=0.5, seed=0)
    people = replace(avatars, identities=np.arange(40) // 2)
    alone, together = (
        audited(data, drawer, knower, interventions=["Glasses"])["Glasses"].effects[0]
        for data in (avatars, people)
    )
    assert alone.change.value == together.change.value
    assert alone.p != together.p
    few = replace(avatars, identities=np.arange(40) // 4)
    effect = audited(few, drawer, knower, interventions=["Glasses"])["Glasses"].effects[0]
    assert effect.verdict == "too few images"


# -- the tests and the placebos -------------------------------------------------------------------


def test_the_sign_test_enumerates_what_is_few() -> None:
    changes = np.array([1.0, 2, 3, 4, 5])
    assert sign_test(changes, np.arange(5)) == pytest.approx(2 / 2**5)
    assert sign_test(np.zeros(5), np.arange(5)) == 1
    together = sign_test(changes, np.array([0, 0, 1, 1, 2]))
    assert together == pytest.approx(2 / 2**3)


def test_random_signs_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    changes = np.random.default_rng(0).normal(0.3, 1, 40)
    expected = stats.permutation_test(
        (changes,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(1),
    ).pvalue
    assert sign_test(changes, np.arange(40)) == pytest.approx(expected, abs=0.01)


def test_p_is_uniform_where_nothing_is() -> None:
    generator = np.random.default_rng(0)
    p = [sign_test(generator.standard_normal(30), np.arange(30)) for _ in range(60)]
    assert 0.35 < np.mean(p) < 0.65
    assert np.mean(np.array(p) <= 0.05) <= 0.12


def test_holm_corrects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([]) == []


def test_noise_has_the_energy_of_the_edit_where_the_edit_is() -> None:
    generator = torch.Generator().manual_seed(0)
    x = as_seen(torch.rand(4, 3, 32, 32, generator=generator) - 0.5)
    edited = x.clone()
    edited[:3, :, 8:16, 8:16] += 0.25
    edited = as_seen(edited)
    seeds = [(0, i) for i in range(4)]
    noisy = noise_like(x, edited, seeds)
    change = noisy - x
    wanted, found = energy(edited - x), energy(change)
    assert torch.allclose(found, wanted, rtol=0.05)
    assert torch.equal(noisy[3], x[3])
    assert energy(change[:, :, :20, :20]).sum() == pytest.approx(float(found.sum()), rel=1e-6)
    assert abs(float(change[:3].mean())) < 0.01
    assert torch.equal(noise_like(x[2:], edited[2:], seeds[2:]), noisy[2:])


def test_an_unrelated_edit_is_made_smaller_but_never_larger() -> None:
    x = torch.zeros(2, 3, 16, 16)
    edited, other = x.clone(), x.clone()
    edited[:, :, :8] = torch.tensor([0.2, 0.9])[:, None, None, None]
    other[:, :, 8:] = 0.5
    found = energy(scaled_like(as_seen(x), as_seen(edited), as_seen(other)) - as_seen(x))
    assert found[0] == pytest.approx(float(energy(edited - x)[0]), rel=0.05)
    assert found[1] == pytest.approx(float(energy(other - x)[1]), rel=0.05)


def test_the_true_editor_knows_its_pictures_and_no_others(avatars: AttributeDataset) -> None:
    editor = TruthEditor(avatars)
    x = avatars.batch(range(3)).images.float() / 127.5 - 1
    assert torch.equal(editor(x, None, None), x)
    target = torch.tensor([1, 0, 1])
    drawn = to_uint8(editor(x, "Hat", target))
    assert avatars.truth is not None
    for i in range(3):
        expected = avatars.truth(i, {"Hat": int(target[i])})
        assert np.array_equal(drawn[i].permute(1, 2, 0).numpy(), expected)
    half = editor(x, "Hat", target, 0.5)
    assert torch.allclose(half, (x + editor(x, "Hat", target)) / 2, atol=1e-6)
    with pytest.raises(InputError, match="its truth is not known"):
        editor(x.flip(3), "Hat", target)
    with pytest.raises(InputError, match="did you mean 'Hat'"):
        editor(x, "Hut", target)


# -- results --------------------------------------------------------------------------------------


def test_a_result_is_plain_data_and_frames(exact: Audit) -> None:
    data = json.loads(json.dumps(exact.to_dict()))
    assert [one["attribute"] for one in data["interventions"]] == list(NAMES)
    assert data["interventions"][0]["effects"][0]["change"]["n"] == 40
    pd = pytest.importorskip("pandas")
    frame = exact.frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["intervention"]) == list(NAMES)
    assert frame["change"][0] == pytest.approx(EFFECT, abs=1e-5)
    assert len(exact.frame("strengths")) == 9
    assert len(exact.frame("directions")) == 6
    assert len(exact.frame("groups")) == 6
    assert len(exact.frame("images")) == 120
    with pytest.raises(InputError, match="did you mean 'images'"):
        exact.frame("image")
    with pytest.raises(InputError, match="did you mean 'Glasses'"):
        exact["glasses"]


def test_a_report_says_what_was_found_in_three_forms(exact: Audit, tmp_path: Path) -> None:
    exact.save(tmp_path / "report")
    assert {"report.html", "report.md", "report.json", "figures"} <= {
        path.name for path in (tmp_path / "report").iterdir()
    }
    html, text = exact.html(), exact.markdown()
    for page in (html, text):
        assert "Glasses" in page
        assert "depends" in page
        assert "What cannot be concluded" in page
        assert "do(nothing)" in page
    assert html.count("<img") == 2 * sum(len(e.pairs) for _, e in exact)
    assert "](figures/" not in text


# -- with a model, and as a command ---------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(("Smiling", "Hat"), 32, width=8, z_dim=8)
    return CDVAEGAN(config).eval().save(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for i in range(24):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{'more/' * (i % 2)}{i}.png")
    (tmp_path / "clf.py").write_text(
        "def score(x):\n    return x.mean((1, 2, 3)) * 9\n"
        "def classes(x):\n    import torch\n    m = x.mean((1, 2))\n"
        "    return torch.cat([m.amax(1, True), m.amin(1, True), 0 * m[:, :1]], 1)\n"
    )
    return tmp_path


def test_photos_without_labels_are_audited_by_command(
    here: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(capsys)
    words = ["audit", "--classifier", "clf.py:score", "--images", "photos", "--model", model]
    done = cli(*words, "--out", "report", "--json")
    assert done.code == 0, done.err
    (found,) = done.objects
    assert [one["attribute"] for one in found["interventions"]] == ["Smiling", "Hat"]
    assert found["interventions"][0]["source"] == "the editor's own reading"
    assert found["interventions"][0]["effects"][0]["nothing"] == 0
    assert found == json.loads((here / "report" / "report.json").read_text())
    assert "--overwrite replaces it" in cli.refused(*words, "--out", "report")
    again = cli(*words, "--out", "report", "--overwrite", "--intervene", "Hat", "--limit", 20)
    assert again.code == 0, again.err
    assert "Hat" in again.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--intervene", "Hut"], "did you mean 'Hat'"),
        (["--classifier", "clf.py:scor"], "did you mean 'score'"),
        (["--classifier", "nothing.onnx"], "no classifier"),
        (["--images", "empty"], "no images in empty"),
        (["--groups", "Male"], "group Male: nobody says which images have it"),
        (["--model", "truth"], "has no true counterfactuals"),
        (["--out", "photos"], "holds the images"),
        (["--split", "tset"], "no split in photos 'tset'"),
    ],
)
def test_wrong_input_is_said_in_one_line(
    words: list[str], message: str, here: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()
    given = {"--classifier": "clf.py:score", "--images": "photos", "--model": str(model)}
    given |= {"--out": "report", **dict(zip(words[::2], words[1::2], strict=True))}
    flat = [word for pair in given.items() for word in pair]
    assert message in Cli(capsys).refused("audit", *flat)
    assert not (here / "report" / "report.json").exists()


def test_every_class_gets_its_own_effect(here: Path, model: Path) -> None:
    result = audit(
        "clf.py:classes", "photos", model=model, interventions=["Hat"], resamples=50, shown=1
    )
    assert result.scores == ("class 0", "class 1", "class 2")
    assert [e.score for e in result["Hat"].effects] == list(result.scores)
    assert "on class 1" in result.markdown()


def test_pictures_in_memory_are_audited(model: Path) -> None:
    network = cdvae_gan.load(model)
    x = as_seen(torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    result = audit(lambda x: x.mean((1, 2, 3)), x, model=network, task="regression", resamples=50)
    expected = network.counterfactual(x, {"Hat": "flip"}).images
    after = as_seen(expected).mean((1, 2, 3)).double().numpy()
    assert result.counterfactual["Hat"][:, 0] == pytest.approx(after, abs=1e-3)


def test_what_an_edit_changes_by_rule_is_listed() -> None:
    config = ModelConfig(
        ("Smiling", "Hat", "Cap"),
        32,
        width=8,
        z_dim=8,
        exclusive=(("Hat", "Cap"),),
        alternatives=(("Cap", "Hat"),),
        companions=(("Smiling", "Hat=0", "Cap=1"),),
    )
    x = torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    result = audit(
        lambda y: y.mean((1, 2, 3)),
        x,
        model=CDVAEGAN(config).eval(),
        interventions=["Smiling", "Cap"],
        judges=[],
        task="regression",
        resamples=50,
    )
    assert result.notes[-4:] == (
        "Where Smiling is taken off, Hat goes off.",
        "Where Smiling is taken off, Cap goes on.",
        "Where Cap is put on, Hat goes off.",
        "Where Cap is taken off, Hat is put on.",
    )
    assert "Where Smiling is taken off, Hat goes off." in result.markdown()


def test_a_classifier_that_fails_on_later_images_is_refused(model: Path) -> None:
    x, said = torch.zeros(8, 3, 32, 32), iter([1.0])
    with pytest.raises(InputError, match="returns numbers that are not finite") as caught:
        audit(lambda y: torch.full((len(y),), next(said, math.nan)), x, model=model, judges=[])
    assert "\n" not in str(caught.value)


# -- explanations ---------------------------------------------------------------------------------


def test_an_explanation_is_the_nearest_image_with_another_answer(model: Path) -> None:
    network = cdvae_gan.load(model)
    x = as_seen(torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    before = x.mean((1, 2, 3))

    def moved(y: Tensor) -> Tensor:
        """Yes as soon as an image is none of those that it knows."""
        near = torch.cdist(y.flatten(1), x.flatten(1)).min(1).values
        return near - 1e-3

    explainer = CounterfactualExplainer(moved, network, outputs="logits")
    explanation = explainer.explain(x)
    assert len(explanation) == 6
    one = explanation[2]
    assert one.orig_class == 0
    assert one.cf is not None
    assert one.cf["X"].shape == (1, 32, 32, 3)
    assert one.cf["class"] == 1
    assert one.cf["strength"] == 0.25  # the weakest edit is enough
    distances = [found["distance"] for found in one.all]
    assert distances == sorted(distances)
    assert len(distances) == 2  # one for each attribute
    again = explainer.explain(one.images)
    assert again.cf is not None
    assert np.array_equal(again.cf["X"], one.cf["X"])
    assert [len(row) for row in explainer.generate_counterfactuals(x, total_CFs=1)] == [1] * 6
    with pytest.raises(InputError, match="take one"):
        _ = explanation.cf
    never = CounterfactualExplainer(lambda y: torch.ones(len(y)), network, outputs="logits")
    assert never.explain(x[:1]).cf is None
    assert len(before) == 6


def test_a_single_image_does_not_say_what_a_classifiers_numbers_are(model: Path) -> None:
    x = as_seen(torch.full((1, 3, 32, 32), 0.5))

    def logit(y: Tensor) -> Tensor:
        return 0.25 + 100 * (y.mean((1, 2, 3)) - x.mean())

    explanation = CounterfactualExplainer(logit, model).explain(x)
    assert explanation.scores[0] == pytest.approx(1 / (1 + math.exp(-0.25)), abs=1e-4)
    assert explanation.answers[0], "as a probability it would be a no"
    (guess,) = explanation.meta["notes"]
    assert "taken for logits" in guess


def test_what_cannot_be_explained_is_refused(model: Path) -> None:
    network = cdvae_gan.load(model)
    x = torch.zeros(2, 3, 32, 32)
    with pytest.raises(InputError, match="give a threshold"):
        CounterfactualExplainer(lambda y: y.mean((1, 2, 3)), network, task="regression").explain(x)
    with pytest.raises(InputError, match="say which to explain"):
        CounterfactualExplainer(lambda y: y.mean((2, 3)), network).explain(x)
    with pytest.raises(InputError, match="did you mean 'Hat'"):
        CounterfactualExplainer(lambda y: y.mean((1, 2, 3)), network, attributes=["Hut"])
    explainer = CounterfactualExplainer(lambda y: y.mean((1, 2, 3)), network)
    with pytest.raises(InputError, match="must be uint8"):
        explainer.explain(np.zeros((1, 3, 32, 32)))
