"""Hugging Face ``datasets``: a folder that ``save_to_disk`` wrote, or a name on the hub.

Attributes are columns: bool, numbers 0/1 or -1/1, text such as yes/no, or a ``ClassLabel`` of two
names, of which the one that is not the other's negation means 1 (else the second). Needs the extra
``hf``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.cache import digest
from cdvae_gan.data.dataset import UNKNOWN, Source
from cdvae_gan.data.values import SPLIT_NAMES, binary_column, positive_class, with_validation
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.images import read_image, square

__all__ = ["from_disk", "from_hub", "is_saved"]


def is_saved(folder: Path) -> bool:
    """Whether ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def from_disk(
    folder: Path, attributes: Sequence[str] | None = None, image_column: str | None = None
) -> Source:
    """The data set in a folder that ``save_to_disk`` wrote; see `from_hub` for the columns."""
    datasets = _library()
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # the library raises its own, pyarrow's and fsspec's errors
        raise InputError(f"cannot load {folder} with datasets: {_line(error)}") from error
    return _source(folder.resolve().name, loaded, attributes, image_column)


def from_hub(
    name: str, attributes: Sequence[str] | None = None, image_column: str | None = None
) -> Source:
    """A data set of the hub.

    Args:
        name: ``owner/name``, or ``owner/name:configuration``.
        attributes: Columns to read; by default every column that is binary.
        image_column: The column of images; by default the only one.

    Raises:
        InputError: It cannot be loaded, has no such columns, or ``datasets`` is missing.
    """
    repository, _, configuration = name.partition(":")
    if not repository:
        raise InputError("hf: expected hf:owner/name")
    datasets = _library()
    try:
        loaded = datasets.load_dataset(repository, configuration or None)
    except Exception as error:  # the library raises its own, HTTP and file system errors
        raise InputError(f"cannot load hf:{name}: {_line(error)}") from error
    return _source(repository.rpartition("/")[2], loaded, attributes, image_column)


def _source(
    name: str, loaded: Any, attributes: Sequence[str] | None, image_column: str | None
) -> Source:
    parts: Mapping[str, Any] = loaded if isinstance(loaded, Mapping) else {"": loaded}
    features = next(iter(parts.values())).features
    image = _image_column(name, features, image_column)
    if not any(len(part) for part in parts.values()):
        raise InputError(f"no images in {name}")
    rows = [(key, row) for key, part in parts.items() for row in range(len(part))]
    files = tuple(f"{key or name}/{row:06d}" for key, row in rows)
    splits = [SPLIT_NAMES.get(key.lower()) for key, _ in rows]
    names, labels = _labels(name, parts, features, image, attributes)
    return Source(
        name=name,
        attributes=names,
        labels=labels,
        splits=with_validation(splits, files),
        files=files,
        content=digest((image, *((key, part._fingerprint) for key, part in parts.items()))),
        read=_Rows(tuple(_undecoded(part, image) for part in parts.values()), image, files).read,
    )


@dataclass(frozen=True)
class _Rows:
    parts: tuple[Any, ...]
    image: str
    files: tuple[str, ...]

    def read(self, index: int, size: int) -> npt.NDArray[np.uint8]:
        name, row = self.files[index], index
        for part in self.parts:
            if row < len(part):
                break
            row -= len(part)
        value = part[row][self.image]
        if value is None or not (value["bytes"] or value["path"]):
            raise InputError(f"no such image: {name}")
        return square(read_image(value["bytes"] or value["path"], name=name), size)


def _undecoded(part: Any, image: str) -> Any:
    """Only the images, as files, to be read by this package's rules and not the library's."""
    datasets = _library()
    column = part.with_format(None).select_columns([image])
    return column.cast_column(image, datasets.Image(decode=False))


def _image_column(name: str, features: Mapping[str, Any], wanted: str | None) -> str:
    images = [column for column, kind in features.items() if type(kind).__name__ == "Image"]
    if wanted is not None:
        if wanted not in features:
            raise unknown_name("column", wanted, features)
        if wanted not in images:
            raise InputError(f"column {wanted!r} of {name} holds no images; {_listed(images)} does")
        return wanted
    if len(images) != 1:
        raise InputError(f"{name}: expected one column of images, found {_listed(images)}: name it")
    return images[0]


def _labels(
    name: str,
    parts: Mapping[str, Any],
    features: Mapping[str, Any],
    image: str,
    attributes: Sequence[str] | None,
) -> tuple[tuple[str, ...], npt.NDArray[np.int8]]:
    candidates = [column for column in features if column != image]
    chosen: dict[str, npt.NDArray[np.int8]] = {}
    for column in candidates if attributes is None else attributes:
        if column not in candidates:
            raise unknown_name("attribute", column, candidates)
        kind = type(features[column]).__name__
        if kind not in ("Value", "ClassLabel"):
            labels, problem = None, f"is of type {kind}"
        else:
            values = [v for part in parts.values() for v in _values(part, column)]
            labels, problem = _binary(name, column, features[column], values)
        if labels is not None:
            chosen[column] = labels
        elif attributes is not None:
            raise InputError(f"column {column!r} of {name} {problem}: an attribute is 0 or 1")
    if not chosen:
        raise InputError(f"no binary columns in {name}: it has {_listed(candidates)}")
    return tuple(chosen), np.stack(list(chosen.values()), axis=1)


def _values(part: Any, column: str) -> list[Any]:
    """A column of one split; None for all of it where the split lacks the column."""
    if column not in part.column_names:
        return [None] * len(part)
    return list(part.with_format(None)[column][:])


def _binary(
    name: str, column: str, feature: Any, values: list[Any]
) -> tuple[npt.NDArray[np.int8] | None, str]:
    if type(feature).__name__ != "ClassLabel":
        found = binary_column(values, lambda row: f"{name}, row {row}, column {column!r}")
        return found, "is not binary"
    if len(feature.names) != 2:
        return None, f"has {len(feature.names)} classes ({_listed(feature.names)})"
    yes = positive_class(feature.names)
    known = {yes: 1, 1 - yes: 0}
    return np.array([known.get(value, UNKNOWN) for value in values], dtype=np.int8), ""


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise InputError("Hugging Face data needs datasets: pip install 'cdvae-gan[hf]'") from None
    return datasets


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "none"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
