"""A data set: images decoded once, a table of binary attributes (0, 1 or unknown), and a split.

`AttributeDataset` is a view: splitting it, choosing attributes or taking some images copies labels
and an index, never pixels. `Source` is what each kind of data (CelebA, a folder, Hugging Face,
avatars) knows before anything has been decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.data.cache import Read, digest
from cdvae_gan.data.rules import Declared
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.images import to_float

__all__ = ["SPLITS", "UNKNOWN", "AttributeDataset", "Batch", "ImageRows", "Source", "split_by_name"]

SPLITS = ("train", "validation", "test")
UNKNOWN = -1
"""The label of an attribute that nobody has looked at."""

FileOf = Callable[[int], Path]
"""``file_of(row)``: the file that holds an image and nothing else."""

Draw = Callable[[int, Mapping[str, int], int], npt.NDArray[np.uint8]]
"""``draw(row, do, size)``: the true counterfactual of a drawn picture, uint8 ``(size, size,
3)``."""


class Batch(NamedTuple):
    """Images uint8 ``(B, 3, H, W)``, channels last in memory, and their labels int8 ``(B, K)``."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ImageRows:
    """Rows of an array of images, read when asked for; indexed like an array ``(N, H, W, 3)``.

    Pickling one that lies in the cache passes the file's name on and not its pixels, so worker
    processes are cheap.
    """

    pixels: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.pixels.shape[1:])

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return self.pixels.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        return np.asarray(self.pixels[self.rows[index]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.pixels[self.rows], dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        name = self.pixels.filename if isinstance(self.pixels, np.memmap) else None
        return (_image_rows, (self.pixels if name is None else None, name, self.rows))


def _image_rows(
    pixels: npt.NDArray[np.uint8] | None, name: str | None, rows: npt.NDArray[np.int64]
) -> ImageRows:
    if pixels is None:
        assert name is not None
        pixels = np.load(name, mmap_mode="r")
    return ImageRows(pixels, rows)


@dataclass(frozen=True)
class Source:
    """What there is to decode: the table of a data set, and a function that reads one image.

    Attributes:
        name: Short name of the data set.
        attributes: The K names of its attributes.
        labels: int8 ``(N, K)``, 0, 1 or `UNKNOWN`.
        splits: ``(N,)`` of the names in `SPLITS`.
        files: The N names of the images, for messages and captions.
        content: Equal for equal images: part of the cache's key.
        read: Decodes one image.
        identities: ``(N,)`` who is on the picture, where known.
        exclusive: Groups of attributes of which at most one can be 1.
        alternatives: An attribute, and those of which one takes its place when it is 0.
        companions: An attribute, and what others become when it is 0: ``Name=0`` or ``Name=1``.
        draw: Draws true counterfactuals, where the images are drawn.
        file_of: Says where an image lies, where each is a file of its own.
        processes: ``read`` holds the interpreter lock, so processes and not threads run it in
            parallel.
    """

    name: str
    attributes: tuple[str, ...]
    labels: npt.NDArray[np.int8]
    splits: npt.NDArray[np.str_]
    files: tuple[str, ...]
    content: str
    read: Read
    identities: npt.NDArray[np.int64] | None = None
    exclusive: tuple[tuple[str, ...], ...] = ()
    alternatives: tuple[tuple[str, ...], ...] = ()
    companions: tuple[tuple[str, ...], ...] = ()
    draw: Draw | None = None
    file_of: FileOf | None = None
    processes: bool = False


@dataclass(frozen=True, repr=False)
class AttributeDataset:
    """N images with K binary attributes; for torch's data loaders, pairs of image and labels.

    Attributes:
        name: Short name of the data set.
        attributes: The K names.
        images: uint8 ``(N, H, W, 3)``, indexed like an array and read from disk when asked.
        labels: int8 ``(N, K)``: 0, 1, or -1 where unknown.
        splits: ``(N,)`` of ``"train"``, ``"validation"``, ``"test"``.
        files: The N names of the images.
        identities: int64 ``(N,)`` who is on the picture, or None.
        exclusive: Groups of attributes of which at most one can be 1.
        alternatives: An attribute, and those of which one takes its place when it is 0.
        companions: An attribute, and what others become when it is 0: ``Name=0`` or ``Name=1``.
        content: Key of the decoded images in the cache.
        file_of: Where the rows of ``images`` lie, if each is a file of its own; see `file`.

    Example:
        >>> dataset = open_dataset("avatars:n=500", size=64)
        >>> train = dataset.split("train").select(["Glasses", "Beard"])
        >>> images, labels = train.batch([0, 1, 2])
    """

    name: str
    attributes: tuple[str, ...]
    images: ImageRows
    labels: npt.NDArray[np.int8]
    splits: npt.NDArray[np.str_]
    files: tuple[str, ...]
    identities: npt.NDArray[np.int64] | None = None
    exclusive: tuple[tuple[str, ...], ...] = ()
    alternatives: tuple[tuple[str, ...], ...] = ()
    companions: tuple[tuple[str, ...], ...] = ()
    content: str = ""
    draw: Draw | None = None
    file_of: FileOf | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image ``index``, float ``(3, H, W)`` in [−1, 1], and its labels, int8 ``(K,)``."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        images, labels = self.batch([index])
        return to_float(images)[0], labels[0]

    def __repr__(self) -> str:
        names = ", ".join(self.attributes)
        return f"<{self.name}: {len(self):,} images of {self.image_size} pixels; {names}>"

    @property
    def image_size(self) -> int:
        """H = W, in pixels."""
        return self.images.shape[1]

    @property
    def fingerprint(self) -> str:
        """A hash of the images, their order, the labels and the splits: equal for equal data."""
        return digest(
            (
                self.content,
                *self.attributes,
                self.images.rows.tobytes(),
                self.labels.tobytes(),
                *np.unique(self.splits),
                np.unique(self.splits, return_inverse=True)[1].tobytes(),
            )
        )

    @property
    def truth(self) -> Callable[[int, Mapping[str, int]], npt.NDArray[np.uint8]] | None:
        """``truth(index, do)``, the true counterfactual as uint8 ``(H, W, 3)``; None if not drawn.

        It is image ``index`` of this data set with the attributes in ``do`` set to 0 or 1 and all
        else as it was.
        """
        draw = self.draw
        if draw is None:
            return None
        return lambda index, do: draw(int(self.images.rows[index]), do, self.image_size)

    def file(self, index: int) -> Path | None:
        """The file that holds image ``index`` and nothing else; None where there is none."""
        return None if self.file_of is None else self.file_of(int(self.images.rows[index]))

    def batch(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Batch:
        """The images at these indices with their labels, copied once out of the cache."""
        index = np.asarray(indices, dtype=np.int64)
        images = torch.from_numpy(self.images[index]).permute(0, 3, 1, 2)
        return Batch(images, torch.from_numpy(self.labels[index]))

    def split(self, name: str) -> AttributeDataset:
        """The images of one split.

        Raises:
            InputError: There is no such split in this data set.
        """
        chosen = np.flatnonzero(self.splits == name)
        if not len(chosen):
            raise unknown_name(f"split in {self.name}", name, dict.fromkeys(self.splits.tolist()))
        return self.take(chosen)

    def take(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> AttributeDataset:
        """The images at these indices, in this order."""
        index = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            images=ImageRows(self.images.pixels, self.images.rows[index]),
            labels=self.labels[index],
            splits=self.splits[index],
            files=tuple(self.files[i] for i in index),
            identities=None if self.identities is None else self.identities[index],
        )

    def for_model(self, attributes: Sequence[str]) -> AttributeDataset:
        """The same images with the attributes of a model, in its order.

        Raises:
            InputError: Some of them have no labels here.
        """
        lacking = [name for name in attributes if name not in self.attributes]
        if lacking:
            raise InputError(
                f"{self.name} has no labels of {', '.join(lacking)}, which the model has"
            )
        return self.select(attributes)

    def select(self, attributes: Sequence[str]) -> AttributeDataset:
        """The same images with these attributes, in this order.

        Groups keep the names that are left; one of fewer than two says nothing and goes.

        Raises:
            InputError: An unknown name (with the nearest known one), a name given twice, or none.
        """
        names = tuple(attributes)
        if not names:
            raise InputError(f"no attributes chosen: {self.name} has {', '.join(self.attributes)}")
        for name in names:
            if name not in self.attributes:
                raise unknown_name("attribute", name, self.attributes)
            if names.count(name) > 1:
                raise InputError(f"attribute {name!r} was given twice")
        return replace(
            self,
            attributes=names,
            labels=self.labels[:, [self.attributes.index(name) for name in names]],
            **Declared(self.exclusive, self.alternatives, self.companions).left(names)._asdict(),
        )

    def prevalence(self) -> npt.NDArray[np.float64]:
        """``(K,)``: how often each attribute is 1 where it is known; nan where it never is."""
        known = (self.labels != UNKNOWN).sum(0)
        positive = (self.labels == 1).sum(0)
        return np.where(known > 0, positive / np.maximum(known, 1), np.nan)


def split_by_name(files: Sequence[str], validation: float = 0.1) -> npt.NDArray[np.str_]:
    """A split by each file's name alone: the same on every machine, and when files are added."""
    limit = int(validation * 2**32)
    return np.array(
        ["validation" if int(digest((f,))[:8], 16) < limit else "train" for f in files],
        dtype=np.str_,
    )
