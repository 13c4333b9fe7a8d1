"""Other people's classifiers: what their numbers mean, and what they answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cdvae_gan import InputError
from cdvae_gan.evaluation.classifiers import load_classifier
from cdvae_gan.evaluation.judges import Card, Judge


@pytest.fixture
def shades() -> Tensor:
    """Four grey images, from dark to bright, uint8 ``(4, 3, 16, 16)``."""
    levels = torch.tensor([10, 100, 150, 250], dtype=torch.uint8)
    return levels[:, None, None, None].expand(4, 3, 16, 16).contiguous()


def brightness(x: Tensor) -> Tensor:
    return x.mean(dim=(1, 2, 3))


def three(x: Tensor) -> Tensor:
    """Logits of dark, medium, bright."""
    b = brightness(x)
    return torch.stack([-5 * b, 1 - 8 * b**2, 5 * b], dim=1)


def test_one_number_is_the_logit_of_a_yes(shades: Tensor) -> None:
    found = load_classifier(lambda x: 4 * brightness(x), shades)
    scores, yes = found.read(shades)
    assert (found.task, found.names) == ("binary", ("score",))
    assert torch.allclose(scores[:, 0], (4 * brightness(shades / 127.5 - 1)).sigmoid())
    assert yes is not None
    assert yes[:, 0].tolist() == [False, False, True, True]
    assert "taken for logits" in found.notes[0]


def test_numbers_between_0_and_1_are_probabilities_unless_told_otherwise(shades: Tensor) -> None:
    def probability(x: Tensor) -> Tensor:
        return (brightness(x) + 1) / 2

    guessed = load_classifier(probability, shades)
    assert torch.allclose(guessed.read(shades).scores[:, 0], shades[:, 0, 0, 0] / 255)
    assert "taken for probabilities" in guessed.notes[0]
    told = load_classifier(probability, shades, outputs="logits")
    assert told.notes == ()
    assert told.read(shades).scores.min() > 0.5


def test_of_several_classes_the_most_probable_is_the_answer(shades: Tensor) -> None:
    found = load_classifier(three, shades, classes=["class 1", "class 2"])
    scores, yes = found.read(shades)
    expected = three(shades / 127.5 - 1)
    assert found.task == "multiclass"
    assert torch.allclose(scores, expected.softmax(1)[:, 1:])
    assert yes is not None
    assert torch.equal(yes, expected.argmax(1)[:, None] == torch.tensor([1, 2]))


def test_of_two_classes_the_positive_one_is_looked_at(shades: Tensor) -> None:
    def two(x: Tensor) -> Tensor:
        return torch.stack([brightness(x), -brightness(x)], dim=1)

    two.classes = ("bright", "not_bright")  # type: ignore[attr-defined]
    assert load_classifier(two, shades).names == ("bright",)


def test_named_outputs_stand_for_themselves(shades: Tensor) -> None:
    def several(x: Tensor) -> Any:
        return np.stack([brightness(x).numpy(), -brightness(x).numpy()], 1)

    several.attributes = ("Bright", "Dark")  # type: ignore[attr-defined]
    several.thresholds = (0.5, 0.0)  # type: ignore[attr-defined]
    found = load_classifier(several, shades)
    yes = found.read(shades).yes
    assert found.task == "multilabel"
    assert yes is not None
    assert yes[:, 0].tolist() == [False, False, False, True]  # above its threshold on the logit
    assert yes[:, 1].tolist() == [True, True, False, False]


def test_a_regressor_has_no_answer_without_a_threshold(shades: Tensor) -> None:
    def age(x: Tensor) -> Tensor:
        return 40 + 40 * brightness(x)

    found = load_classifier(age, shades, task="regression")
    assert found.read(shades).yes is None
    assert found.read(shades).scores[3, 0] == pytest.approx(40 + 40 * (250 / 127.5 - 1))
    yes = load_classifier(age, shades, task="regression", threshold=40).read(shades).yes
    assert yes is not None
    assert yes[:, 0].tolist() == [False, False, True, True]


def test_a_judge_is_a_classifier(shades: Tensor) -> None:
    judge = Judge(
        Card("eye", "test", ("Bright",), thresholds=(1.0,)),
        lambda x: brightness(x.float())[:, None],
    )
    found = load_classifier(judge, shades)
    assert (found.name, found.names) == ("eye", ("Bright",))
    assert found.read(shades).scores[0, 0] == pytest.approx(1 / (1 + np.exp(-10)), abs=1e-4)


def fixed_onnx(folder: Path) -> Path:
    """Brightness for batches of two images of 8 pixels and no others."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["m", "one"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", number, [2, 3, 8, 8])],
        [helper.make_tensor_value_info("y", number, [2, 1])],
        [helper.make_tensor("one", onnx.TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "b.onnx")
    return folder / "b.onnx"


def test_an_onnx_file_of_a_fixed_size_and_batch_is_fed_so(tmp_path: Path, shades: Tensor) -> None:
    path = fixed_onnx(tmp_path)
    path.with_suffix(".json").write_text(json.dumps({"task": "regression", "name": "mine"}))
    found = load_classifier(path, shades)
    assert (found.name, found.image_size) == ("mine", 8)
    scores = found.read(shades[:3]).scores[:, 0]
    assert torch.allclose(scores, brightness(shades[:3] / 127.5 - 1), atol=1e-6)


@pytest.mark.parametrize(
    ("classifier", "options", "message"),
    [
        (lambda x: x, {}, "returns an array"),
        (lambda x: three(x), {"task": "binary"}, "a binary one returns 1"),
        (lambda x: three(x), {"classes": ["class 9"]}, "did you mean 'class"),
        (lambda x: brightness(x) / 0, {}, "not finite"),
        (lambda x: x @ torch.zeros(5), {}, "fails on float images"),
        (lambda x: torch.zeros(len(x), 30), {}, "name up to 20"),
        (nn.Flatten().train(), {}, "in training mode"),
    ],
)
def test_what_cannot_be_audited_is_refused(
    classifier: Any, options: dict[str, Any], message: str, shades: Tensor
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_classifier(classifier, shades, **options)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused_whenever_they_come(shades: Tensor) -> None:
    found = load_classifier(lambda x: brightness(x).log(), shades[2:])
    assert found.read(shades[2:]).scores.isfinite().all()
    with pytest.raises(InputError, match="returns numbers that are not finite") as caught:
        found.read(shades)
    assert "\n" not in str(caught.value)


def test_wrong_words_beside_a_classifier_are_named(tmp_path: Path, shades: Tensor) -> None:
    path = fixed_onnx(tmp_path)
    path.with_suffix(".json").write_text('{"task": "regresion"}')
    with pytest.raises(InputError, match="did you mean 'regression'"):
        load_classifier(path, shades)
    path.with_suffix(".json").write_text('{"classes": ["a", "b"]}')
    with pytest.raises(InputError, match="returns 1 numbers an image but names 2"):
        load_classifier(path, shades)


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "task"), [(None, "multiclass"), ("regression", "regression")])
def test_a_hugging_face_folder_says_what_it_is(
    problem: str | None, task: str, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8],
        depths=[1, 1],
        id2label={0: "cat", 1: "dog", 2: "bird"},
        label2id={"cat": 0, "dog": 1, "bird": 2},
        problem_type=problem,
    )
    transformers.ResNetForImageClassification(config).eval().save_pretrained(tmp_path)
    transformers.ConvNextImageProcessor(size={"shortest_edge": 32}).save_pretrained(tmp_path)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    found = load_classifier(tmp_path, images)
    assert (found.task, found.names) == (task, ("cat", "dog", "bird"))
    if task == "multiclass":
        assert torch.allclose(found.read(images).scores.sum(1), torch.ones(3))
