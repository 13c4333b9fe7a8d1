"""The command line from data to a model: data check, train, and demo-train with its figure."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan import CDVAEGAN, ModelConfig, load
from cdvae_gan.data import open_dataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.edits import ModelEditor
from cdvae_gan.evaluation.truth import counterfactual_error
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.training.module import TrainingModule
from command_line import Cli, Result

AVATARS = "avatars:n=64,validation=0.25"


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
    return tmp_path


# -- data -----------------------------------------------------------------------------------------


def test_data_check_prints_a_table_or_json_and_draws_a_contact_sheet(cli: Cli, here: Path) -> None:
    text = cli("data", "check", AVATARS, "--size", 32)
    assert text.code == 0
    assert "64 images of 32 pixels (train 48, validation 16)" in text.out
    assert "strongest correlations" in text.out
    assert (here / "avatars-contact-sheet.png").is_file()
    words = ("data", "check", AVATARS, "--size", 32, "--attributes", "Hat,Smile", "--json")
    told = json.loads(cli(*words, "--sheet", "some/sheet.png").out)
    assert told["contact_sheet"] == "some/sheet.png"
    assert [a["name"] for a in told["attributes"]] == ["Hat", "Smile"]
    assert (here / "some/sheet.png").is_file()
    assert "exists" in cli.refused(*words, "--sheet", "some/sheet.png")
    assert cli(*words, "--sheet", "some/sheet.png", "--overwrite").code == 0


def test_a_contact_sheet_never_replaces_an_image_of_the_data(cli: Cli, here: Path) -> None:
    (here / "photos").mkdir()
    for name, color in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (40, 40), color).save(here / f"photos/{name}.png")
    (here / "photos/metadata.csv").write_text("file_name,Hat\na.png,1\nb.png,0\n")
    before = (here / "photos/a.png").read_bytes()
    check = ("data", "check", "photos", "--size", 32, "--sheet", "photos/a.png", "--overwrite")
    assert "is an input" in cli.refused(*check)
    assert (here / "photos/a.png").read_bytes() == before


def test_what_all_images_have_cannot_be_learned(cli: Cli, here: Path) -> None:
    (here / "photos").mkdir()
    for i in range(8):
        Image.new("RGB", (40, 40), (20 * i, 0, 0)).save(here / f"photos/{i}.png")
    rows = "".join(f"{i}.png,1\n" for i in range(8))
    (here / "photos/metadata.csv").write_text(f"file_name,Hat\n{rows}")
    words = ("train", "photos", "--size", 32, "--steps", 1, "--out", "run")
    assert "Hat cannot be learned" in cli.refused(*words)
    assert not (here / "run").exists()


def test_data_check_lists_images_that_cannot_be_read(cli: Cli, here: Path) -> None:
    (here / "photos").mkdir()
    for name in "ab":
        Image.new("RGB", (40, 40), "red").save(here / f"photos/{name}.png")
    (here / "photos/bad.png").write_text("not a picture")
    (here / "photos/metadata.csv").write_text("file_name,Hat\na.png,1\nb.png,0\nbad.png,1\n")
    text = cli("data", "check", "photos", "--size", 32, "--no-sheet")
    assert text.code == 0, text.err
    assert "unreadable images: 1" in text.out
    assert "bad.png" in text.out
    assert "groups of equal images: 1" in text.out
    assert "--skip-bad" in cli.refused("train", "photos", "--size", 32, "--steps", 1, "--out", "r")


def test_the_cache_is_cleared(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(here / "cache"))
    cli("data", "check", "avatars:n=4", "--size", 32, "--no-sheet")
    told = json.loads(cli("data", "clear-cache", "--json").out)
    assert told["bytes"] > 4 * 32 * 32 * 3
    assert "0.0 MB freed" in cli("data", "clear-cache").out


# -- train ----------------------------------------------------------------------------------------


def train(cli: Cli, *more: object) -> Result:
    return cli(
        "train", AVATARS, "--out", "run", "--accelerator", "cpu", "--devices", 1,
        "--precision", "32", *more,
    )  # fmt: skip


NEW = ("--size", 32, "--attributes", "Hat,Smile", "--preset", "paper", "--batch-size", 8)


def test_a_run_is_trained_used_and_gone_on_with(cli: Cli, here: Path) -> None:
    first = train(cli, *NEW, "--steps", 1, "--seed", 5)
    assert first.code == 0, first.err
    assert "model: run/model" in first.out
    told = json.loads(cli("info", "run", "--json").out)
    assert (told["attributes"], told["image_size"]) == (["Hat", "Smile"], 32)
    more = train(cli, "--steps", 2, "--resume", "--json")
    assert more.code == 0, more.err
    assert json.loads(more.out)["validation"]["step"] == 2
    assert json.loads((here / "run/config.json").read_text())["seed"] == 5
    assert "holds a run already" in cli.refused(
        "train", AVATARS, "--out", "run", "--steps", 1, "--size", 32
    )
    for option, said in (
        (("--seed", 1), "--seed cannot be changed"),
        (("--start-from", "celeba64"), "--start-from cannot be changed"),
        (("--preset", "default"), "--preset cannot be changed"),
        (("--size", 64), "was begun at size 32, not 64"),
        (("--attributes", "Hat"), "was begun with Hat,Smile"),
    ):
        words = ("train", AVATARS, "--out", "run", "--steps", 3, "--resume", *option)
        assert said in cli.refused(*words)


def test_numbers_are_set_by_name_and_wrong_ones_refused_before_images_are_decoded(
    cli: Cli, here: Path
) -> None:
    train(cli, *NEW, "--steps", 1, "--set", "weights.edit=2", "--set", "learning_rate_d=1e-3")
    config = json.loads((here / "run" / "config.json").read_text())
    assert (config["weights"]["edit"], config["learning_rate_d"]) == (2.0, 1e-3)
    assert "--set cannot be changed" in cli.refused(
        *("train", AVATARS, "--out", "run", "--steps", 2, "--resume", "--set", "ema=0.9")
    )
    nowhere = ("train", "nowhere", "--out", "other", "--steps", 1)
    assert "no setting 'weight'" in cli.refused(*nowhere, "--set", "weight=1")
    erasing = ("train", AVATARS, "--size", 32, "--out", "other", "--steps", 1)
    assert "nothing to erase" in cli.refused(*erasing, "--set", "erase=true")
    assert not (here / "other").exists()


def test_a_run_draws_interventions_at_the_reach_of_the_model_that_it_starts_from(
    cli: Cli, here: Path
) -> None:
    at_reach = ("train", AVATARS, "--size", 32, "--steps", 1, "--at-reach")
    assert "needs --start-from" in cli.refused(*at_reach, "--out", "none")
    train(cli, *NEW, "--steps", 1)
    assert "cdvae-gan calibrate" in cli.refused(*at_reach, "--out", "none", "--start-from", "run")
    assert not (here / "none").exists()
    known = load("run")
    reach = [(1.0 + k / 8, 2.0) for k in range(len(known.attributes))]
    known.adjusted(reach=reach).save("far")
    some = known.attributes[1], known.attributes[0]
    small = ("--attributes", ",".join(some), "--preset", "paper", "--batch-size", 8)
    assert not cli(*at_reach, *small, "--out", "on", "--start-from", "far").code
    assert load("on").config.reach == (reach[1], reach[0])


def test_ctrl_c_keeps_what_was_learned_and_exits_with_130(
    cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TrainingModule.training_step

    def step(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        real(self, batch, batch_idx)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrainingModule, "training_step", step)
    stopped = train(cli, *NEW, "--steps", 1000)
    assert stopped.code == 130
    assert stopped.err == "cdvae-gan: stopped by a signal at step 1; --resume goes on\n"
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert (here / "run/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say when to stop: --steps, --epochs or --max-time"),
        (["--max-time", "soon"], "'soon' is not a time"),
        (["--steps", 1, "--size", 48], "--size is one of 32, 64, 128, 256, not 48"),
        (["--steps", 1, "--size", 32, "--attributes", "Hatt"], "did you mean 'Hat'?"),
        (["--steps", 1, "--size", 32, "--batch-size", 2], "batch size must be at least 8"),
        (["--steps", 1, "--devices", "all"], "--devices is a number of at least 1 or auto"),
        (["--steps", 1, "--precision", "half"], "--precision"),
        (["--steps", 1, "--resume"], "holds no run"),
        (["--steps", 1, "--size", 32, "--start-from", "nobody"], "no model 'nobody'"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    cli: Cli, here: Path, words: list[object], said: str
) -> None:
    assert said in cli.refused("train", AVATARS, "--out", "run", *words)
    assert not (here / "run").exists()


def test_data_and_places_that_are_not_there_are_named(cli: Cli, here: Path) -> None:
    (here / "file").write_text("")
    tail = ("--steps", 1, "--size", 32)
    assert "no data set 'photos'" in cli.refused("train", "photos", "--out", "run", *tail)
    assert "cannot write the run" in cli.refused("train", AVATARS, "--out", "file/run", *tail)


# -- demo-train ----------------------------------------------------------------------------------


def test_the_demo_draws_measures_and_starts_anew(cli: Cli, here: Path) -> None:
    words = ("demo-train", "--source", AVATARS, "--size", 32, "--minutes", 0.001)
    told = json.loads(cli(*words, "--json").out)
    error = told["counterfactual_error"]
    assert len(error["attributes"]) == 8
    assert error["composition"] == 0
    assert error["mean"]["low"] <= error["mean"]["value"] <= error["mean"]["high"]
    assert error["mean"]["n"] == 16
    assert "demo/counterfactuals.png" in told["pictures"]
    for path in told["pictures"]:
        with Image.open(path) as image:
            assert image.width > 500
    again = cli(*words)
    assert again.code == 0, again.err
    assert "starting anew" in again.out
    assert "model: demo/run/model" in again.out
    assert cli("info", "demo/run").code == 0


def test_the_demo_refuses_what_it_cannot_use(cli: Cli, here: Path) -> None:
    assert "must be positive" in cli.refused("demo-train", "--minutes", 0)
    (here / "demo/run").mkdir(parents=True)
    assert "is no run of a demo" in cli.refused("demo-train")
    (here / "faces/run").mkdir(parents=True)
    (here / "faces/run/data.json").write_text('{"name": "celeba"}')
    (here / "faces/run/config.json").write_text("{}")
    assert "is no run of a demo" in cli.refused("demo-train", "--out", "faces")


def test_a_mistyped_source_leaves_the_demo_as_it_is(cli: Cli, here: Path) -> None:
    (here / "demo/run").mkdir(parents=True)
    (here / "demo/run/data.json").write_text('{"name": "avatars"}')
    assert "avatras" in cli.refused("demo-train", "--source", "avatras")
    assert (here / "demo/run/data.json").is_file()


# -- the counterfactual error ---------------------------------------------------------------------


class Drawer:
    """An editor that answers with some mixture of the photo and the truth."""

    def __init__(self, data: Any, towards_truth: float) -> None:
        self.share = towards_truth
        self.data = data
        self.rows = {data.images[i].tobytes(): i for i in range(len(data))}

    def __call__(
        self, x: torch.Tensor, attribute: str | None, target: Any, strength: float = 1.0
    ) -> torch.Tensor:
        if attribute is None:
            return x
        pixels = to_uint8(x).permute(0, 2, 3, 1).contiguous().numpy()
        truth = [
            self.data.truth(self.rows[p.tobytes()], {attribute: int(v)})
            for p, v in zip(pixels, target, strict=True)
        ]
        drawn = to_float(torch.from_numpy(np.stack(truth)).permute(0, 3, 1, 2))
        return x + self.share * (drawn - x)


@pytest.mark.parametrize(("towards_truth", "error"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_the_error_is_0_for_the_truth_and_1_for_doing_nothing(
    towards_truth: float, error: float
) -> None:
    data = open_dataset(AVATARS, size=32).split("validation")
    found = counterfactual_error(Drawer(data, towards_truth), data)
    assert found.composition == 0
    for e in (*found.attributes.values(), found.mean):
        assert e.value == pytest.approx(error, abs=0.1 if 0 < error < 1 else 0)
        assert e.low <= e.value <= e.high
        assert 0 < e.n <= len(data)


def test_a_model_is_measured_as_the_editor_that_it_is() -> None:
    data = open_dataset(AVATARS, size=32).split("validation").select(["Hat", "Smile"])
    torch.manual_seed(0)
    model = CDVAEGAN(ModelConfig(data.attributes, 32, z_dim=4, width=4)).eval()
    whole = counterfactual_error(model, data)
    assert whole.composition == 0
    assert whole.to_dict() == counterfactual_error(ModelEditor(model), data).to_dict()
    assert counterfactual_error(model, data, detail=0.0).composition > 0


def test_data_without_truth_or_of_another_size_has_no_error() -> None:
    data = open_dataset(AVATARS, size=32).split("validation")
    with pytest.raises(InputError, match="images of 64 pixels"):
        counterfactual_error(CDVAEGAN(ModelConfig(("Hat",), 64, width=4)), data)
    with pytest.raises(InputError, match="no attribute 'Wings'"):
        counterfactual_error(CDVAEGAN(ModelConfig(("Wings",), 32, width=4)), data)
    with pytest.raises(InputError, match="no true counterfactuals"):
        counterfactual_error(Drawer(data, 1.0), replace(data, draw=None))
    with pytest.raises(InputError, match="are unknown"):
        counterfactual_error(Drawer(data, 1.0), replace(data, labels=data.labels * 0 - 1))
