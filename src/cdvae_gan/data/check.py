"""What there is to know about a data set before a model is trained on it."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from PIL import Image

from cdvae_gan.data.cache import Unreadable
from cdvae_gan.data.dataset import UNKNOWN, AttributeDataset
from cdvae_gan.data.open import find_source, open_source
from cdvae_gan.errors import InputError
from cdvae_gan.figures import contact_sheet

__all__ = ["AttributeCount", "CheckReport", "Correlation", "check", "sheet"]


@dataclass(frozen=True)
class AttributeCount:
    """How often an attribute is 1, 0 and unknown; ``prevalence`` is nan where it is never known."""

    name: str
    positive: int
    negative: int
    unknown: int

    @property
    def prevalence(self) -> float:
        """Share of 1 among the images where the attribute is known."""
        known = self.positive + self.negative
        return self.positive / known if known else float("nan")


@dataclass(frozen=True)
class Correlation:
    """Two attributes, their φ coefficient in [-1, 1], and on how many images both are known."""

    first: str
    second: str
    phi: float
    n: int


@dataclass(frozen=True)
class CheckReport:
    """The findings of `check`.

    Attributes:
        name: The data set.
        n: Images that can be read.
        image_size: Their side after the crop.
        splits: How many are in each split.
        attributes: Counts of each attribute.
        correlations: The strongest, by absolute value.
        unreadable: Images that cannot be read, with path and reason.
        duplicates: Groups of images whose pixels are equal after crop and resize.
        across_splits: How many of these groups lie in more than one split.
        dataset: The readable images.
    """

    name: str
    n: int
    image_size: int
    splits: dict[str, int]
    attributes: tuple[AttributeCount, ...]
    correlations: tuple[Correlation, ...]
    unreadable: tuple[Unreadable, ...]
    duplicates: tuple[tuple[str, ...], ...]
    across_splits: int
    dataset: AttributeDataset

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers and texts; a prevalence that is nan is None."""
        return {
            "name": self.name,
            "n": self.n,
            "image_size": self.image_size,
            "splits": self.splits,
            "attributes": [
                asdict(row)
                | {"prevalence": row.prevalence if row.negative + row.positive else None}
                for row in self.attributes
            ],
            "correlations": [asdict(row) for row in self.correlations],
            "unreadable": [{"file": row.file, "reason": row.reason} for row in self.unreadable],
            "duplicates": [list(group) for group in self.duplicates],
            "duplicates_across_splits": self.across_splits,
        }


def check(
    source: str | os.PathLike[str],
    *,
    size: int = 64,
    attributes: Sequence[str] | None = None,
    image_column: str | None = None,
    strongest: int = 10,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> CheckReport:
    """Look a data set over; images that cannot be read are part of the report and no error.

    Args:
        source: As for `cdvae_gan.data.open_dataset`, and so are the others.
        size: The images' side in pixels.
        attributes: The attributes to look at; by default all.
        image_column: Of Hugging Face data, the column of images.
        strongest: How many correlations to report.
        cache_dir: Where decoded images are kept.
        progress: Show a bar on stderr while images are decoded.

    Raises:
        InputError: There is no such data set or attribute, or not one image can be read.
    """
    found = find_source(source, attributes, image_column)
    dataset, unreadable = open_source(found, size=size, cache_dir=cache_dir, progress=progress)
    if not len(dataset):
        raise InputError(f"not one image of {found.name} can be read: {unreadable[0].reason}")
    if attributes is not None:
        dataset = dataset.select(attributes)
    duplicates = _duplicates(dataset)
    splits, counts = np.unique(dataset.splits, return_counts=True)
    return CheckReport(
        name=dataset.name,
        n=len(dataset),
        image_size=dataset.image_size,
        splits=dict(zip(splits.tolist(), counts.tolist(), strict=True)),
        attributes=tuple(_counts(dataset)),
        correlations=_correlations(dataset)[:strongest],
        unreadable=unreadable,
        duplicates=tuple(tuple(dataset.files[i] for i in group) for group in duplicates),
        across_splits=sum(len(set(dataset.splits[group])) > 1 for group in duplicates),
        dataset=dataset,
    )


def sheet(
    dataset: AttributeDataset, *, n: int = 40, columns: int = 8, seed: int = 0
) -> Image.Image:
    """A contact sheet of ``n`` images drawn at random, each with the attributes that it has."""
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:n]
    captions = [
        ", ".join(name for name, v in zip(dataset.attributes, labels, strict=True) if v == 1)
        or "none"
        for labels in dataset.labels[chosen]
    ]
    return contact_sheet([dataset.images[int(i)] for i in chosen], captions, columns)


def _counts(dataset: AttributeDataset) -> list[AttributeCount]:
    return [
        AttributeCount(name, *(int((column == value).sum()) for value in (1, 0, UNKNOWN)))
        for name, column in zip(dataset.attributes, dataset.labels.T, strict=True)
    ]


def _correlations(dataset: AttributeDataset) -> tuple[Correlation, ...]:
    """φ of every pair on the images where both are known; constants correlate with nothing."""
    found = []
    for (first, a), (second, b) in combinations(
        zip(dataset.attributes, dataset.labels.T, strict=True), 2
    ):
        both = (a != UNKNOWN) & (b != UNKNOWN)
        x, y = a[both].astype(np.float64), b[both].astype(np.float64)
        if both.sum() > 1 and x.std() > 0 and y.std() > 0:
            phi = float(((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std()))
            found.append(Correlation(first, second, phi, int(both.sum())))
    return tuple(sorted(found, key=lambda pair: -abs(pair.phi)))


def _duplicates(dataset: AttributeDataset) -> list[list[int]]:
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index in range(len(dataset)):
        pixels = np.ascontiguousarray(dataset.images[index])
        groups[hashlib.blake2b(pixels.data, digest_size=16).digest()].append(index)
    return [group for group in groups.values() if len(group) > 1]
