"""Models as other libraries expect them: a pipeline's call, and a step in scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.pipeline import CounterfactualPipeline

SIDE = 32


@pytest.fixture(scope="module")
def model() -> CDVAEGAN:
    torch.manual_seed(0)
    return CDVAEGAN(ModelConfig(("Smile", "Hat"), SIDE, z_dim=4, width=8)).eval()


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)


# -- the call --------------------------------------------------------------------------------------


def test_a_pipeline_takes_pictures_and_gives_pictures(
    model: CDVAEGAN, photos: np.ndarray, tmp_path: Path
) -> None:
    pipe = CounterfactualPipeline.from_pretrained(model.save(tmp_path)).to("cpu")
    assert pipe.device == torch.device("cpu")
    output = pipe([Image.fromarray(p) for p in photos], do={"Smile": "flip"})
    assert [image.size for image in output.images] == [(SIDE, SIDE)] * 3
    assert isinstance(output.images[0], Image.Image)
    assert output.counterfactuals.before.shape == (3, 2)
    assert len(pipe(Image.fromarray(photos[0]), {"Smile": 1}).images) == 1


def test_all_output_types_are_the_same_picture(model: CDVAEGAN, photos: np.ndarray) -> None:
    pipe, image = CounterfactualPipeline(model), Image.fromarray(photos[0])
    pil, array, tensor = (
        pipe(image, {"Hat": "flip"}, output_type=kind).images  # type: ignore[arg-type]
        for kind in ("pil", "np", "pt")
    )
    assert np.array_equal(array, tensor.permute(0, 2, 3, 1).numpy())
    assert array.shape == (1, SIDE, SIDE, 3)
    assert 0 <= array.min() <= array.max() <= 1
    assert np.abs(np.asarray(pil[0]) / 255 - array[0]).max() <= 0.5 / 255 + 1e-6


def test_a_pipeline_passes_on_what_it_is_asked(model: CDVAEGAN, photos: np.ndarray) -> None:
    pipe, image = CounterfactualPipeline(model), Image.fromarray(photos[0])
    options = {"strength": 0.5, "detail": 0.2, "attributes": {"Smile": 1}}
    output = pipe(image, {"Smile": 0}, output_type="pt", **options)  # type: ignore[arg-type]
    direct = model.counterfactual(image, {"Smile": 0}, **options)  # type: ignore[arg-type]
    assert torch.equal(output.counterfactuals.images, direct.images)


def test_wrong_input_of_a_pipeline_is_named(model: CDVAEGAN, photos: np.ndarray) -> None:
    pipe, image = CounterfactualPipeline(model), Image.fromarray(photos[0])
    with pytest.raises(InputError, match="did you mean 'pil'"):
        pipe(image, {}, output_type="pill")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did you mean 'Smile'"):
        pipe(image, {"Smlie": 1})


# -- scikit-learn ----------------------------------------------------------------------------------


sklearn_base = pytest.importorskip("sklearn.base")
CounterfactualTransformer = pytest.importorskip("cdvae_gan.sklearn").CounterfactualTransformer


def test_a_transformer_gives_what_the_model_gives(model: CDVAEGAN, photos: np.ndarray) -> None:
    step = CounterfactualTransformer(model, do={"Smile": "flip"})
    direct = model.counterfactual([Image.fromarray(p) for p in photos], {"Smile": "flip"}).pil()
    assert np.array_equal(step.fit_transform(photos), np.stack([np.asarray(p) for p in direct]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_type_and_range_stay_as_they_were(
    model: CDVAEGAN, photos: np.ndarray, dtype: type
) -> None:
    rows = (photos.reshape(3, -1) / 255).astype(dtype)
    step = CounterfactualTransformer(model, do={"Hat": 1}, value_range=(0, 1)).fit(rows)
    drawn = step.transform(rows)
    assert (drawn.shape, drawn.dtype) == (rows.shape, rows.dtype)
    expected = CounterfactualTransformer(model, do={"Hat": 1}).fit_transform(photos)
    assert np.abs(drawn.reshape(photos.shape) * 255 - expected).max() < 0.51


def test_doing_nothing_gives_the_images_back(model: CDVAEGAN, photos: np.ndarray) -> None:
    step = CounterfactualTransformer(model).fit()
    assert np.array_equal(step.transform(photos), photos)


def test_a_transformer_can_be_cloned_set_and_searched(model: CDVAEGAN, photos: np.ndarray) -> None:
    step = CounterfactualTransformer("celeba64", do={"Smiling": 1}, strength=0.5)
    again = sklearn_base.clone(step)
    assert again.get_params() == step.get_params()
    assert again.set_params(strength=1.0).strength == 1.0
    assert not hasattr(again, "model_")


def test_a_pipeline_says_what_a_classifier_would_have_said(
    model: CDVAEGAN, photos: np.ndarray
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    rows = photos.reshape(3, -1)
    classifier = LogisticRegression().fit(rows, [0, 1, 1])
    step = CounterfactualTransformer(model, do={"Smile": "flip"})
    would_say = make_pipeline(step.fit(), classifier)
    assert np.array_equal(would_say.predict(rows), classifier.predict(step.transform(rows)))


def test_a_transformer_knows_its_attributes_before_it_sees_an_image(model: CDVAEGAN) -> None:
    with pytest.raises(InputError, match="did you mean 'Smile'"):
        CounterfactualTransformer(model, do={"Smlie": 1}).fit()


def test_images_that_do_not_fit_are_named(model: CDVAEGAN, photos: np.ndarray) -> None:
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        CounterfactualTransformer(model).transform(photos)
    step = CounterfactualTransformer(model, do={"Smile": 1})
    with pytest.raises(InputError, match=r"\(n, 32, 32, 3\) or \(n, 3072\)"):
        step.fit(photos[:, :16])
    with pytest.raises(InputError, match="uint8 or float"):
        step.fit(photos.astype(np.int64))
    with pytest.raises(InputError, match=r"lie in \[-1, 1\]"):
        step.fit(photos.astype(np.float32))
    with pytest.raises(InputError, match="black to white"):
        step.set_params(value_range=(1, 0)).fit(photos / 255)
