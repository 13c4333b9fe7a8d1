"""Counterfactuals that any other program has made: a folder of pictures and a table of them.

``manifest.csv`` has a line for each counterfactual:

    source,attribute,value,file
    000001.jpg,Smiling,1,smiling/000001.png

``source`` is the name of the image in the data set, ``attribute`` and ``value`` (0 or 1) what was
set, and ``file`` the picture, seen from the manifest. Pictures of another size are brought to that
of the data set. `FolderEditor` makes an editor of them, `save_counterfactuals` writes such folders.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.data.dataset import UNKNOWN, AttributeDataset
from cdvae_gan.data.values import binary_column
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.edits import Editor
from cdvae_gan.images import read_image, square, to_float, to_pil, to_uint8

__all__ = ["MANIFEST", "FolderEditor", "is_folder_of_counterfactuals", "save_counterfactuals"]

MANIFEST = "manifest.csv"

_COLUMNS = ("source", "attribute", "value", "file")
_BATCH = 64

Wanted = tuple[str, str, int]
"""Source, attribute, value."""


def is_folder_of_counterfactuals(path: str | Path) -> bool:
    """Whether a path is a manifest, or a folder with one."""
    path = Path(path)
    return (path / MANIFEST).is_file() or (path.suffix == ".csv" and path.is_file())


class FolderEditor:
    """A folder of counterfactuals as an editor of the images of one data set.

    It knows full edits of single attributes alone: no strength in between, no do(nothing).

    Args:
        path: The folder, or its manifest.
        dataset: The images that the manifest speaks of.

    Raises:
        InputError: The manifest is damaged, or speaks of other images or attributes.
    """

    def __init__(self, path: str | Path, dataset: AttributeDataset) -> None:
        path = Path(path)
        self.manifest = path / MANIFEST if path.is_dir() else path
        self.files = _read(self.manifest)
        self.size = dataset.image_size
        self._names = {_key(dataset.images[i]): file for i, file in enumerate(dataset.files)}
        known = set(dataset.files)
        if not any(source in known for source, _, _ in self.files):
            example = next(iter(self.files))[0]
            raise InputError(
                f"{self.manifest}: none of its sources is an image of {dataset.name} that is "
                f"evaluated; it has {example!r}, the data has {dataset.files[0]!r}"
            )
        named = {attribute for _, attribute, _ in self.files}
        self.attributes = tuple(a for a in dataset.attributes if a in named)
        if not self.attributes:
            raise InputError(
                f"{self.manifest}: it sets {', '.join(sorted(named))}; {dataset.name} has "
                f"{', '.join(dataset.attributes)}"
            )

    @property
    def digest(self) -> str:
        """A hash of the manifest."""
        return hashlib.sha256(self.manifest.read_bytes()).hexdigest()[:16]

    def covered(self, dataset: AttributeDataset, attributes: Sequence[str]) -> npt.NDArray[Any]:
        """``(N,)`` bool: images of which all of these attributes are flipped in the folder."""
        columns = [dataset.attributes.index(a) for a in attributes]
        return np.array(
            [
                all(
                    dataset.labels[i, k] != UNKNOWN
                    and (file, name, 1 - int(dataset.labels[i, k])) in self.files
                    for k, name in zip(columns, attributes, strict=True)
                )
                for i, file in enumerate(dataset.files)
            ],
            dtype=bool,
        )

    def dataset_covered(
        self, dataset: AttributeDataset, attributes: Sequence[str] | None = None
    ) -> AttributeDataset:
        """The images of a data set of which the folder has all flips.

        Raises:
            InputError: There is none, or an attribute is not in the folder.
        """
        for name in attributes or ():
            if name not in self.attributes:
                raise unknown_name(f"attribute in {self.manifest}", name, self.attributes)
        names = tuple(attributes or self.attributes)
        covered = self.covered(dataset, names)
        if not covered.any():
            raise InputError(
                f"{self.manifest} has of no image the flips of {', '.join(names)}: each set to "
                "what its label is not"
            )
        return dataset.take(np.flatnonzero(covered))

    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        if attribute is None or target is None or strength != 1.0:
            raise InputError(f"{self.manifest} has whole edits of single attributes alone")
        pixels = to_uint8(x).permute(0, 2, 3, 1).cpu().contiguous().numpy()
        found = [
            self._picture(self._names[_key(image)], attribute, int(value))
            for image, value in zip(pixels, target.tolist(), strict=True)
        ]
        return to_float(torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2))

    def _picture(self, source: str, attribute: str, value: int) -> npt.NDArray[np.uint8]:
        file = self.files.get((source, attribute, value))
        if file is None:
            raise InputError(f"{self.manifest} has no line for {source}, {attribute}={value}")
        return square(read_image(file), self.size)


def save_counterfactuals(
    editor: Editor,
    dataset: AttributeDataset,
    folder: str | Path,
    *,
    attributes: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Flip each attribute of each image, and write the pictures with their manifest.

    Args:
        editor: See `cdvae_gan.evaluation.edits`.
        dataset: The images; a flip sets what the label is not, and an unknown one is left out.
        folder: Where to, made where missing.
        attributes: Which; by default all of the data set.
        progress: Called with the number of images done since the last call.

    Returns:
        The manifest.

    Raises:
        InputError: The folder cannot be written to, or holds a manifest.
    """
    folder = Path(folder)
    names = tuple(attributes or dataset.attributes)
    labels = dataset.select(names).labels
    if (folder / MANIFEST).exists():
        raise InputError(f"{folder / MANIFEST} exists: choose another folder")
    lines = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(dataset), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(dataset)))
            x = to_float(dataset.batch(rows).images).contiguous()
            for k, name in enumerate(names):
                target = torch.from_numpy(1 - labels[rows, k]).clamp_max(1)
                for row, image in zip(rows, to_uint8(editor(x, name, target)), strict=True):
                    if labels[row, k] == UNKNOWN:
                        continue
                    file = f"{row:06d}-{k}.png"
                    to_pil(image).save(folder / file)
                    lines.append((dataset.files[row], name, 1 - int(labels[row, k]), file))
            if progress:
                progress(len(rows))
        temporary = folder / f".{MANIFEST}.partial"
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([_COLUMNS, *lines])
        return temporary.replace(folder / MANIFEST)
    except OSError as error:
        raise InputError(f"cannot write counterfactuals to {folder}: {error.strerror}") from None


def _read(manifest: Path) -> dict[Wanted, Path]:
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            lines = list(reader)
    except OSError as error:
        raise InputError(f"cannot read {manifest}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{manifest} is not a CSV file in UTF-8") from None
    missing = [c for c in _COLUMNS if c not in columns]
    if missing or not lines:
        raise InputError(
            f"{manifest}: expected lines with the columns {', '.join(_COLUMNS)}; "
            + (f"{missing[0]} is missing" if missing else "there is no line")
        )
    for i, line in enumerate(lines):
        if not all(line[c] for c in _COLUMNS):
            raise InputError(f"{manifest}, line {i + 2}: a value is missing")
    values = binary_column([line["value"] for line in lines], lambda i: f"{manifest}, line {i + 2}")
    if values is None:
        raise InputError(f"{manifest}: the column value must hold 0 and 1")
    found: dict[Wanted, Path] = {}
    for i, (line, value) in enumerate(zip(lines, values, strict=True)):
        key = (line["source"], line["attribute"], int(value))
        if key in found:
            raise InputError(f"{manifest}, line {i + 2}: {key[0]}, {key[1]}={key[2]} comes twice")
        found[key] = manifest.parent / line["file"]
    return found


def _key(pixels: npt.NDArray[np.uint8]) -> bytes:
    """What tells images apart: an editor is given pixels and no names."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=16).digest()
