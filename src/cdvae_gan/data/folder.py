"""Folders of images in the *ImageFolder* convention of Hugging Face.

Either tables name the attributes: ``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet`` with
a column ``file_name`` (relative to the table) and one column an attribute; or class folders do:
``smiling/`` and ``not_smiling/`` are one attribute, ``cat/`` and ``dog/`` two of which one always
holds. A first folder ``train``, ``validation`` (``val``, ``valid``) or ``test`` gives the split;
without, a tenth is held out by a hash of the file's name. An image that no table names has unknown
attributes. ``rules.json`` in the folder may say how attributes depend on one another, see
:mod:`cdvae_gan.data.rules`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.cache import digest
from cdvae_gan.data.dataset import UNKNOWN, Source
from cdvae_gan.data.rules import RULES_FILE, Declared, read_rules
from cdvae_gan.data.values import SPLIT_NAMES, binary_column, denies, in_turn, with_validation
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.images import IMAGE_SUFFIXES, read_image, square

__all__ = ["FILE_COLUMN", "PROVENANCE", "folder", "unlabelled"]

FILE_COLUMN = "file_name"
_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_NOT_ATTRIBUTES = frozenset({FILE_COLUMN, "split"})
PROVENANCE = "counterfactual_"
"""How columns begin that say where an image comes from: they are no attributes."""


def folder(root: Path, attributes: Sequence[str] | None = None) -> Source:
    """The data set in a folder of images.

    Args:
        root: The folder.
        attributes: Columns to read; by default every column that is binary.

    Raises:
        InputError: No images or no attributes, or a table that is damaged.
    """
    images, tables = _scan(root)
    if tables:
        table = _read_tables(root, tables)
        files = tuple(sorted({*images, *table.rows}))
        names, labels = _columns(table, files, attributes)
        rules = read_rules(root, _known(table)).left(names)
        given = [_row_split(root, table.rows.get(file), file) for file in files]
    else:
        files = tuple(sorted(images))
        if not files:
            raise _no_images(root)
        names, labels, exclusive = _classes(root, files)
        told = read_rules(root, names)
        # A class that is not looked at may be what takes another's place.
        whole = attributes is None or all(n in attributes for group in exclusive for n in group)
        rules = Declared(
            (*exclusive, *told.exclusive),
            (*(in_turn(exclusive) if whole else ()), *told.alternatives),
            told.companions,
        )
        given = [_path_split(file) for file in files]
    return Source(
        name=root.resolve().name,
        attributes=names,
        labels=labels,
        splits=with_validation(given, files),
        files=files,
        content=_content(root, files),
        read=_Files(root, files).read,
        file_of=_Files(root, files).file_of,
        **rules._asdict(),
    )


def unlabelled(root: Path) -> Source | None:
    """The images in a folder that says nothing of their attributes: K is 0.

    None where a table or class folders say something. One class folder alone does not.

    Raises:
        InputError: No images.
    """
    images, tables = _scan(root)
    parts = [_below_split(file) for file in sorted(images)]
    if tables or (all(parts) and len({folders[-1] for folders in parts}) > 1):
        return None
    files = tuple(sorted(images))
    if not files:
        raise _no_images(root)
    return Source(
        name=root.resolve().name,
        attributes=(),
        labels=np.empty((len(files), 0), dtype=np.int8),
        splits=with_validation([_path_split(file) for file in files], files),
        files=files,
        content=_content(root, files),
        read=_Files(root, files).read,
        file_of=_Files(root, files).file_of,
    )


def _no_images(root: Path) -> InputError:
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    return InputError(f"no images in {root}: looked for {suffixes}, and for metadata.csv")


@dataclass(frozen=True)
class _Files:
    root: Path
    files: tuple[str, ...]

    def read(self, index: int, size: int) -> npt.NDArray[np.uint8]:
        return square(read_image(self.file_of(index)), size)

    def file_of(self, index: int) -> Path:
        return self.root / self.files[index]


@dataclass
class _Table:
    """Rows of every table by the image's path below the root; ``where`` is the table and line."""

    columns: dict[str, None] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)


def _scan(root: Path) -> tuple[list[str], list[Path]]:
    """The images, as paths below the root with forward slashes, and the tables."""
    images, tables = [], []
    for place, folders, names in os.walk(root, followlinks=True):
        here = Path(place)
        above = [parent for parent in here.parents if parent.is_relative_to(root)]
        if here.resolve() in {parent.resolve() for parent in above}:  # a link into itself
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found = [here / name for name in _TABLES if name in names]
        if len(found) > 1:
            raise InputError(f"{here} has {found[0].name} and {found[1].name}: keep one of them")
        if here != root and RULES_FILE in names:
            raise InputError(f"{here / RULES_FILE} is not read there: put it in {root}")
        tables += found
        images += [
            (here / name).relative_to(root).as_posix()
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
    return images, tables


def _content(root: Path, files: Sequence[str]) -> str:
    """Of which files these are, and when they were changed."""
    return digest([root.resolve(), *((file, *_stamp(root / file)) for file in files)])


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        stat = path.stat()
    except OSError:
        return (None, None)
    return (stat.st_size, stat.st_mtime_ns)


def _read_tables(root: Path, paths: Sequence[Path]) -> _Table:
    table = _Table()
    for path in paths:
        rows = _read_table(path)
        if rows and FILE_COLUMN not in rows[0][1]:
            columns = ", ".join(map(str, rows[0][1]))
            raise InputError(f"{path}: no column {FILE_COLUMN!r}, only {columns}")
        for line, row in rows:
            where = f"{path}, line {line}"
            file = _below(root, path, row.get(FILE_COLUMN), where)
            if file in table.rows:
                raise InputError(f"{where}: {file} is already in {table.where[file]}")
            table.rows[file], table.where[file] = row, where
            table.columns.update(dict.fromkeys(map(str, row)))
    return table


def _below(root: Path, table: Path, name: object, where: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{where}: no {FILE_COLUMN}")
    joined = os.path.normpath(table.parent / name)
    if not Path(joined).is_relative_to(os.path.normpath(root)):
        raise InputError(f"{where}: {name} lies outside {root}")
    return Path(joined).relative_to(os.path.normpath(root)).as_posix()


def _read_table(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a table with their line numbers."""
    if path.suffix == ".parquet":
        return _read_parquet(path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    return _read_csv(path, text) if path.suffix == ".csv" else _read_jsonl(path, text)


def _read_csv(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows: list[tuple[int, dict[str, Any]]] = []
    try:
        names = list(reader.fieldnames or ())
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{path}: two columns are called {name!r}")
        for row in reader:
            if None in row or None in row.values():
                width = len(reader.fieldnames or ())
                raise InputError(f"{path}, line {reader.line_num}: expected {width} values")
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from error
    return rows


def _read_jsonl(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected an object of columns and values")
        rows.append((number, row))
    return rows


def _read_parquet(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise InputError(f"{path} needs pyarrow: pip install 'cdvae-gan[hf]'") from None
    try:
        return list(enumerate(parquet.read_table(path).to_pylist(), start=1))
    except (OSError, ArrowException) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())}") from error


def _columns(
    table: _Table, files: tuple[str, ...], attributes: Sequence[str] | None
) -> tuple[tuple[str, ...], npt.NDArray[np.int8]]:
    known = _known(table)
    chosen: dict[str, npt.NDArray[np.int8]] = {}
    for name in known if attributes is None else attributes:
        if name not in known:
            raise unknown_name("attribute", name, known)
        values = [table.rows.get(file, {}).get(name) for file in files]
        column = binary_column(values, _Where(table, files, name))
        if column is not None:
            chosen[name] = column
        elif attributes is not None:
            raise InputError(f"column {name!r} is not binary: 0/1, -1/1, true/false or yes/no")
    if not chosen:
        some = next(iter(table.where.values()), "the metadata").partition(", line")[0]
        names = ", ".join(table.columns) or "none"
        raise InputError(f"no binary attributes in {some}: columns are {names}")
    return tuple(chosen), np.stack(list(chosen.values()), axis=1)


def _known(table: _Table) -> list[str]:
    """The columns that may be attributes."""
    return [
        name
        for name in table.columns
        if name not in _NOT_ATTRIBUTES and not name.startswith(PROVENANCE)
    ]


@dataclass(frozen=True)
class _Where:
    table: _Table
    files: tuple[str, ...]
    column: str

    def __call__(self, index: int) -> str:
        return f"{self.table.where[self.files[index]]}, column {self.column!r}"


def _path_split(file: str) -> str | None:
    first, slash, _ = file.partition("/")
    return SPLIT_NAMES.get(first.lower()) if slash else None


def _row_split(root: Path, row: dict[str, Any] | None, file: str) -> str | None:
    named = (row or {}).get("split")
    if not named:
        return _path_split(file)
    if str(named).lower() not in SPLIT_NAMES:
        raise InputError(f"{root / file}: split {named!r} is none of {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[str(named).lower()]


def _classes(
    root: Path, files: tuple[str, ...]
) -> tuple[tuple[str, ...], npt.NDArray[np.int8], tuple[tuple[str, ...], ...]]:
    """Attributes from the folders that the images lie in."""
    classes = [_class_of(root, file) for file in files]
    found = sorted(set(classes))
    opposite = {yes: no for yes in found for no in found if denies(no, yes)}
    alone = tuple(name for name in found if name not in opposite and name not in opposite.values())
    if len(alone) == 1:
        raise InputError(
            f"{root}: class folder {alone[0]!r} stands alone: "
            f"put images without it in 'not_{alone[0]}'"
        )
    names = tuple(sorted((*opposite, *alone)))
    labels = np.full((len(files), len(names)), UNKNOWN, dtype=np.int8)
    for column, name in enumerate(names):
        others = (opposite[name],) if name in opposite else tuple(n for n in alone if n != name)
        for row, of in enumerate(classes):
            if of == name or of in others:
                labels[row, column] = of == name
    return names, labels, (alone,) if alone else ()


def _class_of(root: Path, file: str) -> str:
    parts = _below_split(file)
    if not parts:
        raise InputError(
            f"{root / file} has no attributes: expected metadata.csv with a column "
            f"{FILE_COLUMN!r}, or class folders such as smiling/ and not_smiling/"
        )
    return parts[-1]


def _below_split(file: str) -> list[str]:
    """The folders that an image lies in, without the one of its split."""
    parts = file.split("/")[:-1]
    return parts[1:] if parts and parts[0].lower() in SPLIT_NAMES else parts
