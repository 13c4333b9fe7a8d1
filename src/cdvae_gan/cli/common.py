"""What the commands share: reading options, loading a model, and writing files safely.

Nothing here imports torch at the top: ``cdvae-gan --help`` is to answer at once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

    from cdvae_gan.model import CDVAEGAN

__all__ = [
    "Device",
    "JsonOutput",
    "ModelSource",
    "NewModel",
    "Overwrite",
    "Setting",
    "SkipBad",
    "TrainedOn",
    "Written",
    "claim",
    "counted",
    "device_for",
    "examples",
    "folder_for",
    "fresh_folder",
    "intervention_text",
    "is_picture",
    "open_model",
    "output",
    "output_names",
    "parse_duration",
    "parse_names",
    "print_json",
    "progress_console",
    "reading",
    "refuse_model",
    "write_picture",
]

ModelSource = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        show_default=False,
        help="A training run's folder, a model's folder, a hub id owner/name, or a shipped model.",
    ),
]
TrainedOn = Annotated[
    str,
    typer.Argument(metavar="SOURCE", show_default=False, help="The photos that it was trained on."),
]
NewModel = Annotated[Path, typer.Option(help="The folder of the new model.", show_default=False)]
JsonOutput = Annotated[
    bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are there (an input never is).")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Another number of the training, such as weights.edit=2; see TrainConfig, of retouch "
        "RetouchConfig. May be given several times.",
    ),
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …: auto is a GPU where there is one.")
]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")

Written = frozenset[tuple[int, int]]
"""Files by device and inode, so that links and other spellings of a name are seen through."""


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"  {line}" for line in lines)])


def output() -> Console:
    """Standard output, where tables go; wide enough for paths where it is a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def progress_console() -> Console:
    """Standard error, where bars go; silent where nobody watches."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, quiet=True)


def print_json(value: object) -> None:
    """One line of JSON on standard output, at once."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def parse_names(texts: Sequence[str] | None) -> list[str] | None:
    """``A,B`` and repeated options as one list of names; None where nothing was given."""
    if not texts:
        return None
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def parse_duration(text: str) -> float:
    """Seconds of ``90m``, ``1h30m``, ``45s`` or ``3600``.

    Raises:
        InputError: For a text of another form, or no time at all.
    """
    found = _DURATION.fullmatch(text.strip().lower().replace(" ", ""))
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise InputError(f"{text!r} is not a time: write 90m, 1h30m or 3600s")
    return total


def device_for(name: str) -> str:
    """What ``auto`` stands for here; any other name as it is."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def open_model(source: str, device: str = "auto") -> CDVAEGAN:
    """Load a model onto a device.

    Raises:
        InputError: Where there is no such model, or no such device here.
    """
    from cdvae_gan.model import load

    device = device_for(device)
    try:
        return load(source, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's errors for a device that isn't there
        raise InputError(f"no device {device!r} here: cpu always works") from error


def counted(n: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def output_names(paths: Iterable[Path], endings: Sequence[str]) -> list[list[str]]:
    """For every image a file name with each ending; equal stems are told apart by a number."""
    taken, names = set[str](), []
    for path in paths:
        number = 1
        while True:
            stem = path.stem if number == 1 else f"{path.stem}-{number}"
            row = [f"{stem}{ending}" for ending in endings]
            # Some file systems take names that differ in case alone for one.
            if taken.isdisjoint(folded := [name.casefold() for name in row]):
                break
            number += 1
        taken.update(folded)
        names.append(row)
    return names


def is_picture(path: Path) -> bool:
    """Whether a path has the suffix of a picture that can be written."""
    return path.suffix.lower() in _FORMATS


def claim(path: Path, inputs: Iterable[Path] = (), *, overwrite: bool = False) -> Path:
    """Make sure that a picture may be written to a path, and make its folder.

    Args:
        path: Where to.
        inputs: Files that must not be touched, whatever ``overwrite`` says.
        overwrite: Whether another file may be replaced.

    Raises:
        InputError: Where it may not.
    """
    if not is_picture(path):
        kind = repr(path.suffix) if path.suffix else "a name without a suffix"
        raise InputError(f"cannot write a picture as {kind}: use {', '.join(_FORMATS)}")
    refuse([path], identities(inputs), overwrite=overwrite)
    folder_for(path.parent)
    return path


def identities(paths: Iterable[Path]) -> Written:
    """Which files these are; those that do not exist are left out."""
    found = (_identity(path) for path in paths)
    return frozenset(one for one in found if one is not None)


def refuse(paths: Iterable[Path], inputs: Written, *, overwrite: bool) -> None:
    """Raise InputError for the first path that is an input, or there already."""
    for path in paths:
        identity = _identity(path)
        if identity is None:
            continue
        if identity in inputs:
            raise InputError(f"{path} is an input and will not be overwritten: choose another")
        if path.is_dir():
            raise InputError(f"{path} is a folder: give the name of a file")
        if not overwrite:
            raise InputError(f"{path} exists: --overwrite replaces it, or choose another")


def refuse_model(out: Path, model: str, *others: str, overwrite: bool) -> None:
    """Raise InputError where a model in ``out`` would replace the one that it is made of, or any.

    Args:
        out: The folder of the new model.
        model: Where the one that it is made of comes from.
        others: Names of files that are written beside it.
        overwrite: Whether what is there may be replaced.
    """
    files = ("config.json", "model.safetensors")
    given = (folder / name for folder in (Path(model), Path(model) / "model") for name in files)
    refuse([out / name for name in (*files, *others)], identities(given), overwrite=overwrite)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def folder_for(folder: Path) -> Path:
    """Make a folder to write into.

    Raises:
        InputError: Where it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"no permission to write into {folder}")
    return folder


@contextmanager
def fresh_folder(folder: Path) -> Iterator[None]:
    """A folder to write into, as `folder_for` makes it; not left empty where the work fails.

    Raises:
        InputError: Where it cannot be made or written to.
    """
    there = folder.exists()
    folder_for(folder)
    try:
        yield
    finally:
        if not there and not any(folder.iterdir()):
            folder.rmdir()


def write_picture(picture: Image.Image, path: Path) -> Path:
    """Write a picture, whole or not at all.

    Raises:
        InputError: Where there is no room or no permission.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        picture.save(temporary, format=_FORMATS[path.suffix.lower()])
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    except ValueError as error:  # more pixels than this kind of file can have
        raise InputError(f"cannot write {path}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def intervention_text(do: Mapping[str, float | bool | str]) -> str:
    """``Smiling=1, Eyeglasses=flip``."""
    parts = (f"{k}={v if isinstance(v, str) else format(float(v), 'g')}" for k, v in do.items())
    return ", ".join(parts)


def reading(probability: float) -> str:
    """A probability as it is shown: ``.98``, ``1.00``."""
    return f"{probability:.2f}".removeprefix("0")
