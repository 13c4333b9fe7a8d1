"""The commands evaluate, compare and reproduce: what they write, print and refuse."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.data import open_dataset
from cdvae_gan.evaluation.edits import ModelEditor
from cdvae_gan.evaluation.folders import save_counterfactuals
from cdvae_gan.evaluation.judges import JudgeTraining
from cdvae_gan.evaluation.measure import FAST, Settings
from cdvae_gan.evaluation.splits import chosen_part, halves
from cdvae_gan.reproduce import Scale, Suite, avatars, reproduce, steps_of
from cdvae_gan.training import Limits
from command_line import Cli

AVATARS = "avatars:n=60,validation=0.7"

JUDGE = '''
import torch

attributes = ("Hat", "Smile")

def look(x):
    """Red above, and whatever below."""
    return torch.stack([x[:, 0, :10].mean((1, 2)), x[:, 1, 16:].mean((1, 2))], dim=1)

look.attributes = attributes
'''


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(cache))
    (tmp_path / "judge.py").write_text(JUDGE)
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(("Hat", "Smile", "Glasses"), 32, z_dim=4, width=4)
    return CDVAEGAN(config).eval().save(tmp_path_factory.mktemp("model") / "small")


QUICK = ("--judges", "judge.py:look", "--fast", "--without", "labels", "--resamples", 20)


def test_evaluate_writes_a_report_and_prints_the_figures(cli: Cli, model: Path, here: Path) -> None:
    words = ("evaluate", model, AVATARS, *QUICK, "--out", "report", "--limit", 12)
    told = cli(*words)
    assert told.code == 0, told.err
    assert "Hat" in told.out
    assert "Glasses" not in told.out  # the judge does not know it
    assert "cannot be concluded" in told.out
    results = json.loads((here / "report/results.json").read_text())
    assert results["about"]["data"]["images"] == 12
    assert results["about"]["model"]["name"] == "small"
    assert results["not_measured"]["identity"] == "left out on demand"
    for name in ("report.html", "report.md"):
        assert (here / "report" / name).stat().st_size > 1000
    assert "holds a report" in cli.refused(*words)
    again = cli(*words, "--overwrite", "--json", "--pictures", 0, "--confidence", 0.8)
    (told_json,) = again.objects
    assert told_json["about"]["settings"]["confidence"] == 0.8
    assert told_json["tables"].keys() == results["tables"].keys()
    wide = results["tables"]["minimality"]["mean"]["L1"]
    narrow = told_json["tables"]["minimality"]["mean"]["L1"]
    assert narrow["value"] == wide["value"]
    assert wide["low"] <= narrow["low"] <= narrow["high"] <= wide["high"]


def test_the_report_half_is_evaluated_unless_asked_otherwise() -> None:
    data = open_dataset(AVATARS, size=32)
    report, others = chosen_part(data)
    assert set(report.files) == set(halves(data).report.files)
    assert set(report.files) | set(others.files) == set(data.files)
    assert not set(report.files) & set(others.files)
    few, rest = chosen_part(data, limit=5, seed=1)
    assert len(few) == 5
    assert set(few.files) < set(report.files)
    assert set(rest.files) == set(others.files)  # never the same people
    assert set(chosen_part(data, "tune")[0].files) == set(halves(data).tune.files)
    assert set(chosen_part(data, "train")[0].splits) == {"train"}


def test_folders_are_evaluated_and_compared_as_models_are(
    cli: Cli, model: Path, here: Path
) -> None:
    data = halves(open_dataset(AVATARS, size=32)).report.take(np.arange(10))
    editor = ModelEditor(CDVAEGAN.from_pretrained(model))
    save_counterfactuals(editor, data, here / "theirs", attributes=["Hat", "Smile"])
    alone = cli("evaluate", "theirs", AVATARS, *QUICK, "--out", "r1", "--size", 32, "--json")
    assert alone.code == 0, alone.err
    about = alone.objects[0]["about"]
    assert about["model"]["kind"] == "folder of counterfactuals"
    assert about["data"]["images"] == 10
    both = cli("compare", model, "theirs", f"{model}:detail=0", AVATARS, *QUICK, "--out", "r2")
    assert both.code == 0, both.err
    results = json.loads((here / "r2/results.json").read_text())
    assert results["in_words"]["theirs"]["pixels changed"] == "the same"
    assert results["in_words"]["small κ=0"]["pixels changed"] == "small κ=0 has more"
    assert list(results["evaluations"]) == ["small", "theirs", "small κ=0"]
    assert "the same" in both.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("evaluate", "MODEL", AVATARS, "--out", "r", "--judges", "nobody"),
            "no judge 'nobody'",
        ),
        (("evaluate", "MODEL", AVATARS, "--out", "r"), "shipped judges do not know all of"),
        (("evaluate", "nothing", AVATARS, *QUICK, "--out", "r"), "no model 'nothing'"),
        (("evaluate", "MODEL", AVATARS, *QUICK, "--out", "judge.py"), "is a file"),
        (("evaluate", "MODEL", AVATARS, *QUICK, "--out", "MODEL"), "is an input"),
        (("evaluate", "MODEL", AVATARS, *QUICK, "--out", "r", "--groups", "Age"), "group by 'Age'"),
        (("evaluate", "MODEL", AVATARS, *QUICK, "--out", "r", "--without", "lpips"), "left out"),
        (("evaluate", "MODEL", AVATARS, *QUICK, "--out", "r", "--split", "test"), "no split"),
        (("evaluate", "MODEL", AVATARS, *QUICK, "--out", "r", "--confidence", "95"), "between 0"),
        (("evaluate", "MODEL", AVATARS, *QUICK, "--out", "r", "--size", "64"), "one size"),
        (("evaluate", "MODEL", AVATARS, *QUICK, "--out", "r", "--attributes", "Hut"), "'Hat'"),
        (("compare", "MODEL", AVATARS, *QUICK, "--out", "r"), "at least two"),
        (("compare", "MODEL", "MODEL", AVATARS, *QUICK, "--out", "r"), "name of its own"),
        (("compare", "MODEL", "MODEL:detail=2", AVATARS, *QUICK, "--out", "r"), "in [0, 1]"),
        (("reproduce", "celeba", "--small"), "avatars alone"),
        (("reproduce", "--model", "celeba64"), "name the folder of CelebA"),
        (("reproduce", "--small", "--out", "judge.py"), "is a file"),
        (("reproduce", "--small", "--shipped"), "--shipped stands alone"),
    ],
)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(
    cli: Cli, model: Path, here: Path, words: tuple[object, ...], message: str
) -> None:
    before = set(here.rglob("*"))
    asked = [str(w).replace("MODEL", str(model)) for w in words]
    assert message in cli.refused(*asked)
    assert {p for p in here.rglob("*") if "__pycache__" not in str(p)} == before


# Reproduce

TINY = Scale(
    AVATARS,
    families=("svm", "cnn"),
    judging=JudgeTraining(epochs=1, components=8, bf16=False),
    limits=Limits(steps=2),
    evaluated=10,
    settings=Settings(without=FAST | {"agreement"}, resamples=20, pictures=2, worst=1),
)


@pytest.fixture(scope="module")
def suite() -> Suite:
    pytest.importorskip("sklearn")
    whole = avatars(TINY)
    config = replace(whole.config, width=4, batch_size=8, fine_channels=4)
    return replace(whole, config=config, attributes=("Hat", "Smile"))


@pytest.fixture(scope="module")
def finished(suite: Suite, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All steps, done once."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDVAE_GAN_CACHE", str(cache))
        reproduce([suite], folder / "work", command="cdvae-gan reproduce", docs=folder / "docs")
    return folder


@pytest.fixture
def copy(finished: Path, here: Path) -> Path:
    return Path(shutil.copytree(finished, here / "copy"))


def done(folder: Path) -> dict[str, int]:
    """When each step was done."""
    files = sorted((folder / "work/avatars").glob("*/step.json"))
    return {f.parent.name: f.stat().st_mtime_ns for f in files}


def test_the_results_are_written_with_all_their_figures(finished: Path, suite: Suite) -> None:
    assert [step.name for step in steps_of(suite)] == [
        "judge-svm",
        "judge-cnn",
        "model",
        "evaluation",
        "detail",
    ]
    text = (finished / "docs/results.md").read_text()
    for said in ("`cdvae-gan reproduce`", "trained for 2 steps", "n = 10 images", "| Hat |"):
        assert said in text
    figures = sorted((finished / "docs/images/results").iterdir())
    assert {figure.suffix for figure in figures} == {".svg", ".png"}
    for figure in figures:
        assert f"images/results/{figure.name}" in text
    assert (finished / "work/results.html").read_text().count("<h2>") == text.count("\n## ")


def test_a_folder_that_holds_something_else_is_left_alone(here: Path, suite: Suite) -> None:
    mine = here / "runs/avatars/judge-svm/model.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_text("learned for hours")
    with pytest.raises(InputError, match="holds something else"):
        reproduce([suite], here / "runs")
    assert mine.read_text() == "learned for hours"


def test_a_model_that_is_given_is_not_trained() -> None:
    assert "model" not in {step.name for step in steps_of(avatars(TINY, "avatars64"))}


def test_judges_that_are_given_are_not_trained(copy: Path, suite: Suite) -> None:
    given = replace(suite, judges=(str(copy / "work/avatars/judge-svm"),))
    assert [step.name for step in steps_of(given)] == ["model", "evaluation", "detail"]
    before = done(copy)
    reproduce([given], copy / "work", docs=copy / "docs")
    changed = [name for name, at in done(copy).items() if at != before[name]]
    assert changed == ["detail", "evaluation"]
    assert "Judges, trained aside: svm." in (copy / "docs/results.md").read_text()


def test_what_is_done_is_not_done_again(copy: Path, suite: Suite) -> None:
    before, text = done(copy), (copy / "docs/results.md").read_text()
    (copy / "docs/results.md").unlink()
    (copy / "docs/images/results/old.svg").write_text("")
    reproduce([suite], copy / "work", command="cdvae-gan reproduce", docs=copy / "docs")
    assert done(copy) == before
    assert (copy / "docs/results.md").read_text() == text
    assert not (copy / "docs/images/results/old.svg").exists()


def test_what_was_broken_off_or_asked_otherwise_is_done_and_no_more(
    copy: Path, suite: Suite
) -> None:
    before = done(copy)
    (copy / "work/avatars/judge-svm/step.json").write_text('{"key": "')
    fewer = replace(suite, scale=replace(TINY, evaluated=8))
    reproduce([fewer], copy / "work", docs=copy / "docs")
    changed = [name for name, at in done(copy).items() if at != before[name]]
    assert changed == ["detail", "evaluation", "judge-svm"]
    assert "n = 8 images" in (copy / "docs/results.md").read_text()


def test_what_was_measured_on_other_weights_is_measured_again(copy: Path, suite: Suite) -> None:
    before = done(copy)
    run = copy / "work/avatars/model/run"
    model = CDVAEGAN.from_pretrained(run / "model")
    with torch.no_grad():
        model.decoder.out.weight *= 1.1
    model.save(run / "model")
    reproduce([suite], copy / "work", docs=copy / "docs")
    changed = [name for name, at in done(copy).items() if at != before[name]]
    assert changed == ["detail", "evaluation"]


@pytest.mark.parametrize("model", [None, "avatars64"])
def test_every_step_depends_on_the_images_and_labels_of_its_source(
    here: Path, model: str | None
) -> None:
    photos = here / "photos"
    photos.mkdir()

    def asked(shade: int, labels: str) -> list[dict[str, Any]]:
        lines = [f"{i}.png,{label}" for i, label in enumerate(labels)]
        (photos / "metadata.csv").write_text("\n".join(["file_name,Hat", *lines]))
        for i in range(len(labels)):
            Image.new("RGB", (32, 32), (shade, 9 * i, 0)).save(photos / f"{i}.png")
            os.utime(photos / f"{i}.png", (shade, shade))
        return depends_on(photos)

    def depends_on(source: Path) -> list[dict[str, Any]]:
        whole = avatars(replace(TINY, source=str(source)), model)
        return [step.depends_on for step in steps_of(whole)]

    first = asked(1, "0011")
    assert asked(1, "0011") == first
    (here / "another name").symlink_to(photos)
    assert depends_on(here / "another name") == first
    for other in (asked(1, "0101"), asked(2, "0011")):
        assert all(a != b for a, b in zip(first, other, strict=True))


def test_photos_stay_out_of_the_documentation(copy: Path, suite: Suite) -> None:
    results = copy / "work/avatars/evaluation/results.json"
    results.write_text(results.read_text().replace('"drawn": true', '"drawn": false'))
    reproduce([suite], copy / "work", docs=copy / "docs")
    assert "<img" in (copy / "work/results.html").read_text()
    assert ".png" not in (copy / "docs/results.md").read_text()
    assert not list((copy / "docs").rglob("*.png"))
