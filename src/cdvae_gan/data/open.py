"""Opening a data set by a path or a name.

A source is one of

    avatars, avatars:n=4000,seed=1      drawn faces, see `cdvae_gan.data.avatars`
    a folder                            CelebA in its official layout, images with metadata.csv or
                                        class folders, or what datasets.save_to_disk wrote
    hf:owner/name, hf:owner/name:conf   a data set of the Hugging Face hub
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cdvae_gan.data.avatars import avatars
from cdvae_gan.data.cache import Unreadable, cached_images
from cdvae_gan.data.celeba import celeba, is_celeba
from cdvae_gan.data.dataset import AttributeDataset, ImageRows, Source
from cdvae_gan.data.folder import folder, unlabelled
from cdvae_gan.data.huggingface import from_disk, from_hub, is_saved
from cdvae_gan.errors import InputError

__all__ = ["find_source", "open_dataset", "open_images", "open_source"]

_SIZES = (16, 512)


def open_dataset(
    source: str | os.PathLike[str],
    *,
    size: int = 64,
    attributes: Sequence[str] | None = None,
    image_column: str | None = None,
    skip_bad: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> AttributeDataset:
    """Open a data set, decoding its images into the cache the first time.

    Args:
        source: A path or a name, as the module says.
        size: The images' side in pixels: the central square of each, resized.
        attributes: The attributes wanted, in this order; by default all.
        image_column: Of Hugging Face data, the column of images; by default the only one.
        skip_bad: Leave out images that cannot be read instead of failing.
        cache_dir: Where decoded images are kept; by default ``$CDVAE_GAN_CACHE`` or the XDG cache.
        progress: Show a bar on stderr while images are decoded.

    Raises:
        InputError: There is no such data set or attribute, a table is damaged, or images cannot be
            read and ``skip_bad`` is False.
    """
    found = find_source(source, attributes, image_column)
    dataset = _readable(found, size, skip_bad, cache_dir, progress)
    return dataset if attributes is None else dataset.select(attributes)


def open_images(
    source: str | os.PathLike[str],
    *,
    size: int = 64,
    skip_bad: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> AttributeDataset:
    """Open a data set whose attributes need not be known: any folder of images will do.

    Arguments and errors are those of `open_dataset`. A folder of images and no more has K = 0.
    """
    path = Path(os.fspath(source)).expanduser()
    plain = path.is_dir() and not is_celeba(path) and not is_saved(path)
    found = (unlabelled(path) if plain else None) or find_source(source)
    return _readable(found, size, skip_bad, cache_dir, progress)


def find_source(
    source: str | os.PathLike[str],
    attributes: Sequence[str] | None = None,
    image_column: str | None = None,
) -> Source:
    """What a path or a name stands for, before any image is decoded.

    Args:
        source: A path or a name, as the module says.
        attributes: Columns to read where a table has others too; None for every binary one.
        image_column: Of Hugging Face data, the column of images.
    """
    if attributes is not None and not attributes:
        raise InputError("no attributes chosen: name at least one")
    text = os.fspath(source)
    scheme, _, rest = text.partition(":")
    if scheme == "avatars":
        return avatars(rest)
    if scheme == "hf":
        return from_hub(rest, attributes, image_column)
    path = Path(text).expanduser()
    if not path.is_dir():
        what = f"{text} is a file" if path.exists() else f"no data set {text!r}"
        raise InputError(f"{what}: expected a folder, avatars, or hf:owner/name")
    if is_celeba(path):
        return celeba(path)
    if is_saved(path):
        return from_disk(path, attributes, image_column)
    return folder(path, attributes)


def open_source(
    source: Source,
    *,
    size: int,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> tuple[AttributeDataset, tuple[Unreadable, ...]]:
    """Decode what has not been decoded yet.

    Returns:
        The images that can be read, and the others with the reason.
    """
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise InputError(f"image size {size}: expected {_SIZES[0]} to {_SIZES[1]}")
    cached = cached_images(
        source.name,
        source.content,
        source.files,
        source.read,
        size=size,
        processes=source.processes,
        cache_dir=cache_dir,
        progress=progress,
    )
    dataset = AttributeDataset(
        name=source.name,
        attributes=source.attributes,
        images=ImageRows(cached.pixels, np.arange(len(source.files))),
        labels=source.labels,
        splits=source.splits,
        files=source.files,
        identities=source.identities,
        exclusive=source.exclusive,
        alternatives=source.alternatives,
        companions=source.companions,
        content=cached.content,
        draw=source.draw,
        file_of=source.file_of,
    )
    if cached.unreadable:
        bad = [row.index for row in cached.unreadable]
        dataset = dataset.take(np.setdiff1d(np.arange(len(dataset)), bad))
    return dataset, cached.unreadable


def _readable(
    source: Source,
    size: int,
    skip_bad: bool,
    cache_dir: str | os.PathLike[str] | None,
    progress: bool,
) -> AttributeDataset:
    dataset, unreadable = open_source(source, size=size, cache_dir=cache_dir, progress=progress)
    if unreadable and not (skip_bad and len(dataset)):
        raise _unreadable_error(source.name, unreadable)
    return dataset


def _unreadable_error(name: str, unreadable: tuple[Unreadable, ...]) -> InputError:
    first = "; ".join(row.reason for row in unreadable[:3])
    more = f"; and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    count = "1 image" if len(unreadable) == 1 else f"{len(unreadable)} images"
    return InputError(
        f"{count} of {name} cannot be read: {first}{more}; skip_bad (--skip-bad) leaves them out"
    )
