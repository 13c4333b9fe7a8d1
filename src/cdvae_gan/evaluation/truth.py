"""How far a model is from the true counterfactuals; `metrics.truth` has the formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.evaluation.edits import Editor, ModelEditor
from cdvae_gan.evaluation.metrics.base import MEAN
from cdvae_gan.evaluation.metrics.truth import RELATIVE, TrueError, grey_distance
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.model import CDVAEGAN

__all__ = [
    "CounterfactualError",
    "FlipDistances",
    "counterfactual_error",
    "flip_distances",
    "true_flips",
]

_BATCH = 64

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CounterfactualError:
    """Relative counterfactual errors; lower is better, 0 is the truth, 1 is doing nothing."""

    attributes: dict[str, Estimate]
    mean: Estimate
    """Of the attributes' errors, each weighing the same"""
    composition: float
    """mean |x − x′| of do(nothing), in grey levels of 255"""

    def to_dict(self) -> dict[str, object]:
        """As plain data."""
        return {
            "attributes": {name: e.to_dict() for name, e in self.attributes.items()},
            "mean": self.mean.to_dict(),
            "composition": self.composition,
        }


def counterfactual_error(
    model: CDVAEGAN | Editor,
    dataset: AttributeDataset,
    *,
    detail: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> CounterfactualError:
    """Flip every attribute of every image and compare with the true counterfactuals.

    The model gets the pixels alone: what is there it has to read. The intervals resample images,
    the same ones for all attributes.

    Args:
        model: The model, or any editor; see `cdvae_gan.evaluation.edits`.
        dataset: Images whose true counterfactuals can be drawn, labelled with all the attributes
            of the model, at its size.
        detail: κ of a model; None for its own.
        resamples: Bootstrap samples.
        seed: Of the bootstrap.
        progress: Called with the number of counterfactuals done since the last call.

    Raises:
        InputError: For data without true counterfactuals, of another size or without an attribute
            that the model has, or attributes that change no image.
    """
    if isinstance(model, CDVAEGAN):
        dataset = dataset.select(model.attributes)
        if dataset.image_size != model.image_size:
            raise InputError(
                f"the model is for images of {model.image_size} pixels, {dataset.name} has been "
                f"opened at {dataset.image_size}"
            )
        model = ModelEditor(model, detail)
    found = flip_distances(model, dataset, progress=progress)
    for name, column in zip(dataset.attributes, found.changes.T, strict=True):
        if not column.any():
            raise InputError(f"{name} changes no image of {dataset.name}: leave it out")
    return _summary(dataset.attributes, found, resamples, seed)


class FlipDistances(NamedTuple):
    """Mean |difference| of images in grey levels of 255."""

    errors: Floats
    """``(N, K)``: |x′ − x*|, of the flip of each attribute"""
    changes: Floats
    """``(N, K)``: |x − x*|"""
    composition: Floats
    """``(N,)``: |x − x′| of do(nothing)"""


def true_flips(
    data: AttributeDataset, rows: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.uint8]:
    """x* of the flip of every attribute, ``(N, K, 3, H, W)``, of all images or of some rows.

    Raises:
        InputError: For data without true counterfactuals, or with labels that are unknown.
    """
    if data.truth is None:
        raise InputError(f"{data.name} has no true counterfactuals: avatars have")
    rows = np.arange(len(data)) if rows is None else rows
    if (data.labels[rows] < 0).any():
        raise InputError(
            f"labels of {data.name} are unknown: true counterfactuals need all of them"
        )
    drawn = [
        [
            data.truth(int(i), {name: 1 - int(y)})
            for name, y in zip(data.attributes, data.labels[i], strict=True)
        ]
        for i in rows
    ]
    return np.stack(drawn).transpose(0, 1, 4, 2, 3)


def flip_distances(
    editor: Editor,
    data: AttributeDataset,
    truth: npt.NDArray[np.uint8] | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> FlipDistances:
    """Flip every attribute of every image; the editor gets the pixels alone.

    Args:
        editor: See `cdvae_gan.evaluation.edits`.
        data: Images whose true counterfactuals can be drawn, with all labels known.
        truth: What `true_flips` draws of them, where it is at hand.
        progress: Called with the number of counterfactuals done since the last call.
    """
    errors, changes = (np.zeros((len(data), len(data.attributes))) for _ in range(2))
    composition = np.zeros(len(data))
    for start in range(0, len(data), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(data)))
        images, labels = data.batch(rows)
        x = to_float(images).contiguous()
        true = torch.from_numpy(true_flips(data, rows) if truth is None else truth[rows])
        composition[rows] = grey_distance(to_uint8(editor(x, None, None)), images)
        for k, name in enumerate(data.attributes):
            drawn = to_uint8(editor(x, name, 1 - labels[:, k]))
            errors[rows, k] = grey_distance(drawn, true[:, k])
            changes[rows, k] = grey_distance(images, true[:, k])
            if progress:
                progress(len(rows))
    return FlipDistances(errors, changes, composition)


def _summary(
    attributes: tuple[str, ...], found: FlipDistances, resamples: int, seed: int
) -> CounterfactualError:
    metric, rows = TrueError(attributes), np.arange(len(found.composition))
    for k, name in enumerate(attributes):
        metric.update(name, found.errors[:, k], found.changes[:, k], rows)
    table = metric.compute(resamples=resamples, seed=seed)
    return CounterfactualError(
        attributes={name: table[name, RELATIVE] for name in attributes},
        mean=table[MEAN, RELATIVE],
        composition=float(found.composition.mean()),
    )
