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

__all__ = ["Halves", "groups_of", "halves"]


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


def _coin(name: str, seed: int) -> bool:
    return bool(hashlib.sha256(f"{seed}:{name}".encode()).digest()[0] & 1)
