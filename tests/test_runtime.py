"""An exported model answers as the model itself does, and needs no torch to do so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cdvae_gan import InputError
from cdvae_gan.images import floats, pixels, to_float, to_uint8
from cdvae_gan.runtime import OnnxModel, load
from small_export import NAMES, small_file, small_model


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_file(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="module")
def model(file: Path) -> OnnxModel:
    return load(file, threads=1)


@pytest.fixture
def x() -> NDArray[np.float32]:
    return floats(np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8))


def test_a_file_says_what_it_can_do(model: OnnxModel) -> None:
    assert model.attributes == NAMES
    assert model.image_size == 32
    assert model.config == small_model().config


@pytest.mark.parametrize(
    ("do", "options"),
    [
        ({"Smile": "flip", "Blond": 1}, {}),
        ({"Smile": 0.3}, {"strength": 0.5, "detail": 0.4}),
        ({"Blond": 1}, {"attributes": {"Black": 1, "Blond": [0, 0, 1, 0, -1]}}),
        ({}, {"detail": 1.0}),
    ],
)
def test_the_answer_is_that_of_the_model(
    model: OnnxModel, x: NDArray[np.float32], do: dict[str, float | str], options: dict[str, object]
) -> None:
    ours = model.counterfactual(x, do, **options)  # type: ignore[arg-type]
    theirs = small_model().counterfactual(torch.from_numpy(x), do, **options)  # type: ignore[arg-type]
    for name in ("factual", "images", "before", "asked", "after", "mask"):
        found, expected = getattr(ours, name), getattr(theirs, name).numpy()
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < 1e-3, name
    assert (ours.do, ours.detail, ours.resolved) == (theirs.do, theirs.detail, theirs.resolved)
    assert len(ours) == 5


def test_doing_nothing_returns_the_input_bit_for_bit(
    model: OnnxModel, x: NDArray[np.float32]
) -> None:
    result = model.counterfactual(x, {}, detail=1.0)
    assert np.array_equal(result.images, x)
    assert result.mask.max() == 0


def test_files_and_pictures_of_any_size_are_taken(model: OnnxModel, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    picture.save(tmp_path / "a.png")
    result = model.counterfactual([tmp_path / "a.png", picture], {"Smile": "flip"})
    assert result.names == ("a.png", "image 1")
    assert np.array_equal(result.factual[0], result.factual[1])
    assert [p.size for p in result.pil()] == [(32, 32)] * 2
    theirs = small_model().counterfactual(tmp_path / "a.png", {})
    assert np.array_equal(result.factual[:1], theirs.factual.numpy())


def test_more_images_than_one_call_takes_keep_their_order(model: OnnxModel) -> None:
    x = floats(np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8))
    result = model.counterfactual(x, {"Smile": 1}, attributes={"Smile": [i % 2 for i in range(70)]})
    assert result.before[:, 0].tolist() == [i % 2 for i in range(70)]


def test_what_gave_way_is_counted_over_all_images(model: OnnxModel) -> None:
    x = np.zeros((70, 3, 32, 32), np.float32)
    labels = {"Black": [1] * 66 + [0] * 4, "Blond": 0}
    result = model.counterfactual(x, {"Blond": 1}, attributes=labels)
    assert result.resolved == ("Black gives way to Blond in 66 of 70 images",)


def test_a_result_is_saved_as_the_models_is(
    model: OnnxModel, x: NDArray[np.float32], tmp_path: Path
) -> None:
    do = {"Smile": "flip", "Blond": 1.0}
    model.counterfactual(x, do).save(tmp_path / "ours.png")
    small_model().counterfactual(torch.from_numpy(x), do).save(tmp_path / "theirs.png")
    ours, theirs = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("ours", "theirs"))
    for one, other in zip(ours["images"], theirs["images"], strict=True):
        for name in NAMES:
            assert one["attributes"][name] == pytest.approx(other["attributes"][name], abs=2e-3)
    assert ours["do"] == theirs["do"]
    assert Image.open(tmp_path / "ours.png").size == Image.open(tmp_path / "theirs.png").size


@pytest.mark.parametrize(
    ("images", "do", "options", "message"),
    [
        (np.zeros((1, 3, 64, 64), np.float32), {}, {}, r"\(B, 3, 32, 32\)"),
        (np.zeros((1, 3, 32, 32), np.uint8), {}, {}, "pixels are uint8"),
        (np.full((1, 3, 32, 32), 255, np.float32), {}, {}, r"must lie in \[−1, 1\]"),
        (np.zeros((0, 3, 32, 32), np.float32), {}, {}, "no images"),
        ("no_such_file.png", {}, {}, "no_such_file.png"),
        (np.zeros((1, 3, 32, 32), np.float32), {"Smiel": 1}, {}, "did you mean 'Smile'"),
        (np.zeros((1, 3, 32, 32), np.float32), {"Smile": 2}, {}, "Smile must be a number"),
        (np.zeros((1, 3, 32, 32), np.float32), {"Black": 1, "Blond": 1}, {}, "exclude each other"),
        (np.zeros((1, 3, 32, 32), np.float32), {}, {"detail": 2}, "detail must lie"),
        (np.zeros((1, 3, 32, 32), np.float32), {}, {"strength": -1}, "strength must lie"),
        (np.zeros((1, 3, 32, 32), np.float32), {}, {"attributes": {"Smile": 2}}, "labels must be"),
    ],
)
def test_wrong_input_is_refused_in_one_line(
    model: OnnxModel, images: object, do: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        model.counterfactual(images, do, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_arrays_and_tensors_are_turned_into_one_another_alike() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    tensor = torch.from_numpy(levels).permute(2, 0, 1)
    assert np.array_equal(floats(levels), to_float(tensor).numpy())
    between = np.linspace(-1.2, 1.2, 3 * 97 * 89, dtype=np.float32).reshape(3, 97, 89)
    expected = to_uint8(torch.from_numpy(between)).permute(1, 2, 0).numpy()
    assert np.array_equal(pixels(between), expected)
    assert np.array_equal(pixels(floats(levels)), levels)


_WITHOUT_TORCH = """
import sys
for name in ("torch", "lightning", "safetensors", "onnx", "typer", "rich"):
    sys.modules[name] = None
from cdvae_gan.runtime import load
from PIL import Image
result = load(sys.argv[1]).counterfactual(Image.new("RGB", (50, 40)), {"Smile": "flip"})
assert result.images.shape == (1, 3, 32, 32)
result.save(sys.argv[2])
import cdvae_gan
assert "load" in dir(cdvae_gan)
try:
    cdvae_gan.load
except ModuleNotFoundError as error:
    print(error)
from cdvae_gan.cli import main
sys.exit(main(["info"]))
"""


def test_no_torch_is_needed_and_what_needs_it_says_so(file: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", _WITHOUT_TORCH, file, tmp_path / "result.png"]
    called = subprocess.run(words, capture_output=True, text=True, check=False)
    assert called.returncode == 2, called.stderr
    assert (tmp_path / "result.png").is_file()
    assert "cdvae_gan.load needs torch: pip install 'cdvae-gan[torch]'" in called.stdout
    assert called.stderr.startswith("cdvae-gan: the command line needs typer: pip install")
    assert called.stderr.count("\n") == 1
