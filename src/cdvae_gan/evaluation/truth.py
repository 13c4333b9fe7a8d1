"""How far counterfactuals are from the true ones, on data that has them (drawn avatars).

For attribute k and the images i that do(a_k = 1 − y_ik) really changes,

    error_k = Σ_i mean|x′_i − x*_i| / Σ_i mean|x_i − x*_i|

with x the photo, x′ the model's counterfactual and x* the true one, all as 8-bit pictures. It is 0
for the truth and 1 for an edit that does nothing; below 0 it cannot be, above 1 it can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import Estimate, estimates
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.model import CDVAEGAN

__all__ = ["CounterfactualError", "counterfactual_error"]

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
    model: CDVAEGAN,
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
        model: The model.
        dataset: Images whose true counterfactuals can be drawn, labelled with all the attributes
            of the model, at its size.
        detail: κ; None for the model's own.
        resamples: Bootstrap samples.
        seed: Of the bootstrap.
        progress: Called with the number of counterfactuals done since the last call.

    Raises:
        InputError: For data without true counterfactuals, of another size or without an attribute
            that the model has, or attributes that change no image.
    """
    data = dataset.select(model.attributes)
    _check(model, data)
    errors, changes = (np.zeros((len(data), len(model.attributes))) for _ in range(2))
    composition = np.zeros(len(data))
    for start in range(0, len(data), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(data)))
        x = data.batch(rows).images
        composition[rows] = _distance(_counterfactuals(model, x, None, {}, detail), x)
        for k, name in enumerate(model.attributes):
            asked = 1 - data.labels[rows, k]
            truth = _truth(data, rows, name, asked)
            drawn = _counterfactuals(model, x, asked, {name: 1}, detail)
            errors[rows, k], changes[rows, k] = _distance(drawn, truth), _distance(x, truth)
            if progress:
                progress(len(rows))
    for name, column in zip(model.attributes, changes.T, strict=True):
        if not column.any():
            raise InputError(f"{name} changes no image of {data.name}: leave it out")
    return _summary(model.attributes, errors, changes, composition, resamples, seed)


def _check(model: CDVAEGAN, data: AttributeDataset) -> None:
    if data.truth is None:
        raise InputError(f"{data.name} has no true counterfactuals: avatars have")
    if data.image_size != model.image_size:
        raise InputError(
            f"the model is for images of {model.image_size} pixels, {data.name} has been opened "
            f"at {data.image_size}"
        )
    if (data.labels < 0).any():
        raise InputError(
            f"labels of {data.name} are unknown: true counterfactuals need all of them"
        )


def _counterfactuals(
    model: CDVAEGAN,
    x: torch.Tensor,
    asked: npt.NDArray[np.int8] | None,
    do: dict[str, int],
    detail: float | None,
) -> torch.Tensor:
    """uint8 ``(B, 3, H, W)``; the attribute in ``do`` is set to each image's own value."""
    images = to_float(x).contiguous()
    if asked is None:
        return to_uint8(model.counterfactual(images, do, detail).images)
    drawn = torch.empty_like(x, memory_format=torch.contiguous_format)
    for value in (0, 1):
        chosen = torch.from_numpy(asked == value)
        if chosen.any():
            result = model.counterfactual(images[chosen], dict.fromkeys(do, value), detail)
            drawn[chosen] = to_uint8(result.images)
    return drawn


def _truth(
    data: AttributeDataset,
    rows: npt.NDArray[np.int64],
    name: str,
    asked: npt.NDArray[np.int8],
) -> torch.Tensor:
    assert data.truth is not None
    drawn = [data.truth(int(i), {name: int(v)}) for i, v in zip(rows, asked, strict=True)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)


def _distance(one: torch.Tensor, other: torch.Tensor) -> Floats:
    """Mean |difference| of each pair of uint8 images, in grey levels."""
    difference = (one.short() - other.short()).abs().double()
    result: Floats = difference.mean(dim=(1, 2, 3)).numpy()
    return result


def _summary(
    attributes: tuple[str, ...],
    errors: Floats,
    changes: Floats,
    composition: Floats,
    resamples: int,
    seed: int,
) -> CounterfactualError:
    changed = changes > 0
    sums = np.stack([np.where(changed, errors, 0), changes], axis=2)
    counts = [*changed.sum(0).tolist(), len(errors)]
    found = estimates(sums, _errors_and_mean, counts, resamples=resamples, seed=seed).tolist()
    return CounterfactualError(
        attributes=dict(zip(attributes, found[:-1], strict=True)),
        mean=found[-1],
        composition=float(composition.mean()),
    )


def _errors_and_mean(totals: Floats) -> Floats:
    """From sums ``(R, K, 2)`` to the K errors and their mean, ``(R, K + 1)``."""
    errors = totals[..., 0] / totals[..., 1]
    result: Floats = np.concatenate([errors, errors.mean(1, keepdims=True)], axis=1)
    return result
