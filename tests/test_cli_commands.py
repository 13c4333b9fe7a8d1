"""The command line with a trained model: what it writes, what it prints, and how it says no."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan import CDVAEGAN, ModelConfig, __version__
from cdvae_gan.cli.common import parse_duration
from cdvae_gan.errors import InputError
from command_line import Cli

ATTRIBUTES = ("Smiling", "Eyeglasses", "Black_Hair", "Blond_Hair")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(
        attributes=ATTRIBUTES,
        image_size=32,
        width=8,
        z_dim=8,
        exclusive=(("Black_Hair", "Blond_Hair"),),
    )
    return CDVAEGAN(config).eval().save(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (40, 50)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


# -- the program ----------------------------------------------------------------------------------


def test_help_is_there_for_every_command_with_examples_and_without_torch() -> None:
    script = (
        "import sys; from cdvae_gan.cli import main\n"
        "names = 'train counterfactual sample traverse info demo demo-train'.split()\n"
        "for words in [[], ['data', 'check'], ['data', 'clear-cache'], *([n] for n in names)]:\n"
        "    assert main([*words, '--help']) == 0\n"
        "assert main(['--version']) == 0\n"
        "heavy = {'torch', 'lightning', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Examples") == 10
    assert f"cdvae-gan {__version__}" in done.stdout


def test_no_arguments_show_the_help(cli: Cli) -> None:
    assert "counterfactual" in cli().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["data"], "Missing command"),
        (["sample"], "MODEL"),
        (["info", "--nope"], "No such option"),
        (["train", "avatars"], "--out"),
        (["sample", "m", "--out", "x.png", "-n", "many"], "'--number'"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(cli: Cli, words: list[str], said: str) -> None:
    assert said in cli.refused(*words)


def test_tracebacks_are_shown_with_debug_alone(cli: Cli, here: Path) -> None:
    assert "Traceback" not in cli("info", "nowhere").err
    shown = cli("info", "nowhere", "--debug")
    assert shown.code == 2
    assert "Traceback" in shown.err


def test_errors_of_the_program_and_ctrl_c_have_exit_codes_of_their_own(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    def fail(error: BaseException) -> None:
        def load(*args: object, **options: object) -> None:
            raise error

        monkeypatch.setattr("cdvae_gan.model.load", load)

    fail(KeyboardInterrupt())
    assert cli("info", "m") == (130, "", "cdvae-gan: interrupted\n")
    fail(ZeroDivisionError("a bug"))
    assert cli("info", "m") == (
        1,
        "",
        "cdvae-gan: ZeroDivisionError: a bug (--debug shows where)\n",
    )
    fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file"))
    assert cli("info", "m") == (2, "", "cdvae-gan: No space left on device: /some/file\n")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("1h30m", 5400), ("3600s", 3600), ("45", 45), ("1.5h", 5400), ("2m 5s", 125)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "m", "-5m", "1d", "5x", "30m1h", "00:10"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a time"):
        parse_duration(text)


# -- counterfactual -------------------------------------------------------------------------------


def test_one_png_an_input_at_the_size_of_the_model(cli: Cli, model: Path, here: Path) -> None:
    picture(here / "in/a.png")
    picture(here / "in/deep/b.jpg", 1)
    before = (here / "in/a.png").read_bytes()
    result = cli("counterfactual", model, "in", "--do", "Smiling=1", "--out", "out/new")
    assert result.code == 0, result.err
    assert sorted(p.name for p in (here / "out/new").iterdir()) == ["a.png", "b.png"]
    assert size_of(here / "out/new/a.png") == (32, 32)
    assert (here / "in/a.png").read_bytes() == before
    assert "2 pictures in out/new" in result.out


def test_files_folders_and_globs_are_inputs_and_equal_stems_get_names_of_their_own(
    cli: Cli, model: Path, here: Path
) -> None:
    for i, name in enumerate(["a/x.png", "a/x.jpg", "b/X.png", "b/x-2.png", "c/y.png"]):
        picture(here / name, i)
    cli("counterfactual", model, "a/x.png", "a", "b/*.png", "--do", "Smiling=1", "--out", "o")
    assert sorted(p.name for p in (here / "o").iterdir()) == [
        "X-3.png",
        "x-2-2.png",
        "x-2.png",
        "x.png",
    ]


def test_json_tells_before_asked_after_and_what_gave_way(cli: Cli, model: Path, here: Path) -> None:
    for i in range(3):
        picture(here / f"in/{i}.png", i)
    result = cli(
        "counterfactual", model, "in", "--do", "Blond_Hair=1", "--do", "Smiling=flip",
        "--strength", "0.5", "--detail", "0.25", "--out", "o", "--json",
    )  # fmt: skip
    assert [o["input"] for o in result.objects] == ["in/0.png", "in/1.png", "in/2.png"]
    for one in result.objects:
        assert Path(one["output"]).is_file()
        assert one["do"] == {"Blond_Hair": 1.0, "Smiling": "flip"}
        assert (one["strength"], one["detail"]) == (0.5, 0.25)
        assert set(one["before"]) == set(one["asked"]) == set(one["after"]) == set(ATTRIBUTES)
        assert one["asked"]["Smiling"] == 0.5
        sure = ModelConfig.certainty  # else Blond_Hair is put on, though it may be there
        gave_way = one["before"]["Black_Hair"] > 0.5 and one["before"]["Blond_Hair"] <= sure
        assert one["resolved"] == (["Black_Hair gives way to Blond_Hair"] if gave_way else [])
    assert any(one["resolved"] for one in result.objects), "the fixture should have one"


def test_what_is_printed_and_written_is_what_the_library_says(
    cli: Cli, model: Path, here: Path
) -> None:
    picture(here / "a.png")
    [one] = cli(
        "counterfactual", model, "a.png", "--do", "Smiling=1", "--out", "o", "--json"
    ).objects
    expected = CDVAEGAN.from_pretrained(model).counterfactual("a.png", {"Smiling": 1})
    assert np.array_equal(np.asarray(Image.open(here / "o/a.png")), np.asarray(expected.pil()[0]))
    assert one["after"]["Smiling"] == pytest.approx(float(expected.after[0, 0]), abs=1e-4)


def test_together_is_one_intervention_each_is_several_and_every_flips_all(
    cli: Cli, model: Path, here: Path
) -> None:
    picture(here / "a.png")
    do = ("--do", "Smiling=1", "--do", "Eyeglasses=flip")

    def asked(*options: str) -> list[dict[str, Any]]:
        return [o["do"] for o in cli("counterfactual", model, "a.png", *options, "--json").objects]

    assert asked(*do) == [{"Smiling": 1.0, "Eyeglasses": "flip"}]
    assert asked(*do, "--each") == [{"Smiling": 1.0}, {"Eyeglasses": "flip"}]
    assert asked("--every") == [{name: "flip"} for name in ATTRIBUTES]
    cli("counterfactual", model, "a.png", *do, "--each", "--out", "o")
    names = sorted(p.name for p in (here / "o").iterdir())
    assert names == ["a-Eyeglasses-flip.png", "a-Smiling-1.png"]


def test_the_figure_shows_the_first_rows_and_says_so(cli: Cli, model: Path, here: Path) -> None:
    for i in range(5):
        picture(here / f"in/{i}.png", i)
    words = ("counterfactual", model, "in", "--every")
    assert "figure: all.png\n" in cli(*words, "--grid", "all.png").out
    some = cli(*words, "--grid", "some.png", "--rows", "2").out
    assert "some.png, of the first 2 of 5 images (--rows for more)" in some
    (width, height), (same, less) = size_of(here / "all.png"), size_of(here / "some.png")
    assert width == same > 5 * 128
    assert height > less > 2 * 128


def test_a_folder_larger_than_a_batch_is_worked_through_in_batches(
    cli: Cli, model: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(7):
        picture(here / f"in/{i}.png", i)
    words = ("counterfactual", model, "in", "--do", "Smiling=flip", "--json")
    whole = cli(*words).objects
    sizes = []
    real = CDVAEGAN.counterfactual

    def spy(self: CDVAEGAN, images: torch.Tensor, *args: Any, **options: Any) -> Any:
        sizes.append(len(images))
        return real(self, images, *args, **options)

    monkeypatch.setattr(CDVAEGAN, "counterfactual", spy)
    monkeypatch.setattr("cdvae_gan.cli.counterfactual._BATCH", 3)
    parts = cli(*words).objects
    assert sizes == [3, 3, 1]
    assert [p["input"] for p in parts] == [w["input"] for w in whole]


def test_an_input_is_never_overwritten(cli: Cli, model: Path, here: Path) -> None:
    photo = picture(here / "in/a.png")
    before = photo.read_bytes()
    (here / "link").symlink_to(here / "in")
    os.link(photo, here / "twin.png")
    words = ("counterfactual", model, "in/a.png", "--do", "Smiling=1", "--overwrite")
    for where in ("in", "link", here / "in/../in"):
        assert "is an input and will not be overwritten" in cli.refused(*words, "--out", where)
    assert "is an input" in cli.refused(*words, "--grid", "twin.png")
    assert "is an input" in cli.refused("traverse", model, photo, "--out", photo, "--overwrite")
    assert photo.read_bytes() == before


def test_other_files_are_overwritten_when_asked_alone(cli: Cli, model: Path, here: Path) -> None:
    picture(here / "in/a.png")
    picture(here / "in/b.png")
    other = picture(here / "o/b.png", size=(3, 3))
    words = ("counterfactual", model, "in", "--do", "Smiling=1", "--out", "o")
    assert "o/b.png exists" in cli.refused(*words)
    assert size_of(other) == (3, 3)
    assert not (here / "o/a.png").exists(), "refused before anything is written"
    assert cli(*words, "--overwrite").code == 0
    assert size_of(other) == (32, 32)


def test_a_write_that_fails_leaves_nothing_half_written(
    cli: Cli, model: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(here / "a.png")
    old = picture(here / "o/a.png", size=(3, 3))

    def full(self: Image.Image, path: Path, **options: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    words = ("counterfactual", model, "a.png", "--do", "Smiling=1", "--out", "o", "--overwrite")
    assert "cannot write o/a.png: No space left on device" in cli.refused(*words)
    assert [p.name for p in (here / "o").iterdir()] == ["a.png"]
    assert size_of(old) == (3, 3)


def test_images_that_cannot_be_read_stop_it_or_are_left_out_by_name(
    cli: Cli, model: Path, here: Path
) -> None:
    picture(here / "in/a.png")
    (here / "in/bad.png").write_text("not a picture")
    words = ("counterfactual", model, "in", "--do", "Smiling=1", "--out", "o")
    assert "in/bad.png; --skip-bad" in cli.refused(*words)
    result = cli(*words, "--skip-bad")
    assert result.code == 0
    assert "left out: not an image that can be read" in result.err
    assert "1 picture in o; 1 image left out" in result.out
    (here / "in/a.png").unlink()
    alone = cli(*words, "--skip-bad", "--overwrite")
    assert alone.code == 2
    assert "none of the 1 images can be read" in alone.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--do", "Smilng=1"], "no attribute 'Smilng': did you mean 'Smiling'?"),
        (["--do", "Smiling"], "write Name=1, Name=0 or Name=flip"),
        (["--do", "Smiling=2"], "Smiling must be a number in [0, 1]"),
        (["--do", "Smiling=1", "--do", "Smiling=0"], "set twice"),
        (["--each", "--do", "Smiling=1", "--do", "Smiling=1"], "given twice"),
        (["--do", "Blond_Hair=1", "--do", "Black_Hair=1"], "exclude each other"),
        ([], "nothing to do: add --do"),
        (["--do", "Smiling=1", "--strength", "1.5"], "--strength must lie in [0, 1]"),
        (["--do", "Smiling=1", "--detail", "-1"], "--detail must lie in [0, 1]"),
        (["--do", "Smiling=1", "--out", "a.png"], "a.png is a file: --out is a folder"),
        (["--do", "Smiling=1", "--out", "a.png/o"], "cannot make the folder a.png/o"),
        (["--do", "Smiling=1", "--grid", "g.gif"], "cannot write a picture as '.gif'"),
        (["--do", "Smiling=1", "--grid", "o/a.png"], "also the name of a picture in --out"),
        (["--do", "Smiling=1", "--device", "abacus"], "no device 'abacus'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    cli: Cli, model: Path, here: Path, options: list[str], said: str
) -> None:
    picture(here / "a.png")
    out = [] if "--out" in options else ["--out", "o"]
    assert said in cli.refused("counterfactual", model, "a.png", *out, *options)


def test_inputs_and_models_that_are_not_there_are_named(cli: Cli, model: Path, here: Path) -> None:
    picture(here / "a.png")
    (here / "empty").mkdir()
    tail = ("--do", "Smiling=1", "--out", "o")
    assert "say where to write" in cli.refused("counterfactual", model, "a.png", *tail[:2])
    assert "no such file or folder: b.png" in cli.refused("counterfactual", model, "b.png", *tail)
    assert "no images in empty" in cli.refused("counterfactual", model, "empty", *tail)
    assert "no image matches *.jpg" in cli.refused("counterfactual", model, "*.jpg", *tail)
    assert "no model 'nowhere'" in cli.refused("counterfactual", "nowhere", "a.png", *tail)
    assert "holds no model" in cli.refused("counterfactual", "empty", "a.png", *tail)


def test_a_model_whose_weights_are_of_another_size_is_refused(
    cli: Cli, model: Path, here: Path
) -> None:
    other = here / "other"
    other.mkdir()
    config = json.loads((model / "config.json").read_text()) | {"image_size": 64}
    (other / "config.json").write_text(json.dumps(config))
    (other / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    assert "does not fit its config.json" in cli.refused("info", other)


# -- sample ---------------------------------------------------------------------------------------


def test_samples_fill_one_sheet_or_a_folder_and_follow_the_seed(
    cli: Cli, model: Path, here: Path
) -> None:
    assert cli("sample", model, "-n", 3, "--out", "s.png").code == 0
    assert size_of(here / "s.png")[0] > 3 * 128
    first, again, other = (
        cli("sample", model, "-n", 3, "--seed", seed, "--out", out, "--json").objects
        for seed, out in ((1, "x"), (1, "y"), (2, "z"))
    )
    assert [Path(o["output"]).name for o in first] == [f"sample-{i:05d}.png" for i in range(3)]
    assert [o["attributes"] for o in first] == [o["attributes"] for o in again]
    same = [(here / d / "sample-00001.png").read_bytes() for d in "xyz"]
    assert same[0] == same[1] != same[2]
    assert len(other) == 3


def test_samples_have_the_attributes_that_are_asked(cli: Cli, model: Path, here: Path) -> None:
    words = ("sample", model, "-n", 8, "--do", "Smiling=1", "--do", "Eyeglasses=0", "--out", "s")
    found = [o["attributes"] for o in cli(*words, "--json").objects]
    assert {a["Smiling"] for a in found} == {1.0}
    assert {a["Eyeglasses"] for a in found} == {0.0}


def test_samples_are_refused_where_they_have_no_room(cli: Cli, model: Path, here: Path) -> None:
    assert "give --out a folder" in cli.refused("sample", model, "-n", 1000, "--out", "s.png")
    assert "no attribute 'Smile'" in cli.refused("sample", model, "--do", "Smile=1", "--out", "s")
    cli("sample", model, "-n", 1, "--out", "s.png")
    assert "s.png exists" in cli.refused("sample", model, "-n", 1, "--out", "s.png")


# -- traverse -------------------------------------------------------------------------------------


def test_a_traversal_goes_along_attributes_from_0_to_1(cli: Cli, model: Path, here: Path) -> None:
    picture(here / "a.png")
    words = ("traverse", model, "a.png", "--steps", 5, "--json")
    [all_of_them] = cli(*words, "--out", "all.png").objects
    assert [r["attribute"] for r in all_of_them["rows"]] == list(ATTRIBUTES)
    assert all_of_them["values"] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert all(len(r["read"]) == 5 for r in all_of_them["rows"])
    cli(*words, "-a", "Smiling", "--out", "one.png")
    assert size_of(here / "all.png")[1] > size_of(here / "one.png")[1]


def test_a_traversal_goes_along_z_from_minus_3_to_3(cli: Cli, model: Path, here: Path) -> None:
    picture(here / "a.png")
    words = ("traverse", model, "a.png", "--steps", 3, "--json")
    [some] = cli(*words, "--z", "0,5-6", "--out", "z.png").objects
    assert some["values"] == [-3.0, 0.0, 3.0]
    assert [r.split()[0] for r in some["rows"]] == ["z0", "z5", "z6"]
    [most] = cli(*words, "--z", "most", "--out", "m.png").objects
    assert sorted(r.split()[0] for r in most["rows"]) == [f"z{i}" for i in range(8)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-a", "Smilng"], "did you mean 'Smiling'?"),
        (["--z", "8"], "z has dimensions 0 to 7, not 8"),
        (["--z", "a"], "--z is a list such as 0,3,10-14"),
        (["--z", "0", "-a", "Smiling"], "not both"),
        (["--steps", "1"], "--steps"),
    ],
)
def test_traversals_that_cannot_be_are_refused(
    cli: Cli, model: Path, here: Path, options: list[str], said: str
) -> None:
    picture(here / "a.png")
    assert said in cli.refused("traverse", model, "a.png", "--out", "t.png", *options)


# -- info -----------------------------------------------------------------------------------------


def test_info_tells_what_a_model_is(cli: Cli, model: Path) -> None:
    text = cli("info", model)
    assert text.err == ""
    for part in (*ATTRIBUTES, "32 × 32", "z of 8"):
        assert part in text.out
    [told] = cli("info", model, "--json").objects
    network = CDVAEGAN.from_pretrained(model)
    assert told["attributes"] == list(ATTRIBUTES)
    assert told["image_size"] == 32
    assert told["exclusive"] == [["Black_Hair", "Blond_Hair"]]
    assert set(told["parameters"]) == {"encoder", "decoder", "total"}, "what there is, by name"
    assert told["parameters"]["total"] == sum(p.numel() for p in network.parameters())
    assert ModelConfig.from_json(json.dumps(told["config"])) == network.config


def test_the_package_can_be_run_as_a_module() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "cdvae_gan", "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout == f"cdvae-gan {__version__}\n"


def test_commands_that_fail_leave_no_empty_folder(cli: Cli, model: Path, here: Path) -> None:
    picture(here / "photos" / "a.png")
    ask = ("audit", "--images", "photos", "--model", str(model), "--out", "report")
    (here / "broken.py").write_text("def f(x:\n")
    for classifier in ("broken.py:f", "none.onnx"):
        assert classifier.split(":")[0] in cli.refused(*ask, "--classifier", classifier)
        assert not (here / "report").exists()
    (here / "bad.png").write_bytes(b"no picture")
    cli.refused("counterfactual", model, "bad.png", "--every", "--out", "out")
    assert not (here / "out").exists()


def test_what_cannot_be_read_is_left_out_where_that_is_asked(
    cli: Cli, model: Path, here: Path
) -> None:
    for i in range(3):
        picture(here / "photos" / f"{i}.png", seed=i)
    (here / "photos" / "bad.png").write_bytes(b"no picture")
    (here / "mine.py").write_text("def f(x):\n    return x.mean((1, 2, 3))\n")
    ask = ("audit", "--images", "photos", "--model", str(model), "--classifier", "mine.py:f")
    assert "--skip-bad" in cli.refused(*ask, "--out", "report")
    assert cli(*ask, "--out", "report", "--skip-bad").code == 0
    assert json.loads((here / "report" / "report.json").read_text())["settings"]["images"] == 3


def test_a_placebo_is_another_attribute(cli: Cli, model: Path, here: Path) -> None:
    picture(here / "photos" / "a.png")
    (here / "mine.py").write_text("def f(x):\n    return x.mean((1, 2, 3))\n")
    ask = ("audit", "--images", "photos", "--model", str(model), "--classifier", "mine.py:f")
    own = ("--intervene", "Smiling", "--placebo", "Smiling")
    assert "cannot be its own placebo" in cli.refused(*ask, "--out", "r", *own)


def test_the_shipped_judges_are_listed(cli: Cli) -> None:
    assert "celeba-cnn" in cli("judge", "list").out
    assert cli("judge", "list", "--json").objects[0]["celeba-svm"]["family"] == "svm"


def test_calibration_says_which_labels_are_lacking(cli: Cli, model: Path, here: Path) -> None:
    said = cli.refused("calibrate", model, "avatars:n=20", "--out", "new")
    assert "no labels of Smiling, Eyeglasses" in said
    assert not (here / "new").exists()


def test_hours_of_work_do_not_begin_with_a_folder_that_is_not_there(cli: Cli, here: Path) -> None:
    assert "nowhere" in cli.refused("reproduce", "nowhere", "--out", "work")
    assert not (here / "work").exists()
