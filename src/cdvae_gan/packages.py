"""What other installed packages bring along: files, found without importing what they lie in."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cdvae_gan.errors import InputError

__all__ = ["dlib_and_models", "file_of_package"]


def file_of_package(package: str, *parts: str) -> Path | None:
    """A file or folder inside a package; None where the package or the file is missing."""
    spec = find_spec(package)
    places = (Path(folder, *parts) for folder in (spec and spec.submodule_search_locations) or ())
    return next((place for place in places if place.exists()), None)


def dlib_and_models(what: str, extra: str) -> tuple[Any, Path]:
    """The module ``dlib`` and the folder of its trained models.

    The package of the models is looked up and not imported: its module needs pkg_resources, which
    setuptools no longer brings.

    Args:
        what: What needs them, as the error will say.
        extra: Of this package, that brings them.

    Raises:
        InputError: One of the two packages is missing.
    """
    folder = file_of_package("face_recognition_models", "models")
    try:
        import dlib
    except ImportError:
        dlib = None
    if dlib is None or folder is None:
        raise InputError(
            f"{what} needs the packages dlib-bin and face-recognition-models: "
            f"pip install 'cdvae-gan[{extra}]'"
        )
    return dlib, folder
