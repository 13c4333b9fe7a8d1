"""What the cards of shipped models say, computed again from the weights."""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import cdvae_gan
from card_tables import HEADING, figures_of, file_digest, goals, measured
from cdvae_gan import CDVAEGAN
from cdvae_gan.auditing import audit
from cdvae_gan.data import AttributeDataset
from cdvae_gan.evaluation.edits import ModelEditor
from cdvae_gan.evaluation.judges import load_judge, shipped_judges, standard_judges
from cdvae_gan.evaluation.metrics import LabelQuality, Reconstruction
from cdvae_gan.evaluation.splits import groups_of, halves
from cdvae_gan.faces import find_faces, straighten
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.model import shipped_models

WEIGHTS = Path(str(resources.files("cdvae_gan"))) / "weights"
MEASURED = [name for name in shipped_models() if (WEIGHTS / name / "metrics.json").is_file()]


def card(name: str) -> str:
    return (WEIGHTS / name / "README.md").read_text("utf-8")


def metrics(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((WEIGHTS / name / "metrics.json").read_text())
    return figures


def numbers(text: str) -> list[float]:
    """All of a text, also ``.91`` and ``1,879``."""
    found = re.findall(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?|(?<![\w.,])\.\d+", text)
    return [float(number.replace(",", "")) for number in found]


# Every one


def test_the_model_of_faces_is_shipped_and_measured() -> None:
    assert "celeba64" in MEASURED


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_loads_and_says_what_it_is(name: str) -> None:
    model = cdvae_gan.load(name)
    config = json.loads((WEIGHTS / name / "config.json").read_text())
    assert list(model.attributes) == config["attributes"]
    assert not model.training
    text = card(name)
    assert name in text
    assert re.search(r"licen[cs]e", text, re.IGNORECASE)
    for count in re.findall(r"([\d,]{5,}) parameters", text):
        assert int(count.replace(",", "")) == sum(p.numel() for p in model.parameters())
    stored = load_file(WEIGHTS / name / "model.safetensors")
    assert all(bool(t.isfinite().all()) for t in stored.values())
    if "half precision" in text:
        assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.float16}


@pytest.mark.parametrize("name", shipped_models())
def test_doing_nothing_changes_nothing_also_ten_times(name: str) -> None:
    model = cdvae_gan.load(name)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, model.image_size, model.image_size, generator=generator) * 2 - 1
    again = x
    for _ in range(10):
        again = model.counterfactual(again, {}).images
    assert torch.equal(again, x)


# The card and its figures


@pytest.mark.parametrize("name", MEASURED)
def test_the_figures_are_of_these_weights_and_attributes(name: str) -> None:
    model, figures = cdvae_gan.load(name), metrics(name)
    assert figures["weights"] == file_digest(WEIGHTS / name), "of other weights: evaluate again"
    untrusted = {"celeba64": {"Young"}}.get(name, set())
    assert list(figures["deception"]) == [n for n in model.attributes if n not in untrusted]
    assert list(figures["labels, balanced accuracy"]) == list(model.attributes)
    for value, low, high in (
        figures["reconstruction L1"],
        *figures["labels, balanced accuracy"].values(),
    ):
        assert low <= value <= high


@pytest.mark.parametrize("name", MEASURED)
def test_the_card_has_a_row_for_each_attribute_with_the_figure_that_programs_read(
    name: str,
) -> None:
    figures, text = metrics(name), card(name)
    rows = [
        [c.strip(" *`") for c in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    for attribute, value in figures["deception"].items():
        told = [numbers(" ".join(row[1:])) for row in rows if row[0] == attribute]
        assert told, f"the card has no row for {attribute}"
        near = [one for row in told for one in row if abs(one - value) < 6e-4]
        assert near, f"{attribute}: {value} is not told"
    assert figures["images"] in numbers(text)


def test_figures_come_from_a_report() -> None:
    estimate = {"value": 0.12336, "low": 0.1, "high": 0.2, "n": 7}
    nothing = {"value": None, "low": None, "high": None, "n": 0}
    figures = figures_of(
        {
            "about": {
                "judges": [{"name": "cnn", "apart": False}],
                "data": {"images": 7},
                "attributes": ["Hat", "Old"],
            },
            "untrusted": {"deception": ["Old"]},
            "not_measured": {},
            "tables": {
                "deception": {
                    name: {"all": estimate, "put on": estimate, "take off": nothing}
                    for name in ("Hat", "Old")
                },
                "reconstruction": {"image": {"L1": estimate}},
                "labels": {
                    "Hat": {"balanced accuracy": estimate},
                    "Old": {"balanced accuracy": estimate},
                    "mean": {"balanced accuracy": estimate},
                },
            },
        },
        "abc",
    )
    assert figures["weights"] == "abc"
    assert figures["deception"] == figures["put on"] == {"Hat": 0.123}
    assert figures["taken off"] == {}
    assert figures["reconstruction L1"] == [0.1234, 0.1, 0.2]
    assert list(figures["labels, balanced accuracy"]) == ["Hat", "Old"]


def estimate(value: float | None, n: int = 9) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - 0.01, value + 0.01)
    return {"value": value, "low": low, "high": high, "n": n}


def reports() -> tuple[dict[str, Any], dict[str, Any]]:
    """All that a card tells, of two attributes of which one is not trusted, and of Male."""

    def deception(on: float, off: float | None) -> dict[str, Any]:
        return {"put on": estimate(on), "take off": estimate(off), "all": estimate(on)}

    def person(same: float) -> dict[str, Any]:
        return {"cosine": estimate(0.9), "kept": estimate(0.7), "same person": estimate(same)}

    names = ["Hat", "Young", "Male"]
    tables: dict[str, Any] = {
        "deception": {
            "Hat": deception(0.9, None),
            "Young": deception(0.1, 0.2),
            "Male": deception(0.8, 0.7),
            "mean": deception(0.85, 0.75),
        },
        "deception/cnn": {"mean": deception(0.86, 0.7)},
        "preservation": {"mean": {"kept": estimate(0.9), "net of dependence": estimate(0.95)}},
        "composition": {"1": {"L1": estimate(0.0)}},
        "reversibility": {"mean": {"L1": estimate(0.06)}},
        "reconstruction": {"image": {"L1": estimate(0.08)}},
        "probe/linear": {"mean": {"balanced accuracy": estimate(0.52)}},
        "probe/boosted": {"mean": {"balanced accuracy": estimate(0.57)}},
    }
    about = {
        "attributes": names,
        "judges": [{"name": "cnn", "apart": False}],
        "data": {"images": 7, "people": 5},
    }
    distances = {
        column: {"Fréchet": estimate(value, 50)}
        for column, value in (("counterfactual", 8.0), ("real (floor)", 2.0), ("excess", 6.0))
    } | {"times the floor": {"Fréchet": estimate(4.0)}}
    tables |= {"realism/object": distances, "realism/face": distances}
    faces = {
        "identity/face": {
            "Hat": person(0.9), "Young": person(0.8), "Male": person(0.2), "mean": person(0.63),
        },
    }  # fmt: skip
    untrusted = {"deception": ["Young"]}
    return (
        {"about": about, "tables": tables, "untrusted": untrusted},
        {"about": about, "tables": faces, "untrusted": untrusted},
    )


def test_a_card_tells_the_goals_beside_the_figures() -> None:
    table = goals(*reports())
    rows = dict(line.strip("| ").split(" | ")[:2] for line in table.splitlines()[2:])
    assert rows["deception, mean of attributes"] == ".850 [.840, .860]"
    assert rows["… worst directions"] == "Male off .70, Male on .80, Hat on .90"
    assert rows["flipped back, L1 in [0, 1]"] == ".0300 [.0250, .0350]"
    assert rows["same person by dlib; mean without Male and Young"].endswith("; .900")


def test_the_measured_part_of_a_card_has_the_tables_of_the_report_and_no_pictures() -> None:
    judged, faces = reports()
    report = "# Report\n\nWords.\n\n## What stays\n\n![b](a.png)\nA table.\n\n## Data\n\nMore.\n"
    text = measured(judged, faces, report)
    assert text.startswith(f"{HEADING}\n")
    assert "### What stays\n" in text
    assert "A table." in text
    assert "![" not in text
    assert "More." not in text
    distances = "8.000 [7.990, 8.010] | 2.000 [1.990, 2.010] | 6.000 [5.990, 6.010]"
    assert f"| object | {distances} | 4.0 [4.0, 4.0] | 50 |" in text


# On a portrait in the public domain


@pytest.fixture(scope="module")
def faces() -> CDVAEGAN:
    return cdvae_gan.load("celeba64")


@pytest.fixture(scope="module")
def portrait(faces: CDVAEGAN) -> torch.Tensor:
    """Eileen Collins as the model sees her, float ``(1, 3, S, S)``: she smiles, without glasses."""
    pytest.importorskip("dlib")
    photo = Image.fromarray(pytest.importorskip("skimage.data").astronaut())
    (face,) = find_faces(photo)
    pixels = np.asarray(straighten(photo, face.to_frame, faces.image_size)).copy()
    return to_float(torch.from_numpy(pixels).permute(2, 0, 1)[None])


def test_what_anyone_sees_on_the_portrait_is_read_from_it(
    faces: CDVAEGAN, portrait: torch.Tensor
) -> None:
    alpha = faces.counterfactual(portrait, {}).before[0]
    read = dict(zip(faces.attributes, (alpha > 0.5).tolist(), strict=True))
    seen = {
        "Smiling": True,
        "Mouth_Slightly_Open": True,
        "No_Beard": True,
        "Bald": False,
        "Eyeglasses": False,
        "Mustache": False,
    }
    shared = {name: value for name, value in seen.items() if name in read}
    assert {name: read[name] for name in shared} == shared


def test_every_flip_of_the_portrait_is_seen_by_the_model_itself(
    faces: CDVAEGAN, portrait: torch.Tensor
) -> None:
    crossed = 0
    for k, name in enumerate(faces.attributes):
        found = faces.counterfactual(portrait, {name: "flip"})
        before, after = float(found.before[0, k]), float(found.after[0, k])
        assert (after > before) == (before < 0.5), name
        assert (to_uint8(found.images) != to_uint8(portrait)).any(), name
        crossed += (after > 0.5) != (before > 0.5)
    assert crossed >= 0.7 * len(faces.attributes)


# On CelebA, where it is at hand


FOLDER = os.environ.get("CDVAE_GAN_CELEBA")


@pytest.fixture(scope="module")
def photos(faces: CDVAEGAN) -> AttributeDataset:
    assert FOLDER is not None
    data = cdvae_gan.open_dataset(FOLDER, attributes=faces.attributes, size=faces.image_size)
    report = halves(data).report
    chosen = np.random.default_rng(0).permutation(len(report))[:200]
    return report.take(np.sort(chosen))


def overlaps(found: Any, stated: list[float]) -> bool:
    """Whether intervals of a part of the photos and of all of them have anything in common."""
    return bool(found.low <= stated[2] and stated[1] <= found.high)


@pytest.mark.celeba
@pytest.mark.skipif(FOLDER is None, reason="no CelebA: name its folder in CDVAE_GAN_CELEBA")
def test_reconstruction_and_labels_of_some_photos_are_as_the_card_says(
    faces: CDVAEGAN, photos: AttributeDataset
) -> None:
    images, labels = photos.batch(np.arange(len(photos)))
    x, who = to_float(images), groups_of(photos)
    with torch.no_grad():
        found = ModelEditor(faces).abduction(x)
    drawn, read = Reconstruction(), LabelQuality(faces.attributes)
    drawn.update(x, found.drawing.location, who)
    read.update(labels, found.probabilities, who)
    stated = metrics("celeba64")
    assert overlaps(drawn.compute()["image", "L1"], stated["reconstruction L1"])
    table = read.compute()
    # Of these there are both kinds in plenty among 200 photos.
    for name in ("Male", "Mouth_Slightly_Open", "Smiling", "Young"):
        cell = table[name, "balanced accuracy"]
        assert overlaps(cell, stated["labels, balanced accuracy"][name]), (name, cell)


# The judges


def test_judges_of_four_families_know_all_that_the_model_of_faces_does(faces: CDVAEGAN) -> None:
    found = standard_judges(faces.attributes)
    assert {judge.card.family for judge in found} == {"cnn", "residual", "boosting", "svm"}
    assert {judge.name for judge in found} == set(shipped_judges())
    assert {judge.card.family for judge in found[:2]} == {"cnn", "residual"}, "the best first"
    assert standard_judges(["Smiling", "Hat"]) == []


@pytest.mark.parametrize("name", shipped_judges())
def test_a_shipped_judge_says_what_it_may_be_used_for_and_how_good_it_is(name: str) -> None:
    card = load_judge(name).card
    assert "non-commercial" in card.notes
    assert card.fingerprint
    assert len(card.quality) == len(card.attributes)
    assert sum(card.trusted) > len(card.attributes) / 2


@pytest.mark.parametrize("name", shipped_judges())
def test_a_shipped_judge_reads_the_portrait(name: str, portrait: torch.Tensor) -> None:
    judge = load_judge(name).select(["Smiling", "Mouth_Slightly_Open", "Bald"])
    assert judge.read(to_uint8(portrait))[0].tolist() == [True, True, False]


def test_an_audit_asks_the_shipped_judges_where_none_is_named(portrait: torch.Tensor) -> None:
    def brightness(x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(1, 2, 3))

    common = {"interventions": ["Smiling"], "task": "regression", "resamples": 20, "seed": 0}
    found = audit(brightness, portrait, **common)  # type: ignore[arg-type]
    assert set(found.settings["judges"]) == set(shipped_judges())
    none = audit(brightness, portrait, judges=(), **common)  # type: ignore[arg-type]
    assert none.settings["judges"] == {}


def test_a_folder_of_ones_own_is_not_taken_for_a_shipped_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shipped_judges()["celeba-svm"], "celeba-cnn")
    assert load_judge("./celeba-cnn").card.family == "svm"
    assert load_judge("celeba-cnn").card.family == "cnn"


def test_the_package_fits_into_a_wheel_of_25_megabytes() -> None:
    files = [p for p in WEIGHTS.parent.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert sum(len(zlib.compress(p.read_bytes())) for p in files) < 25e6
    assert all(p.stat().st_size <= 10e6 for p in files)
