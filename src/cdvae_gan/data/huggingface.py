"""Hugging Face ``datasets``: a folder that ``save_to_disk`` wrote, or a name on the hub.

Attributes are columns: bool, numbers 0/1 or -1/1, text such as yes/no, or a ``ClassLabel`` of two
names, of which the one that is not the other's negation means 1 (else the second). The names of a
``ClassLabel`` of more are attributes of which one always holds; they are taken where no column is
binary, or where they are named. Needs the extra ``hf``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.cache import digest
from cdvae_gan.data.dataset import UNKNOWN, Source
from cdvae_gan.data.values import (
    SPLIT_NAMES,
    binary_column,
    in_turn,
    positive_class,
    with_validation,
)
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.images import read_image, square

__all__ = ["from_disk", "from_hub", "is_saved"]

_MOST_CLASSES = 64


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
        attributes: Columns or classes to read; by default every column that is binary, else
            every class.
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
    chosen = _labels(name, parts, features, image, attributes)
    exclusive, alternatives = _groups(features, chosen)
    return Source(
        name=name,
        attributes=tuple(chosen),
        labels=np.stack([column.labels for column in chosen.values()], axis=1),
        splits=with_validation(splits, files),
        files=files,
        content=digest((image, *((key, part._fingerprint) for key, part in parts.items()))),
        read=_Rows(tuple(_undecoded(part, image) for part in parts.values()), image, files).read,
        exclusive=exclusive,
        alternatives=alternatives,
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


class _Column(NamedTuple):
    labels: npt.NDArray[np.int8]
    """``(N,)``"""
    of: str | None
    """The column with classes of which this is one"""


def _labels(
    name: str,
    parts: Mapping[str, Any],
    features: Mapping[str, Any],
    image: str,
    attributes: Sequence[str] | None,
) -> dict[str, _Column]:
    columns = [column for column in features if column != image]
    classes = _class_columns(features)
    every = [n for f in classes.values() for n in f.names]
    chosen: dict[str, _Column] = {}
    for column in columns if attributes is None else attributes:
        if (
            attributes is not None
            and column in every
            and (column not in columns or column in classes)
        ):
            chosen[column] = _one_class(name, parts, classes, column)
            continue
        if column not in columns:
            raise unknown_name("attribute", column, [*columns, *every])
        kind = type(features[column]).__name__
        if kind not in ("Value", "ClassLabel"):
            labels, problem = None, f"is of type {kind}"
        elif column in classes:
            names = classes[column].names
            labels, problem = None, f"has {len(names)} classes, name those ({_listed(names)})"
        else:
            values = [v for part in parts.values() for v in _values(part, column)]
            labels, problem = _binary(name, column, features[column], values), "is not binary"
        if labels is not None:
            chosen[column] = _Column(labels, None)
        elif attributes is not None:
            raise InputError(f"column {column!r} of {name} {problem}: an attribute is 0 or 1")
    if not chosen and 0 < len(every) <= _MOST_CLASSES:
        return {one: _one_class(name, parts, classes, one) for one in every}
    if not chosen and every:
        raise InputError(f"{name} has {len(every)} classes: name those that are to be attributes")
    if not chosen:
        raise InputError(f"no binary columns in {name}: it has {_listed(columns)}")
    return chosen


def _groups(
    features: Mapping[str, Any], chosen: Mapping[str, _Column]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Classes that exclude each other, and those of which one takes another's place."""
    exclusive, complete = [], []
    for column, feature in _class_columns(features).items():
        group = tuple(n for n, found in chosen.items() if found.of == column)
        if len(group) > 1:
            exclusive.append(group)
        # A class that is not looked at may be what takes another's place.
        if set(group) == set(feature.names):
            complete.append(group)
    return tuple(exclusive), in_turn(complete)


def _class_columns(features: Mapping[str, Any]) -> dict[str, Any]:
    """The columns with classes of which each is an attribute of its own."""
    found = {c: f for c, f in features.items() if type(f).__name__ == "ClassLabel"}
    return {column: f for column, f in found.items() if len(f.names) > 2}


def _one_class(
    name: str, parts: Mapping[str, Any], classes: Mapping[str, Any], wanted: str
) -> _Column:
    """Whether each image is of a class."""
    having = [column for column, f in classes.items() if wanted in f.names]
    if len(having) > 1:
        found = _listed(having)
        raise InputError(f"{wanted!r} is a class of columns {found} of {name}: rename one")
    index = classes[having[0]].names.index(wanted)
    values = [v for part in parts.values() for v in _values(part, having[0])]
    labels = [UNKNOWN if v is None or v < 0 else int(v == index) for v in values]
    return _Column(np.array(labels, dtype=np.int8), having[0])


def _values(part: Any, column: str) -> list[Any]:
    """A column of one split; None for all of it where the split lacks the column."""
    if column not in part.column_names:
        return [None] * len(part)
    return list(part.with_format(None)[column][:])


def _binary(name: str, column: str, feature: Any, values: list[Any]) -> npt.NDArray[np.int8] | None:
    if type(feature).__name__ != "ClassLabel":
        return binary_column(values, lambda row: f"{name}, row {row}, column {column!r}")
    if len(feature.names) != 2:
        return None
    yes = positive_class(feature.names)
    known = {yes: 1, 1 - yes: 0}
    return np.array([known.get(value, UNKNOWN) for value in values], dtype=np.int8)


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
