"""CelebA in its official layout: ``list_attr_celeba.txt`` and ``img_align_celeba``, folder or zip.

``list_eval_partition.txt`` and ``identity_CelebA.txt`` are used where present; without the former,
images are split by name. The attribute list says which images belong to the data set.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.cache import digest
from cdvae_gan.data.dataset import SPLITS, Source, split_by_name
from cdvae_gan.errors import InputError
from cdvae_gan.images import read_image, square

__all__ = ["ALTERNATIVES", "COMPANIONS", "EXCLUSIVE", "celeba", "is_celeba"]

ATTRIBUTE_LIST = "list_attr_celeba.txt"
PARTITION_LIST = "list_eval_partition.txt"
IDENTITY_LIST = "identity_CelebA.txt"
IMAGES = "img_align_celeba"
_LABELS = {"-1": 0, "1": 1}

EXCLUSIVE = (
    ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald"),
    ("Bald", "Bangs"),
    ("No_Beard", "Mustache"),
    ("No_Beard", "Goatee"),
)
"""Attributes that a counterfactual should not switch on together."""
_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
ALTERNATIVES = (*((c, *(o for o in _COLOURS if o != c)) for c in _COLOURS), ("Bald", *_COLOURS))
"""Hair that is not black has another colour."""
_BEARD = ("No_Beard=1", "Mustache=0", "Goatee=0", "5_o_Clock_Shadow=0", "Sideburns=0")
COMPANIONS = (("Smiling", "Mouth_Slightly_Open=0"), ("Male", *_BEARD))
"""A smile opens the mouth, and a beard is a man's, as in the causal graph of Kocaoglu et al. 2018
("CausalGAN"): what goes takes along what it has caused."""


def is_celeba(folder: Path) -> bool:
    """Whether a folder has CelebA's attribute list."""
    return (folder / ATTRIBUTE_LIST).is_file()


def celeba(folder: Path) -> Source:
    """The data set in a folder of CelebA's official layout.

    Raises:
        InputError: A list that is damaged, or no images.
    """
    attributes, files, labels = _attribute_list(folder / ATTRIBUTE_LIST)
    images, content = _images(folder, files)
    people = _identities(folder / IDENTITY_LIST, files)
    return Source(
        name="celeba",
        attributes=attributes,
        labels=labels,
        splits=_splits(folder / PARTITION_LIST, files, people),
        files=files,
        content=content,
        read=images.read,
        identities=people,
        exclusive=EXCLUSIVE,
        alternatives=ALTERNATIVES,
        companions=COMPANIONS,
        file_of=images.file_of if isinstance(images, _Folder) else None,
    )


@dataclass(frozen=True)
class _Folder:
    root: Path
    files: tuple[str, ...]

    def read(self, index: int, size: int) -> npt.NDArray[np.uint8]:
        return square(read_image(self.file_of(index)), size)

    def file_of(self, index: int) -> Path:
        return self.root / self.files[index]


@dataclass(frozen=True)
class _Zip:
    archive: zipfile.ZipFile
    members: tuple[str | None, ...]
    files: tuple[str, ...]

    def read(self, index: int, size: int) -> npt.NDArray[np.uint8]:
        member = self.members[index]
        name = f"{self.archive.filename}/{member or self.files[index]}"
        if member is None:
            raise InputError(f"no such image: {name}")
        try:
            data = self.archive.read(member)
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
            raise InputError(f"damaged or encrypted in the zip: {name} ({error})") from error
        return square(read_image(data, name=name), size)


def _images(folder: Path, files: tuple[str, ...]) -> tuple[_Folder | _Zip, str]:
    """Where the images are, and a hash: of files' sizes and times, or of a zip's checksums."""
    for root in (folder / IMAGES / IMAGES, folder / IMAGES):  # some copies of CelebA are nested
        if root.is_dir():
            stats = {entry.name: entry.stat() for entry in os.scandir(root)}
            found = ((name, stats.get(name)) for name in files)
            return _Folder(root, files), digest(
                (name, stat and stat.st_size, stat and stat.st_mtime_ns) for name, stat in found
            )
    path = folder / f"{IMAGES}.zip"
    if not path.is_file():
        raise InputError(
            f"no images beside {folder / ATTRIBUTE_LIST}: put {IMAGES}/ or {IMAGES}.zip there"
        )
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"not a whole zip file: {path} ({error})") from error
    infos = {info.filename.rpartition("/")[2]: info for info in archive.infolist()}
    chosen = [infos.get(name) for name in files]
    members = tuple(info.filename if info else None for info in chosen)
    content = digest(
        (n, i and i.CRC, i and i.file_size) for n, i in zip(files, chosen, strict=True)
    )
    return _Zip(archive, members, files), content


def _attribute_list(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], npt.NDArray[np.int8]]:
    """The count in line 1, the K names in line 2, then a line an image: its name and K times ±1."""
    lines = _lines(path)
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise InputError(
            f"{path}: expected a count, a line of attribute names, then one line an image"
        )
    names, rows = tuple(lines[1].split()), lines[2:]
    if len(rows) != int(lines[0]):
        raise InputError(f"{path}: line 1 promises {int(lines[0])} images but {len(rows)} follow")
    files, labels = [], np.empty((len(rows), len(names)), dtype=np.int8)
    for index, row in enumerate(rows):
        file, *words = row.split()
        if len(words) != len(names):
            raise InputError(
                f"{path}, line {index + 3}: expected a file name and {len(names)} values, "
                f"got {len(words)} values"
            )
        try:
            labels[index] = [_LABELS[word] for word in words]
        except KeyError as error:
            raise InputError(
                f"{path}, line {index + 3}: {error.args[0]!r} is neither -1 nor 1"
            ) from None
        files.append(file)
    return names, tuple(files), labels


def _splits(
    path: Path, files: tuple[str, ...], people: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.str_]:
    if not path.is_file():  # nobody is then in two splits, where it is known who is on a photo
        return split_by_name(files if people is None else tuple(map(str, people)))
    numbers = _numbers(path, files)
    if not set(numbers) <= {0, 1, 2}:
        raise InputError(f"{path}: a split is neither 0 (train), 1 (validation) nor 2 (test)")
    return np.array(SPLITS)[numbers]


def _identities(path: Path, files: tuple[str, ...]) -> npt.NDArray[np.int64] | None:
    return np.array(_numbers(path, files), dtype=np.int64) if path.is_file() else None


def _numbers(path: Path, files: tuple[str, ...]) -> list[int]:
    """For each file the number that a list of lines ``name number`` gives it."""
    try:
        table = {name: int(number) for name, number in (line.split() for line in _lines(path))}
        return [table[name] for name in files]
    except ValueError:
        raise InputError(f"{path}: expected lines of a file name and a number") from None
    except KeyError as error:
        raise InputError(
            f"{path} does not list {error.args[0]}, which {ATTRIBUTE_LIST} does"
        ) from None


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
