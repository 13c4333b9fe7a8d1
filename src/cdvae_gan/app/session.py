"""What the app does with a photo, without a browser: faces are looked for once, edits are quick."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from cdvae_gan.action import checked, codes, excluded_by, present
from cdvae_gan.counterfactual import Do, act
from cdvae_gan.editing import EditedPhoto, edit
from cdvae_gan.errors import InputError
from cdvae_gan.faces import Face, straighten
from cdvae_gan.model import CDVAEGAN

if TYPE_CHECKING:
    from cdvae_gan.auditing import Audit

__all__ = [
    "EVERY",
    "Photo",
    "Settings",
    "audited",
    "command",
    "edited",
    "flips",
    "opened",
    "positions",
    "shown",
    "with_value",
]

EVERY = "all"
_CELL = 160  # side of a face in the sheet of flips, in pixels


@dataclass(frozen=True)
class Photo:
    """An uploaded photo, in memory alone."""

    name: str
    original: Image.Image
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class Settings:
    """What the sliders say."""

    do: Do
    """Only what was touched"""
    face: str = EVERY
    """`EVERY`, or a number from left to right, beginning with 1"""
    strength: float = 1.0
    detail: float = 1.0


def opened(path: str | Path, model: CDVAEGAN) -> tuple[Photo, EditedPhoto]:
    """Read a photo and find its faces.

    Returns:
        The photo, and it with nothing done: what the model reads in it.

    Raises:
        InputError: The file is no photo, is too large, or shows no face.
    """
    found = edit(path, {}, model=model, detail=1.0)
    return Photo(Path(path).name, found.original, found.faces), found


def edited(photo: Photo, settings: Settings, model: CDVAEGAN) -> EditedPhoto:
    """Edit a photo, without looking for its faces again.

    Raises:
        InputError: For a face that is too small, or attributes that exclude each other.
    """
    return edit(
        photo.original,
        settings.do,
        model=model,
        faces="all" if settings.face == EVERY else int(settings.face),
        found=photo.faces,
        strength=settings.strength,
        detail=settings.detail,
    )


def with_value(do: Do, attribute: str, value: float, model: CDVAEGAN) -> Do:
    """What is asked for when one more slider has been moved.

    Of attributes that exclude each other, the last that was put on stays.
    """
    rivals = excluded_by(attribute, model.config) if value > 0 else []
    gone = [n for n in rivals if do.get(n, 0) != 0]
    return {**{n: v for n, v in do.items() if n not in gone}, attribute: value}


def positions(do: Do, read: Sequence[float], model: CDVAEGAN) -> list[float]:
    """Where the sliders belong: what is asked for, what follows from it, else what is read."""
    config = model.config
    code = codes(checked(do, model.attributes), model.attributes)
    there = torch.tensor([read])
    a = present(there, torch.from_numpy(code), config.certainty).float()
    after = act(a, do, config, there).a
    moved = (after != a) & torch.from_numpy(code < 0)
    follows = torch.where(moved, after, there)[0].tolist()
    return [float(do.get(n, p)) for n, p in zip(model.attributes, follows, strict=True)]


def flips(photo: Photo, settings: Settings, model: CDVAEGAN) -> list[tuple[Image.Image, str]]:
    """The first chosen face with each attribute flipped, and what the model reads in it."""
    cells = []
    for name in model.attributes:
        result = edited(photo, replace(settings, do={name: "flip"}), model)
        before, after = result.readings(name)[0]
        face = photo.faces[result.edited[0] - 1]
        picture = straighten(result.photo.convert("RGB"), face.to_frame, _CELL)
        cells.append((picture, f"{name} {before:.2f} → {after:.2f}"))
    return cells


def command(photo: Photo, settings: Settings, model: str) -> str:
    """The command line that makes the same picture. An edit draws nothing at random."""
    words = ["cdvae-gan", "edit", photo.name]
    for name, value in settings.do.items():
        words += ["--do", f"{name}={value}"]
    if settings.face != EVERY:
        words += ["--face", settings.face]
    if settings.strength != 1:
        words += ["--strength", f"{settings.strength:g}"]
    words += ["--detail", f"{settings.detail:g}", "--model", model]
    return shlex.join(words)


def audited(
    classifier: str | Path,
    photos: Sequence[str | Path],
    interventions: Sequence[str],
    model: CDVAEGAN,
) -> Audit:
    """Audit a classifier on the faces of photos.

    Args:
        classifier: An ONNX file.
        photos: At least two, with faces.
        interventions: Attributes.
        model: What edits.

    Raises:
        InputError: For files that cannot be used, or nothing to audit with.
    """
    # With all that it brings along it would double the time that the app takes to open.
    from cdvae_gan.auditing import audit

    if Path(classifier).suffix.lower() != ".onnx":
        raise InputError(f"{Path(classifier).name}: the classifier must be a file in .onnx")
    if len(photos) < 2:
        raise InputError("an audit takes at least two photos, and 20 for a conclusion")
    if not interventions:
        raise InputError("nothing to audit: choose at least one attribute")
    faces: list[Image.Image | str | Path] = []
    for path in photos:
        found = opened(path, model)[0]
        rgb = found.original.convert("RGB")
        faces += [straighten(rgb, face.to_frame, model.image_size) for face in found.faces]
    return audit(str(classifier), faces, model=model, interventions=list(interventions))


def shown(picture: Image.Image, side: int) -> Image.Image:
    """A copy that is no larger than a screen."""
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    return small
