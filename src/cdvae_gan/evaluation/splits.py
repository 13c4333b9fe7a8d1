"""The validation split, divided once: one half to tune on, the other to report.

Thresholds, temperatures, stopping times and every other choice are made on the *tune* half; figures
that anyone will read come from the *report* half. Nobody is in both: the division is by identity
where the data set knows who is on a picture, else by image.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError

__all__ = ["Halves", "chosen_part", "groups_of", "halves"]


class Halves(NamedTuple):
    """Two data sets without a person in common."""

    tune: AttributeDataset
    report: AttributeDataset


def groups_of(dataset: AttributeDataset) -> npt.NDArray[np.int64]:
    """``(N,)`` what the bootstrap draws: identities where known, else the images themselves."""
    if dataset.identities is not None:
        return np.asarray(dataset.identities, dtype=np.int64)
    return np.asarray(dataset.images.rows, dtype=np.int64)


def halves(dataset: AttributeDataset, *, split: str = "validation", seed: int = 0) -> Halves:
    """Divide a split by identity; the same on every machine, and when images are added.

    Args:
        dataset: A data set with such a split.
        split: Which one to divide.
        seed: Of the division. Figures made with different seeds must not be mixed.

    Raises:
        InputError: There is no such split, or it is too small to divide.
    """
    whole = dataset.split(split)
    names: npt.NDArray[Any] = (
        np.asarray(whole.files) if whole.identities is None else whole.identities
    )
    members, inverse = np.unique(names, return_inverse=True)
    in_tune = np.array([_coin(str(member), seed) for member in members])[inverse]
    if in_tune.all() or not in_tune.any():
        raise InputError(
            f"the {split} split of {dataset.name} has {len(whole)} images: too few to divide "
            "into a half to tune on and a half to report"
        )
    return Halves(whole.take(np.flatnonzero(in_tune)), whole.take(np.flatnonzero(~in_tune)))


def chosen_part(
    dataset: AttributeDataset, part: str = "report", *, limit: int | None = None, seed: int = 0
) -> tuple[AttributeDataset, AttributeDataset]:
    """Some of the images to evaluate on, and the others.

    Args:
        dataset: All images.
        part: ``report`` or ``tune``, the halves of the validation split, or a split.
        limit: At most so many of them.
        seed: Of the draw where there are more; the halves are always the same.

    Returns:
        The images of the part that were drawn, and all images that are not of the part.

    Raises:
        InputError: There is no such part.
    """
    numbered = np.arange(len(dataset))
    at = dict(zip(dataset.images.rows.tolist(), numbered.tolist(), strict=True))
    whole = getattr(halves(dataset), part) if part in Halves._fields else dataset.split(part)
    inside = np.array([at[row] for row in whole.images.rows.tolist()])
    others = dataset.take(np.setdiff1d(numbered, inside))
    if limit is not None and limit < len(inside):
        inside = np.sort(np.random.default_rng(seed).choice(inside, limit, replace=False))
    return dataset.take(inside), others


def _coin(name: str, seed: int) -> bool:
    return bool(hashlib.sha256(f"{seed}:{name}".encode()).digest()[0] & 1)
