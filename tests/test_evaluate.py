"""One evaluation: what it measures, of whom it believes what, and what its report says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.data.dataset import AttributeDataset, ImageRows
from cdvae_gan.evaluation.conclusions import conclusions
from cdvae_gan.evaluation.folders import FolderEditor, save_counterfactuals
from cdvae_gan.evaluation.judges import Card, Judge
from cdvae_gan.evaluation.measure import FAST, OPTIONAL, Evaluation, Settings, evaluate
from cdvae_gan.evaluation.metrics import MEAN
from cdvae_gan.evaluation.report import cell, evaluation_page, save_report, show
from cdvae_gan.images import to_uint8

NAMES = ("Top", "Bottom")
QUICK = Settings(resamples=40, batch_size=25, without=frozenset({"realism", "identity"}))


def halves(n: int = 60, seed: int = 0) -> AttributeDataset:
    """The upper half is bright where Top is 1, the lower where Bottom is."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, (n, 2)).astype(np.int8)
    pixels = np.full((n, 32, 32, 3), 60, dtype=np.uint8)
    pixels[labels[:, 0] == 1, :16] = 200
    pixels[labels[:, 1] == 1, 16:] = 200
    pixels += generator.integers(0, 9, pixels.shape, dtype=np.uint8)

    def draw(row: int, do: Any, size: int) -> Any:
        picture = pixels[row].copy()
        for name, value in do.items():
            half = slice(0, 16) if name == "Top" else slice(16, 32)
            was = labels[row, NAMES.index(name)]
            picture[half] = picture[half].astype(int) + 140 * (value - int(was))
        return picture

    return AttributeDataset(
        "halves",
        NAMES,
        ImageRows(pixels, np.arange(n)),
        labels,
        np.full(n, "validation"),
        tuple(f"{i}.png" for i in range(n)),
        draw=draw,
    )


def brightness(images: Tensor) -> Tensor:
    x = images.float() / 127.5 - 1
    return 4 * torch.stack([x[:, :, :16].mean((1, 2, 3)), x[:, :, 16:].mean((1, 2, 3))], dim=1)


def half_blind(images: Tensor) -> Tensor:
    """Sees Top alone; of Bottom it has no idea."""
    scores = brightness(images)
    scores[:, 1] = torch.where(images[:, 0, 0, 0] % 2 == 0, 1.0, -1.0)
    return scores


EYE = Judge(Card("eye", "cnn", NAMES), brightness)
OTHER = Judge(Card("other", "svm", NAMES), half_blind)
TOP = Judge(Card("top", "onnx", ("Top",)), lambda x: brightness(x)[:, :1])
TRUNK = Judge(Card("trunk", "trunk", NAMES), brightness)


def perfect(x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1) -> Tensor:
    if attribute is None or target is None:
        return x
    rows = slice(0, 16) if attribute == "Top" else slice(16, 32)
    was = x[:, :, rows].mean((1, 2, 3)) > 0
    x = x.clone()
    x[:, :, rows] += strength * (140 / 127.5) * (target - was.long())[:, None, None, None]
    return x.clamp(-1, 1)


def one_way(x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1) -> Tensor:
    """Puts on and never takes off; Top drags Bottom along."""
    if target is None:
        return x
    edited = perfect(x, attribute, target.clamp_min(1), strength)
    if attribute == "Top":
        edited = perfect(edited, "Bottom", target.clamp_min(1), strength)
    return torch.where(target[:, None, None, None] == 1, edited, x)


@pytest.fixture(scope="module")
def dataset() -> AttributeDataset:
    return halves()


@pytest.fixture(scope="module")
def good(dataset: AttributeDataset) -> Evaluation:
    return evaluate(perfect, dataset, [EYE, OTHER, TRUNK], name="perfect", settings=QUICK)


@pytest.fixture(scope="module")
def bad(dataset: AttributeDataset) -> Evaluation:
    settings = replace(QUICK, groups=("Bottom",))
    return evaluate(one_way, dataset, [EYE, TOP], name="one way", settings=settings)


# What it measures


def test_a_perfect_editor_is_perfect_in_everything(good: Evaluation) -> None:
    tables = good.tables
    for column in ("put on", "take off", "all", "unconditional"):
        assert tables["deception"][MEAN, column].value == 1
    assert tables["preservation"][MEAN, "kept"].value == 1
    assert tables["truth"][MEAN, "relative error"].value == pytest.approx(0, abs=0.01)
    assert tables["composition"]["10", "L1"].value == 0
    assert tables["reversibility"][MEAN, "L1"].value == pytest.approx(0, abs=0.005)
    assert tables["minimality"][MEAN, "changed"].value == pytest.approx(0.5)
    assert tables["confusion"]["Top", "Top"].value == 1
    assert tables["confusion"]["Top", "Bottom"].value == 0


def test_an_editor_with_faults_is_found_out(bad: Evaluation) -> None:
    tables = bad.tables
    assert tables["deception"][MEAN, "put on"].value == 1
    assert tables["deception"][MEAN, "take off"].value == 0
    assert tables["confusion/eye"]["Top", "Bottom"].value > 0.1
    assert tables["preservation/eye"]["Top", "kept"].value < 0.9
    assert tables["preservation/eye"]["Bottom", "kept"].value == 1
    assert tables["truth"]["Bottom", "relative error"].value == pytest.approx(0.5, abs=0.2)


def test_a_weak_edit_shows_in_the_strength_curve(good: Evaluation) -> None:
    curve = good.tables["strength"]
    assert curve.columns == ("0.25", "0.5", "0.75", "1")
    values = [curve[MEAN, c].value for c in curve.columns]
    assert values[0] == 0
    assert values[-1] == 1
    assert values == sorted(values)


def test_what_shows_survives_handling(good: Evaluation) -> None:
    table = good.tables["robustness"]
    assert table.columns == ("as is", "blur", "JPEG 75", "shift")
    assert all(table[MEAN, c].value == 1 for c in table.columns)


def test_a_pattern_that_tickles_a_judge_does_not_survive_handling(
    dataset: AttributeDataset,
) -> None:
    """The judge adds up a fine grid; the editor draws that grid, which a blur wipes out."""
    grid = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)

    def by_grid(images: Tensor) -> Tensor:
        return brightness(images) + 2 * (images.float() * grid).mean((1, 2, 3))[:, None]

    def tickle(
        x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1
    ) -> Tensor:
        if target is None:
            return x
        sign = 2.0 * target[:, None, None, None] - 1
        return (x + 0.1 * sign * grid).clamp(-1, 1)

    judge = Judge(Card("grid", "cnn", NAMES), by_grid)
    found = evaluate(tickle, dataset, [judge], settings=QUICK)
    table = found.tables["robustness"]
    assert table[MEAN, "as is"].value > 0.9
    assert table[MEAN, "blur"].value < 0.1
    assert any("survive handling" in s for s in conclusions(found))


def test_every_figure_has_an_interval_and_a_number(good: Evaluation) -> None:
    for name, table in good.tables.items():
        for row, cells in table:
            for column, e in cells.items():
                where = (name, row, column)
                assert np.isfinite(e.value) == bool(e.n), where
                if e.n:
                    assert e.low - 1e-9 <= e.value <= e.high + 1e-9, where
    assert good.tables["deception"]["Top", "all"].n == 60


# Whom it believes


def test_a_judge_is_believed_where_it_reads_the_photos(good: Evaluation) -> None:
    eye, other, trunk = good.panel.members
    assert eye.trusted.tolist() == [True, True]
    assert other.trusted.tolist() == [True, False]
    assert trunk.apart
    assert good.panel.jury == (0, 1)
    assert good.tables["factual/other"]["Bottom", "balanced accuracy"].value < 0.8
    assert good.tables["deception/other"].untrusted == ("Bottom",)
    assert good.tables["deception"].untrusted == ()


def test_the_card_can_take_trust_away_and_not_give_it(dataset: AttributeDataset) -> None:
    from cdvae_gan.evaluation.judges import Quality

    modest = (Quality(0.95, 0.9, 1, 100, 50), Quality(0.7, 0.6, 0.8, 100, 50))
    proud = (Quality(0.95, 0.9, 1, 100, 50),) * 2
    judges = [
        Judge(Card("modest", "cnn", NAMES, quality=modest), brightness),
        Judge(Card("proud", "cnn", NAMES, quality=proud), half_blind),
    ]
    found = evaluate(perfect, dataset, judges, settings=replace(QUICK, without=FAST))
    assert [m.trusted.tolist() for m in found.panel.members] == [[True, False]] * 2
    assert found.tables["deception"].untrusted == ("Bottom",)
    assert any("Bottom: whether the edits work" in s for s in conclusions(found))


def test_the_mean_over_judges_is_over_those_that_are_believed(good: Evaluation) -> None:
    tables = good.tables
    assert tables["deception/other"]["Bottom", "all"].value < 1
    assert tables["deception"]["Bottom", "all"].value == 1


def test_a_judge_may_know_less_than_the_others(bad: Evaluation) -> None:
    assert bad.panel.members[1].known.tolist() == [True, False]
    assert np.isnan(bad.tables["confusion/top"]["Top", "Bottom"].value)
    assert np.isfinite(bad.tables["confusion"]["Top", "Bottom"].value)
    assert bad.tables["deception/top"]["Bottom", "all"].n == 0


def test_judges_that_agree_on_photos_and_part_on_counterfactuals_are_reported(
    good: Evaluation,
) -> None:
    agreement = good.tables["agreement"]
    assert agreement["Top", "photos"].value == 1
    assert agreement["Top", "all convinced"].value == 1
    assert agreement["Bottom", "photos"].n == 0  # a single judge can be trusted there


# Groups


def test_figures_of_groups_are_those_of_their_images(bad: Evaluation) -> None:
    assert list(bad.groups) == ["Bottom=0", "Bottom=1"]
    zero, one = (bad.tables[f"group/Bottom={v}/deception"] for v in (0, 1))
    assert zero["Bottom", "all"].value == 1
    assert one["Bottom", "all"].value == 0
    assert zero["Top", "all"].n + one["Top", "all"].n == bad.tables["deception"]["Top", "all"].n
    assert sum(bad.about["groups"].values()) == 60


def test_groups_that_differ_are_no_one_rate(dataset: AttributeDataset) -> None:
    def partial(x: Tensor, attribute: str | None, target: Any, strength: float = 1) -> Tensor:
        bright = (x[:, :, 16:].mean((1, 2, 3)) > 0)[:, None, None, None]
        return torch.where(bright, x, perfect(x, attribute, target, strength))

    settings = replace(QUICK, groups=("Bottom",), without=FAST)
    said = conclusions(evaluate(partial, dataset, [EYE], settings=settings))
    assert any("from .00 for Bottom=1 to 1.00 for Bottom=0" in s for s in said)


def test_a_group_of_all_images_has_the_figures_of_all_images(dataset: AttributeDataset) -> None:
    judge = Judge(Card("eye", "cnn", NAMES, thresholds=(1.0, -0.5)), brightness)
    everyone = np.stack([dataset.labels[:, 0], np.ones_like(dataset.labels[:, 1])], axis=1)
    data = replace(dataset, labels=everyone, draw=None)
    settings = replace(QUICK, without=FAST, groups=("Bottom",))
    found = evaluate(perfect, data, [judge], attributes=["Top"], settings=settings)
    group, everybody = (found.tables[f"{n}factual"] for n in ("group/Bottom=1/", ""))
    for column in group.columns:
        assert group["Top", column].value == pytest.approx(everybody["Top", column].value), column


# Labels


def test_an_unknown_label_is_not_flipped(dataset: AttributeDataset) -> None:
    labels = dataset.labels.copy()
    labels[:20, 0] = -1
    data = replace(dataset, labels=labels, draw=None)
    found = evaluate(perfect, data, [EYE], settings=QUICK)
    assert found.tables["deception"]["Top", "unconditional"].n == 40
    assert found.tables["minimality"]["Top", "L1"].n == 40
    assert found.tables["deception"][MEAN, "all"].value == 1
    assert any("17% of labels" in s for s in conclusions(found))
    assert "truth" in found.missing


def test_drawn_faces_may_have_unknown_labels(dataset: AttributeDataset) -> None:
    labels = dataset.labels.copy()
    labels[:20, 0] = -1
    settings = replace(QUICK, without=FAST, pictures=len(labels))
    found = evaluate(perfect, replace(dataset, labels=labels), [EYE], settings=settings)
    assert len(found.pictures.rows) == len(labels)
    assert {row for row, _ in found.pictures.truths} == set(range(20, len(labels)))


# Models


def test_a_model_is_measured_inside_too(dataset: AttributeDataset) -> None:
    pytest.importorskip("sklearn")
    torch.manual_seed(0)
    model = CDVAEGAN(ModelConfig((*NAMES, "Hat"), 32, z_dim=4, width=4)).eval()
    found = evaluate(model, dataset, [EYE], settings=QUICK)
    for name in ("labels", "reliability", "probe/linear", "probe/boosted", "reconstruction"):
        assert name in found.tables
    assert found.tables["composition"]["10", "L1"].value == 0
    assert found.attributes == NAMES
    assert found.about["model"]["detail"] == 1
    reliability = found.tables["reliability"]
    n = sum(row["observed"].n for _, row in reliability)
    assert n == 120


def test_the_reliability_of_a_reading_that_knows_what_it_says() -> None:
    from cdvae_gan.evaluation.metrics import LabelQuality

    generator = np.random.default_rng(0)
    p = generator.random((20_000, 1))
    y = (generator.random((20_000, 1)) < p).astype(int)
    honest, boastful = LabelQuality(["Hat"]), LabelQuality(["Hat"])
    honest.update(y, p, np.arange(20_000))
    boastful.update(y, (p > 0.5) * 0.98 + 0.01, np.arange(20_000))
    for _, row in honest.reliability().table(resamples=20):
        assert row["observed"].value == pytest.approx(row["predicted"].value, abs=0.04)
    for _, row in boastful.reliability().table(resamples=20):
        if row["observed"].n:
            assert abs(row["observed"].value - row["predicted"].value) > 0.2


# What is missing


def test_nothing_is_dropped_without_a_word(good: Evaluation) -> None:
    assert good.missing["realism"] == "left out on demand"
    assert "latents" in good.missing["probes"]
    said = " ".join(s for s in conclusions(good) if "not measured" in s)
    for name in good.missing:
        assert name in said
    measured = {name.split("/")[0].replace("probe", "probes") for name in good.tables}
    assert measured | set(good.missing) >= set(OPTIONAL)


def test_a_handful_of_images_lacks_the_probes_alone(dataset: AttributeDataset) -> None:
    pytest.importorskip("sklearn")
    model = CDVAEGAN(ModelConfig(NAMES, 32, z_dim=4, width=4)).eval()
    found = evaluate(model, dataset.take(range(4)), [EYE], settings=QUICK)
    assert "at least 5 groups of images, not 4" in found.missing["probes"]
    assert not any(name.startswith("probe") for name in found.tables)
    for name in ("deception", "minimality", "reconstruction", "labels"):
        assert name in found.tables


def test_conclusions_follow_from_the_numbers(good: Evaluation, bad: Evaluation) -> None:
    said, said_of_bad = ("\n".join(conclusions(e)) for e in (good, bad))
    assert "One rate for both directions" in said_of_bad
    assert "One rate for both directions" not in said
    assert "**Bottom: whether a second judge agrees.**" in said
    assert "trunk alone" in said
    assert "trunk alone" not in said_of_bad
    assert "60 images were evaluated" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attributes": ["Tap"]}, "did you mean 'Top'"),
        ({"judges": []}, "at least one judge"),
        ({"judges": [Judge(Card("nose", "x", ("Smell",)), brightness)]}, "no judge knows any of"),
        ({"settings": Settings(groups=("Male",))}, "no attribute to group by 'Male'"),
    ],
)
def test_wrong_input_is_refused(
    dataset: AttributeDataset, change: dict[str, Any], message: str
) -> None:
    asked = {"judges": [EYE], **change}
    with pytest.raises(InputError, match=message):
        evaluate(perfect, dataset, **asked)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'realism'"):
        Settings(without=frozenset({"realisms"}))
    with pytest.raises(InputError, match="between 0 and 1"):
        Settings(confidence=95)


# Folders of counterfactuals


def test_a_folder_is_judged_like_the_editor_that_filled_it(
    dataset: AttributeDataset, bad: Evaluation, tmp_path: Path
) -> None:
    manifest = save_counterfactuals(one_way, dataset, tmp_path / "theirs")
    assert manifest.read_text().splitlines()[0] == "source,attribute,value,file"
    editor = FolderEditor(tmp_path / "theirs", dataset)
    assert editor.covered(dataset, NAMES).all()
    found = evaluate(editor, dataset, [EYE, TOP], settings=replace(QUICK, groups=("Bottom",)))
    for name in ("deception", "preservation", "minimality", "robustness", "truth"):
        assert found.tables[name].to_dict() == bad.tables[name].to_dict()
    for name in ("composition", "reversibility", "strength"):
        assert "whole edits" in found.missing[name]


def test_a_damaged_manifest_is_refused(dataset: AttributeDataset, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    line = "0.png,Top,1,a.png\n"
    for text, message in (
        ("source,attribute,file\n0.png,Top,a.png\n", "value is missing"),
        ("source,attribute,value,file\n", "there is no line"),
        (f"source,attribute,value,file\n{line}{line}", "line 3: 0.png, Top=1 comes twice"),
        ("source,attribute,value,file\n0.png,Top,,a.png\n", "line 2: a value is missing"),
        ("source,attribute,value,file\n0.png,Top,maybe,a.png\n", "must hold 0 and 1"),
        ("source,attribute,value,file\nx.png,Top,1,a.png\n", "it has 'x.png', the data has"),
        ("source,attribute,value,file\n0.png,Hat,1,a.png\n", "it sets Hat"),
    ):
        manifest.write_text(text)
        with pytest.raises(InputError, match=message):
            FolderEditor(tmp_path, dataset)
    manifest.write_text(f"source,attribute,value,file\n{line}")
    editor, x = FolderEditor(tmp_path, dataset), dataset.batch([0, 1]).images.float() / 127.5 - 1
    with pytest.raises(InputError, match="no such image"):
        editor(x[:1], "Top", torch.ones(1))
    with pytest.raises(InputError, match=r"no line for 1\.png, Top=0"):
        editor(x[1:], "Top", torch.zeros(1))


# Realism and identity


def test_realism_and_identity_look_through_a_network(
    dataset: AttributeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cdvae_gan.evaluation.measure as module

    def embed(images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images.float() / 255, 8).flatten(1)

    monkeypatch.setattr(module, "object_embedding", lambda: embed)
    settings = replace(QUICK, without=frozenset(), groups=("Bottom",))
    found = evaluate(perfect, dataset, [EYE], real=halves(80, 1), settings=settings)
    assert found.tables["realism/object"]["counterfactual", "Fréchet"].n == 40
    assert found.tables["identity/object"][MEAN, "cosine"].n > 100
    assert "group/Bottom=0/identity/object" in found.tables
    assert "drawn" in found.missing["face features"]
    assert any("Realism in object features" in s for s in conclusions(found))


def test_realism_is_that_of_real_images_with_the_labels_that_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import cdvae_gan.evaluation.measure as module

    def embed(images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images.float() / 255, 16).flatten(1)

    monkeypatch.setattr(module, "object_embedding", lambda: embed)
    skewed = halves(3000, 1)
    top = skewed.labels[:, 0] == 1
    skewed = skewed.take(np.flatnonzero(~top | (np.cumsum(top) % 5 == 0)))
    settings = replace(QUICK, without=frozenset({"identity"}))
    found = evaluate(
        perfect, halves(200, 3), [EYE], attributes=["Top"], real=skewed, settings=settings
    )
    table = found.tables["realism/object"]
    assert table["counterfactual", "Fréchet"].n == 200
    assert table["excess", "Fréchet"].low < 0 < table["excess", "Fréchet"].high


def test_realism_is_measured_on_one_counterfactual_of_each_photo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import cdvae_gan.evaluation.measure as module

    seen: list[Tensor] = []

    def embed(images: Tensor) -> Tensor:
        seen.append(images)
        return torch.nn.functional.avg_pool2d(images.float() / 255, 16).flatten(1)

    monkeypatch.setattr(module, "object_embedding", lambda: embed)
    photos = halves(60, 3)
    photos.labels[:6], photos.labels[6:30, 0] = -1, -1  # nobody knows, or one of two alone
    settings = replace(QUICK, without=frozenset({"identity"}))
    found = evaluate(perfect, photos, [EYE], real=halves(3000, 1), settings=settings)
    assert found.tables["realism/object"]["counterfactual", "Fréchet"].n == 54
    of_real = 2 * 54
    assert sum(map(len, seen)) == of_real + 54


@pytest.mark.parametrize("kind", ["unknown labels", "other attributes", "asked value missing"])
def test_realism_that_cannot_be_measured_is_said_to_be_missing(
    kind: str, dataset: AttributeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cdvae_gan.evaluation.measure as module

    monkeypatch.setattr(module, "object_embedding", lambda: lambda x: x.float().mean((2, 3)))
    real = halves(40, 1)
    if kind == "unknown labels":
        real = replace(real, labels=np.full_like(real.labels, -1))
    elif kind == "other attributes":
        real = replace(real, attributes=("Left", "Right"), draw=None)
    else:
        real = real.take(np.flatnonzero(real.labels[:, 0] == 2))
    settings = replace(QUICK, without=frozenset({"identity"}))
    found = evaluate(perfect, dataset, [EYE], real=real, settings=settings)
    assert "labels" in found.missing["realism"]
    assert not found.networks("realism")


# The report


def test_numbers_are_shown_as_tables_have_them() -> None:
    assert [show(v) for v in (0.81234, 1, 0, -0.05, float("nan"), 12.345)] == [
        ".812",
        "1.000",
        "0",
        "-.050",
        "–",
        "12.3",
    ]


def test_a_report_holds_all_of_it(bad: Evaluation, tmp_path: Path) -> None:
    html = save_report(bad, tmp_path / "report", "cdvae-gan evaluate …")
    assert sorted(p.name for p in html.parent.iterdir()) == [
        "figures",
        "report.html",
        "report.md",
        "results.json",
    ]
    results = json.loads((html.parent / "results.json").read_text("utf-8"))
    deception = results["tables"]["deception"]["mean"]["put on"]
    assert deception["value"] == 1
    assert set(deception) == {"value", "low", "high", "n"}
    assert results["about"]["data"]["fingerprint"] == halves().fingerprint
    assert results["about"]["versions"]["torch"]
    assert results["cannot_be_concluded"] == conclusions(bad)
    page = html.read_text("utf-8")
    for section in evaluation_page(bad).sections:
        assert section.title in page
    assert "Drawn by seed" in page
    assert "convince nobody" in page
    assert "By group" in page


def test_pictures_are_drawn_by_seed_alone(dataset: AttributeDataset) -> None:
    settings = replace(QUICK, without=FAST, pictures=4)
    one, other = (evaluate(e, dataset, [EYE], settings=settings) for e in (perfect, one_way))
    assert one.pictures.rows == other.pictures.rows
    assert len(one.pictures.rows) == 4
    again = evaluate(perfect, dataset, [EYE], settings=replace(settings, seed=1))
    assert again.pictures.rows != one.pictures.rows
    for row in one.pictures.rows:
        picture, note = one.pictures.drawn[row, 0]
        assert picture.shape == (32, 32, 3)
        assert note == f"{'off' if dataset.labels[row, 0] else 'on'}, 1/1"


def test_the_worst_failures_are_the_worst(bad: Evaluation, good: Evaluation) -> None:
    assert all(f.target == 0 for failures in bad.pictures.unbelieved for f in failures)
    assert all(len(failures) == 3 for failures in bad.pictures.unbelieved)
    assert {f.attribute for f in bad.pictures.moved} == {"Top"}
    assert all(f.moved == ("Bottom",) for f in bad.pictures.moved)
    assert not any(good.pictures.unbelieved)
    assert not good.pictures.moved


def test_a_cell_shows_what_is_known(good: Evaluation) -> None:
    e = good.tables["deception"]["Top", "all"]
    assert cell(e).text == "1.000"
    assert "n 60" in cell(e, n=True).detail
    nothing = good.tables["agreement"]["Bottom", "photos"]
    assert cell(nothing) == ("–", "", "muted")


def test_the_progress_reaches_its_end(dataset: AttributeDataset) -> None:
    told: list[tuple[str, int, int]] = []
    evaluate(
        perfect,
        dataset,
        [EYE],
        settings=replace(QUICK, without=FAST),
        progress=lambda *step: told.append(step),
    )
    for what in ("reading photos", "flipping", "intervals"):
        steps = [(done, total) for name, done, total in told if name == what]
        assert steps[-1][0] == steps[-1][1]
        assert steps == sorted(steps)


def test_judges_see_8_bit_pictures(dataset: AttributeDataset) -> None:
    seen: list[Tensor] = []

    def watch(images: Tensor) -> Tensor:
        seen.append(images)
        return brightness(images)

    evaluate(
        lambda x, a, t, strength=1.0: perfect(x, a, t, strength) + 0.001,
        dataset,
        [Judge(Card("watch", "cnn", NAMES), watch)],
        settings=replace(QUICK, without=FAST),
    )
    assert all(images.dtype == torch.uint8 for images in seen)
    assert to_uint8(torch.tensor([[[[-1.0]]]])).item() == 0
