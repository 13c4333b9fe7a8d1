"""Balancing a data set: what is lacking, what judges let pass, and runs that were broken."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import cdvae_gan
from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.balancing import Augmented, augment, make_plan, write
from cdvae_gan.balancing.journal import Chunk, Journal, Made
from cdvae_gan.data.dataset import AttributeDataset, ImageRows
from cdvae_gan.evaluation.judges import Card, Judge, Quality
from cdvae_gan.torch import CounterfactualAugment
from command_line import Cli

NAMES = ("Top", "Bottom", "Left")
BRIGHT, DARK = 200, 60


def halves(n: int, labels: np.ndarray | None = None) -> AttributeDataset:
    """The upper half is bright where Top is 1, the lower where Bottom is; Left is not drawn.

    Top mostly goes with Bottom, and one image in ten is for validation.
    """
    generator = np.random.default_rng(0)
    if labels is None:
        top = generator.integers(0, 2, n)
        bottom = np.where(generator.random(n) < 0.9, top, 1 - top)
        labels = np.stack([top, bottom, generator.integers(0, 2, n)], 1)
    pixels = np.full((n, 32, 32, 3), DARK, dtype=np.uint8)
    pixels[labels[:, 0] == 1, :16] = BRIGHT
    pixels[labels[:, 1] == 1, 16:] = BRIGHT
    pixels[:, 0, 0, 0] = np.arange(n)  # no two alike
    return AttributeDataset(
        "halves",
        NAMES,
        ImageRows(pixels, np.arange(n)),
        labels.astype(np.int8),
        np.where(np.arange(n) % 10 == 9, "validation", "train"),
        tuple(f"{i}.png" for i in range(n)),
        content="halves",
    )


class Painter:
    """An editor that fails on every fifth image."""

    attributes = NAMES

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1
    ) -> Tensor:
        assert attribute is not None
        assert target is not None
        self.calls += 1
        x = x.clone()
        rows = slice(0, 16) if attribute == "Top" else slice(16, 32)
        numbers = ((x[:, 0, 0, 0] + 1) * 127.5).round()
        goal = torch.where(target > 0, BRIGHT, DARK) / 127.5 - 1
        fails = numbers % 5 == 0
        corner = x[:, 0, 0, 0].clone()
        x[~fails, :, rows] = goal[~fails, None, None, None].expand(-1, 3, 16, 32)
        x[:, 0, 0, 0] = corner
        return x


def brightness(images: Tensor) -> Tensor:
    x = images.float() / 127.5 - 1
    return 20 * torch.stack([x[:, :, :16].mean((1, 2, 3)), x[:, :, 16:].mean((1, 2, 3))], dim=1)


JUDGE = Judge(Card("eye", "test", ("Top", "Bottom")), brightness)


@pytest.fixture
def dataset() -> AttributeDataset:
    return halves(200)


def balanced(dataset: AttributeDataset, out: Path, **options: Any) -> Augmented:
    defaults: dict[str, Any] = {"target": "Top", "balance_over": "Bottom", "judges": [JUDGE]}
    return augment(dataset, out, **{**defaults, "model": Painter(), **options})


def rows_of(folder: Path, split: str = "train") -> list[dict[str, str]]:
    with (folder / split / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# -- the plan -------------------------------------------------------------------------------------


def test_every_group_is_brought_to_the_size_of_the_largest(dataset: AttributeDataset) -> None:
    train = dataset.split("train")
    plan = make_plan(train, "Top", ["Bottom"])
    assert [plan.label(c) for c in plan.cells][1] == "Top=0, Bottom=1"
    for value in (0, 1):
        assert len({c.have + c.wanted for c in plan.cells if c.target == value}) == 1
    assert sum(c.have for c in plan.cells) == len(train)
    for cell in plan.cells:
        for row in cell.rows:  # one attribute away, and it is the target
            assert tuple(train.labels[row, :2]) == (1 - cell.target, *cell.group)
        assert len(set(cell.rows.tolist())) == len(cell.rows)


@pytest.mark.parametrize(("edit", "away"), [("group", {1}), ("both", {0, 1})])
def test_groups_can_be_edited_instead(edit: Any, away: set[int], dataset: AttributeDataset) -> None:
    train = dataset.split("train")
    for cell in make_plan(train, "Top", ["Bottom"], edit).cells:
        assert set(cell.sets.tolist()) <= away
        for row, k in zip(cell.rows, cell.sets, strict=True):
            there = train.labels[row, :2].copy()
            there[k] = 1 - there[k]
            assert tuple(there) == cell.values


def test_several_groups_are_crossed_and_unknown_labels_left_alone() -> None:
    labels = np.random.default_rng(1).integers(0, 2, (100, 3))
    labels[:30, 1] = -1
    data = halves(100, labels)
    plan = make_plan(data, "Top", ["Bottom", "Left"])
    assert len(plan.cells) == 8
    assert sum(c.have for c in plan.cells) == 70


@pytest.mark.parametrize(
    ("target", "over", "edit", "message"),
    [
        ("Topp", ["Bottom"], "target", "did you mean 'Top'"),
        ("Top", ["Top"], "target", "given twice"),
        ("Top", [], "target", "balance over what"),
        ("Top", ["Bottom"], "targt", "did you mean 'target'"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    target: str, over: list[str], edit: Any, message: str, dataset: AttributeDataset
) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(dataset, target, over, edit)


def test_a_target_with_one_value_cannot_be_balanced() -> None:
    data = halves(20, np.ones((20, 3)))
    with pytest.raises(InputError, match="Top has one value alone"):
        make_plan(data, "Top", ["Bottom"])


# -- what is written ------------------------------------------------------------------------------


def test_the_target_no_longer_goes_with_the_group(
    dataset: AttributeDataset, tmp_path: Path
) -> None:
    found = balanced(dataset, tmp_path / "new")
    read = cdvae_gan.open_dataset(tmp_path / "new", size=32, cache_dir=tmp_path / "cache")
    assert read.attributes == NAMES  # where an image comes from is no attribute
    train = read.split("train")
    counts = Counter(map(tuple, train.labels[:, :2].tolist()))
    assert counts == {
        tuple(int(part[-1]) for part in cell.name.split(", ")): cell.had + cell.added
        for cell in found.cells
    }
    assert len(train) == 180 + found.added
    assert len(read.split("validation")) == found.originals - 180 == 20
    # What is on the pictures is what the table says: the judge's work.
    assert torch.equal(
        JUDGE.read(train.batch(range(len(train))).images),
        torch.from_numpy(train.labels[:, :2] == 1),
    )


def test_what_the_judge_refuses_is_counted_and_not_written(
    dataset: AttributeDataset, tmp_path: Path
) -> None:
    found = balanced(dataset, tmp_path / "new")
    refused = sum(sum(c.refused.values()) for c in found.cells)
    assert refused > 0
    assert {why for c in found.cells for why in c.refused} == {"eye: Top"}
    made = list((tmp_path / "new" / "train" / "counterfactuals").iterdir())
    assert len(made) == found.added
    assert all(int(p.name.split("-")[1].removesuffix(".png")) % 5 for p in made)
    unfiltered = balanced(dataset, tmp_path / "all", judges=(), unfiltered=True)
    assert not any(c.refused for c in unfiltered.cells)


def test_every_image_says_where_it_comes_from(dataset: AttributeDataset, tmp_path: Path) -> None:
    balanced(dataset, tmp_path / "new", strength=1.0)
    rows = rows_of(tmp_path / "new")
    assert len([r for r in rows if r["counterfactual_do"] == "nothing"]) == 180
    assert len(rows_of(tmp_path / "new", "validation")) == 20
    for row in rows:
        assert (tmp_path / "new" / "train" / row["file_name"]).is_file()
        if row["counterfactual_do"] != "nothing":
            i = dataset.files.index(row["counterfactual_of"])
            assert row["counterfactual_do"] == f"Top={row['Top']}"
            assert row["counterfactual_strength"] == "1.0"
            assert 0.5 < float(row["counterfactual_confidence"]) <= 1
            assert int(row["Top"]) == 1 - dataset.labels[i, 0]
            assert [int(row[n]) for n in NAMES[1:]] == dataset.labels[i, 1:].tolist()


@pytest.mark.slow
def test_hugging_face_reads_it(
    dataset: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    found = balanced(dataset, tmp_path / "new")
    read = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "new"), cache_dir=str(tmp_path / "cache")
    )
    assert {name: len(part) for name, part in read.items()} == {
        "train": 180 + found.added,
        "validation": 20,
    }
    assert {"Top", "Bottom", "Left", "counterfactual_of"} <= set(read["train"].column_names)


def test_a_judge_can_be_asked_to_be_sure(dataset: AttributeDataset, tmp_path: Path) -> None:
    lenient = balanced(dataset, tmp_path / "a")
    strict = balanced(dataset, tmp_path / "b", confidence=0.99999)
    assert strict.added < lenient.added
    confident = [float(r["counterfactual_confidence"]) for r in rows_of(tmp_path / "b")[180:]]
    assert all(c >= 0.9999 for c in confident)


def test_attributes_that_exclude_the_new_one_are_switched_off(tmp_path: Path) -> None:
    data = replace(halves(200), exclusive=(("Top", "Left"),))
    balanced(data, tmp_path / "new")
    made = [r for r in rows_of(tmp_path / "new") if r["counterfactual_do"] != "nothing"]
    assert made
    for row in made:
        if row["Top"] == "1":
            assert row["Left"] == "0"
        else:
            i = data.files.index(row["counterfactual_of"])
            assert int(row["Left"]) == data.labels[i, 2]


def test_which_alternative_takes_the_place_is_not_known(tmp_path: Path) -> None:
    data = replace(halves(200), alternatives=(("Top", "Left"),))
    balanced(data, tmp_path / "new")
    made = [r for r in rows_of(tmp_path / "new") if r["counterfactual_do"] == "Top=0"]
    assert made
    for row in made:
        i = data.files.index(row["counterfactual_of"])
        assert row["Left"] == ("1" if data.labels[i, 2] == 1 else "")


def test_the_labels_of_what_goes_along_are_changed(tmp_path: Path) -> None:
    data = replace(halves(200), companions=(("Top", "Left=0"),))
    balanced(data, tmp_path / "new")
    made = [r for r in rows_of(tmp_path / "new") if r["counterfactual_do"] == "Top=0"]
    assert made
    for row in made:  # whether this editor does so is not known
        i = data.files.index(row["counterfactual_of"])
        assert row["Left"] == ("" if data.labels[i, 2] == 1 else str(data.labels[i, 2]))
    assert cdvae_gan.open_dataset(tmp_path / "new", size=32).companions == (("Top", "Left=0"),)


def test_an_edit_that_leads_elsewhere_by_a_rule_fills_no_group(tmp_path: Path) -> None:
    data = replace(halves(200), companions=(("Top", "Bottom=0"),))
    found = balanced(data, tmp_path / "new")
    made = [r for r in rows_of(tmp_path / "new") if r["counterfactual_do"] != "nothing"]
    assert not [r for r in made if r["Top"] == "0" and r["Bottom"] != "0"]
    (cell,) = [c for c in found.cells if c.name == "Top=0, Bottom=1"]
    assert (cell.added, cell.refused) == (0, {"leads elsewhere, by a rule": cell.tried})
    assert cell.tried > 0


# -- broken runs ----------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 3])
def test_a_broken_run_goes_on_and_ends_with_the_same_files(
    after: int, dataset: AttributeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_CHUNK", 8)
    balanced(dataset, tmp_path / "whole")

    class Breaking(Painter):
        def __call__(self, *args: Any) -> Tensor:
            if self.calls == after:
                raise Killed
            return super().__call__(*args)

    with pytest.raises(Killed):
        balanced(dataset, tmp_path / "broken", model=Breaking())
    assert not (tmp_path / "broken" / "train" / "metadata.csv").exists()
    with (tmp_path / "broken" / "journal.jsonl").open("a") as journal:
        journal.write('{"cell": 1, "tri')  # cut off in the middle of a line
    balanced(dataset, tmp_path / "broken")
    whole, mended = files_of(tmp_path / "whole"), files_of(tmp_path / "broken")
    for files in (whole, mended):
        state = json.loads(files.pop("augment.json"))
        del state["result"]["folder"]
        files["state"] = json.dumps(state).encode()
    assert whole == mended


def test_a_finished_run_is_left_as_it_is(dataset: AttributeDataset, tmp_path: Path) -> None:
    first = balanced(dataset, tmp_path / "new")
    before = files_of(tmp_path / "new")
    idle = Painter()
    again = balanced(dataset, tmp_path / "new", model=idle)
    assert again == first
    assert idle.calls == 0
    assert files_of(tmp_path / "new") == before


def test_another_augmentation_is_not_mixed_in(dataset: AttributeDataset, tmp_path: Path) -> None:
    balanced(dataset, tmp_path / "new")
    with pytest.raises(InputError, match="holds an augmentation with other settings"):
        balanced(dataset, tmp_path / "new", seed=1)
    (tmp_path / "new" / "mine.txt").write_text("keep")
    balanced(dataset, tmp_path / "new", seed=1, overwrite=True)
    assert (tmp_path / "new" / "mine.txt").read_text() == "keep"
    ruled = replace(dataset, exclusive=(("Top", "Left"),))
    balanced(ruled, tmp_path / "new", overwrite=True)
    balanced(dataset, tmp_path / "new", overwrite=True)
    assert cdvae_gan.open_dataset(tmp_path / "new", size=32).exclusive == ()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("mine")
    with pytest.raises(InputError, match="is no augmentation"):
        balanced(dataset, tmp_path / "other", overwrite=True)


def test_a_journal_is_whole_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    chunks = [Chunk(0, 64, (Made("a" * 3000, 1, "Ä", 1, None),), {}), Chunk(1, 3, (), {"x: y": 3})]
    for chunk in chunks:
        journal.add(chunk)
    with journal.path.open("a") as file:
        file.write("x" * 5000)
    assert list(Journal(journal.path)) == chunks
    (tmp_path / "k.jsonl").write_text("no line ever ended")
    assert list(Journal(tmp_path / "k.jsonl")) == []


# -- wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"judges": ()}, "no judge to filter by"),
        ({"strength": 0}, "strength must lie in"),
        ({"originals": "move"}, "no way with originals 'move'"),
        ({"confidence": 1.0}, "confidence must lie in"),
        ({"judges": [JUDGE.select(["Bottom"])]}, "no attribute of judge eye 'Top'"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    options: dict[str, Any], message: str, dataset: AttributeDataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        balanced(dataset, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_judge_that_reads_badly_is_no_filter(dataset: AttributeDataset, tmp_path: Path) -> None:
    quality = (Quality(0.6, 0.5, 0.7, 100, 50), Quality(0.95, 0.9, 0.99, 100, 50))
    judge = Judge(Card("blind", "test", ("Top", "Bottom"), quality=quality), brightness)
    with pytest.raises(InputError, match="reads Top too badly"):
        balanced(dataset, tmp_path / "new", judges=[judge])


# -- as a command, with files ---------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same images as files with a table, and a model that edits them somehow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(tmp_path / "cache"))
    data = halves(60)
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    lines = ["file_name,split,Top,Bottom,Left"]
    for i in range(60):
        name = f"sub/{i}.png"
        Image.fromarray(data.images[i]).save(tmp_path / "photos" / name)
        lines.append(f"{name},{data.splits[i]},{','.join(map(str, data.labels[i]))}")
    (tmp_path / "photos" / "metadata.csv").write_text("\n".join(lines) + "\n")
    torch.manual_seed(0)
    CDVAEGAN(ModelConfig(NAMES, 32, width=8, z_dim=8)).eval().save(tmp_path / "model")
    return tmp_path / "photos"


def test_a_folder_is_balanced_by_command(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli(capsys)
    words = ["augment", "photos", "--target", "Top", "--balance-over", "Bottom", "--unfiltered"]
    words += ["--model", "model", "--out"]
    done = cli(*words, "new", "--json")
    assert done.code == 0, done.err
    (found,) = done.objects
    assert found["added"] > 0
    linked = Path("new/train/originals/sub/0.png")
    assert linked.is_symlink()
    assert linked.resolve() == (photos / "sub/0.png").resolve()
    assert cli(*words, "copies", "--originals", "copy").code == 0
    copied = Path("copies/train/originals/sub/0.png")
    assert not copied.is_symlink()
    assert copied.read_bytes() == (photos / "sub/0.png").read_bytes()
    assert cli(*words, "alone", "--originals", "none").code == 0
    assert not Path("alone/train/originals").exists()
    assert len(rows_of(Path("alone"))) == found["added"]
    assert "lies in the source" in cli.refused(*words, "photos/new")
    assert "no judge to filter by" in cli.refused(*(w for w in words if w != "--unfiltered"), "x")
    assert "did you mean 'Bottom'" in cli.refused(
        *(w if w != "Bottom" else "Botom" for w in words), "x"
    )
    assert not Path("x").exists()


def test_other_weights_at_the_same_path_make_another_augmentation(photos: Path) -> None:
    def made(**options: bool) -> dict[str, bytes]:
        augment(
            photos, "new", target="Top", balance_over="Bottom", model="model", unfiltered=True,
            **options,
        )  # fmt: skip
        return files_of(Path("new", "train", "counterfactuals"))

    first = made()
    assert made() == first
    CDVAEGAN(ModelConfig(NAMES, 32, width=8, z_dim=8)).eval().save("model")
    with pytest.raises(InputError, match="holds an augmentation with other settings"):
        made()
    second = made(overwrite=True)
    assert second.keys() == first.keys()
    assert second != first


def test_drawn_pictures_are_written_and_their_truth_is_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(tmp_path / "cache"))
    source = "avatars:n=40,seed=2,validation=0.2,confound=Glasses+Hat:0.9"
    found = augment(
        source, tmp_path / "new", target="Hat", balance_over="Glasses", model="truth",
        unfiltered=True,
    )  # fmt: skip
    assert found.added
    data = cdvae_gan.open_dataset(source, size=64)
    assert data.truth is not None
    for row in rows_of(tmp_path / "new")[32:]:
        i = data.files.index(row["counterfactual_of"])
        with Image.open(tmp_path / "new" / "train" / row["file_name"]) as image:
            assert np.array_equal(np.asarray(image), data.truth(i, {"Hat": int(row["Hat"])}))


# -- on the fly -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> CDVAEGAN:
    torch.manual_seed(0)
    config = ModelConfig(NAMES, 32, width=8, z_dim=8, exclusive=(("Top", "Left"),))
    return CDVAEGAN(config).eval()


def batch(n: int = 64) -> tuple[Tensor, Tensor]:
    images, labels = halves(n).batch(range(n))
    return images.float() / 127.5 - 1, labels


def test_some_images_are_flipped_with_their_labels_and_the_others_are_left(
    network: CDVAEGAN,
) -> None:
    x, y = batch()
    step = CounterfactualAugment(network, NAMES, "Top", 0.5, seed=1)
    images, labels = step(x, y)
    flipped = labels[:, 0] != y[:, 0]
    assert 16 < int(flipped.sum()) < 48
    assert torch.equal(images[~flipped], x[~flipped])
    one = int(torch.nonzero(flipped)[0, 0])
    expected = network.counterfactual(x[one : one + 1], {"Top": int(labels[one, 0])}).images[0]
    torch.testing.assert_close(images[one], expected, atol=1e-5, rtol=1e-4)
    on = flipped & (labels[:, 0] == 1)
    assert (labels[on, 2] == 0).all()  # Left gives way to Top
    assert torch.equal(labels[~on, 1:], y[~on, 1:])
    assert torch.equal(x, batch()[0])  # the input is not touched
    again = CounterfactualAugment(network, NAMES, "Top", 0.5, seed=1)
    assert torch.equal(again(x, y)[1], labels)
    assert not torch.equal(again(x, y)[1], labels)  # the next batch draws anew


def test_a_label_that_an_alternative_may_have_changed_is_unknown() -> None:
    torch.manual_seed(0)
    config = ModelConfig(NAMES, 32, width=8, z_dim=8, alternatives=(("Top", "Left"),))
    x, y = batch()
    _, labels = CounterfactualAugment(CDVAEGAN(config).eval(), NAMES, "Top", 0.5, seed=1)(x, y)
    off = (labels[:, 0] == 0) & (y[:, 0] == 1)
    assert set(labels[off, 2][y[off, 2] == 0].tolist()) == {-1}
    assert torch.equal(labels[~off, 1:], y[~off, 1:])


def test_labels_follow_what_goes_along() -> None:
    torch.manual_seed(0)
    config = ModelConfig(NAMES, 32, width=8, z_dim=8, companions=(("Top", "Left=0", "Bottom=1"),))
    x, y = batch()
    _, labels = CounterfactualAugment(CDVAEGAN(config).eval(), NAMES, "Top", 0.5, seed=1)(x, y)
    off = (labels[:, 0] == 0) & (y[:, 0] == 1)
    assert off.any()
    assert set(labels[off, NAMES.index("Left")].tolist()) == {0}
    assert set(labels[off, NAMES.index("Bottom")].tolist()) == {1}
    assert torch.equal(labels[~off, 1:], y[~off, 1:])


def test_never_and_always(network: CDVAEGAN) -> None:
    x, y = batch(8)
    images, labels = CounterfactualAugment(network, NAMES, "Top", 0.0)(x, y)
    assert torch.equal(images, x)
    assert torch.equal(labels, y)
    labels = CounterfactualAugment(network, NAMES, "Top", 1.0)(x, y)[1]
    assert torch.equal(labels[:, 0], 1 - y[:, 0])
    unknown = y.clone()
    unknown[:, 0] = -1
    assert torch.equal(CounterfactualAugment(network, NAMES, "Top", 1.0)(x, unknown)[1], unknown)


def test_what_a_judge_does_not_see_is_not_flipped(network: CDVAEGAN) -> None:
    x, y = batch(16)
    step = CounterfactualAugment(network, NAMES, "Top", 1.0, judges=[JUDGE])
    images, labels = step(x, y)  # an untrained model does not turn dark to bright
    assert torch.equal(labels, y)
    assert torch.equal(images, x)


def test_balanced_flips_make_the_target_as_frequent_in_every_group(network: CDVAEGAN) -> None:
    data = halves(2000)
    step = CounterfactualAugment.balanced(network, data, "Top", "Bottom")
    labels = torch.from_numpy(data.labels)
    chance = step._chance(labels)
    top = labels[:, 0].float()
    after = top * (1 - chance) + (1 - top) * chance
    for group in (0, 1):
        assert after[labels[:, 1] == group].mean() == pytest.approx(float(top.mean()), abs=1e-5)


def test_groups_that_a_rule_ties_to_the_target_cannot_be_balanced() -> None:
    config = ModelConfig(NAMES, 32, width=8, z_dim=8, companions=(("Top", "Bottom=0"),))
    with pytest.raises(InputError, match="a rule of the model ties Bottom to Top"):
        CounterfactualAugment.balanced(CDVAEGAN(config), halves(100), "Top", "Bottom")


def test_it_is_a_transform_and_a_collate_step(network: CDVAEGAN) -> None:
    x, y = batch(12)
    step = CounterfactualAugment(network, NAMES, "Top", 1.0)
    image, label = step(x[0], y[0])
    assert image.shape == x[0].shape
    assert label[0] == 1 - y[0, 0]
    loader = DataLoader(list(zip(x, y, strict=True)), batch_size=5, collate_fn=step.collate)
    labels = torch.cat([b[1] for b in loader])
    assert torch.equal(labels[:, 0], 1 - y[:, 0])


def test_workers_of_a_loader_draw_anew_in_each_epoch_and_repeat_by_torchs_seed(
    network: CDVAEGAN,
) -> None:
    x, y = batch(24)
    step = CounterfactualAugment(network, NAMES, "Top", 0.5)
    loader: DataLoader[Any] = DataLoader(
        TensorDataset(x, y), batch_size=12, collate_fn=step.collate, num_workers=1
    )

    def epochs() -> list[Tensor]:
        torch.manual_seed(0)
        return [torch.cat([labels for _, labels in loader]) for _ in range(2)]

    (first, second), again = epochs(), epochs()
    assert not torch.equal(first, second)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"flip": "Tpo"}, "did you mean 'Top'"),
        ({"probability": 1.5}, "must lie in"),
        ({"probability": {(1, 1): 0.5}, "given": ["Bottom"]}, "not values of the 1"),
        ({"given": ["Botom"], "probability": {(1,): 0.5}}, "did you mean 'Bottom'"),
        ({"strength": 0}, "strength must lie in"),
    ],
)
def test_wrong_settings_are_refused(words: dict[str, Any], message: str, network: CDVAEGAN) -> None:
    given: dict[str, Any] = {"flip": "Top", **words}
    with pytest.raises(InputError, match=message):
        CounterfactualAugment(network, NAMES, **given)


def test_wrong_batches_are_refused(network: CDVAEGAN) -> None:
    x, y = batch(4)
    step = CounterfactualAugment(network, NAMES, "Top")
    with pytest.raises(InputError, match="expected float images"):
        step((x * 127).to(torch.uint8), y)
    with pytest.raises(InputError, match="expected labels"):
        step(x, y[:, :2])
