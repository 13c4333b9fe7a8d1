"""Counterfactuals of a photograph: any size, any number of faces, and the rest of it untouched.

With the photo X, its part x in the model's frame, and ↑ from the frame's pixels to the photo's:

    X′ = X + ↑[w c] − ↑[w f] (X − ↑x)

c is the *change* x′ − x, so that the photo keeps its own sharpness, and f fades the photo's finer
detail where it would be a ghost of what is gone: both at the model's resolution, or at twice of it
for a model with a refiner and a face that has the pixels (`cdvae_gan.refinement`). w is 1 in the
middle of the frame and 0 at its border. Where no change can be seen, not a bit of the photo does.
"""

from __future__ import annotations

import base64
import html
import io
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cdvae_gan.counterfactual import Counterfactuals, Do, ImageLike
from cdvae_gan.errors import InputError
from cdvae_gan.faces import FRAME, Face, Similarity, aligned_face, find_faces, straighten, whole
from cdvae_gan.files import write_whole
from cdvae_gan.images import picture_of, read_image, to_float, to_uint8
from cdvae_gan.refinement import LUMA, Change, coarse, fine

if TYPE_CHECKING:
    from cdvae_gan.model import CDVAEGAN

__all__ = ["EditedPhoto", "Which", "edit"]

Which = Literal["all", "largest"] | int | Sequence[int]
"""Faces by number from left to right, beginning with 1."""

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]
_Box = tuple[int, int, int, int]

_ALIGNED_SIZE = (178, 218)
_KEPT_MODES = ("RGB", "RGBA", "L", "LA")
_SAVED_AS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 3}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True}),
}

# Eye distances in pixels: the frame's is 39, of which a model of 64×64 sees 14.
_SMALL, _TOO_SMALL = 40, 16
_TURNED = 0.3
_DARK = 40  # mean brightness of 255
_BORDER = 0.08  # of the frame's side, over which the change fades out
_REFINED = 0.8  # of twice the model's side: faces of fewer pixels are not gone over at that size
_SHOWN_SIDE = 1600  # of the photo in a notebook and in a comparison


@dataclass(frozen=True)
class EditedPhoto:
    """A photo, the photo that would have been, and what was found and asked.

    A notebook shows both beside each other.
    """

    original: Image.Image
    """Upright; of mode RGB, RGBA, L or LA"""
    photo: Image.Image
    """Of the same size and mode; its ``info`` holds EXIF and ICC profile"""
    faces: tuple[Face, ...]
    """All that were found, from left to right"""
    edited: tuple[int, ...]
    """Numbers of those that were edited; ``faces[number - 1]``"""
    counterfactuals: Counterfactuals
    """One image for each edited face, at the model's resolution"""
    notes: tuple[str, ...] = ()
    """What to beware of, a sentence each: small, dark or averted faces"""

    def save(self, path: str | Path) -> Path:
        """Write the photo, with its EXIF data and ICC profile.

        PNG and WebP (lossless) keep every bit. JPEG is written at quality 95; encoding it again
        changes pixels everywhere, if invisibly.

        Raises:
            InputError: For another suffix, a JPEG of a photo with transparency, or a folder that
                does not exist or cannot be written to.
        """
        path = Path(path)
        if path.suffix.lower() not in _SAVED_AS:
            raise InputError(f"cannot write a photo as {path.suffix!r}: use {', '.join(_SAVED_AS)}")
        kind, options = _SAVED_AS[path.suffix.lower()]
        if kind == "JPEG" and "A" in self.photo.getbands():
            raise InputError(f"{path.name}: JPEG has no transparency: use .png")
        return _write(path, _encoded(self.photo, kind, options))

    def save_comparison(self, path: str | Path) -> Path:
        """Write a page with a slider between before and after; it needs no other file.

        The slider moves with the mouse, a finger and the arrow keys. Large photos are shown at
        1,600 pixels.

        Raises:
            InputError: For a suffix other than .html, or a folder that cannot be written to.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"a comparison is a page: use .html, not {path.suffix!r}")
        return _write(path, _page(self))

    def readings(self, attribute: str) -> list[tuple[float, float]]:
        """P(a_k = 1) as the model reads it before and after, for each edited face."""
        c = self.counterfactuals
        k = c.attributes.index(attribute)
        return list(zip(c.before[:, k].tolist(), c.after[:, k].tolist(), strict=True))

    def figure(self) -> Image.Image:
        """For each edited face: the photo straightened, x, x′ and where detail was given up."""
        from cdvae_gan.figures import grid

        c = self.counterfactuals
        side = 3 * c.images.shape[-1]
        rows = []
        for i, number in enumerate(self.edited):
            to_frame = self.faces[number - 1].to_frame
            crop = np.asarray(straighten(self.original.convert("RGB"), to_frame, side))
            small = [*to_uint8(torch.stack([c.factual[i], c.images[i]])), (c.mask[i] * 255).byte()]
            cells = [np.asarray(t.expand(3, -1, -1).permute(1, 2, 0)) for t in small]
            rows.append([crop, *(cell.repeat(3, axis=0).repeat(3, axis=1) for cell in cells)])
        return grid(rows, columns=["straightened", "x", "x'", "mask"], rows_labels=c.names)

    def to_dict(self) -> dict[str, Any]:
        """All but the pixels, as plain data."""
        images: Any = self.counterfactuals.to_dict()["images"]
        read = dict(zip(self.edited, images, strict=True))
        return {
            "size": list(self.original.size),
            "do": dict(self.counterfactuals.do),
            "detail": self.counterfactuals.detail,
            "faces": [
                {
                    "number": number,
                    "box": list(face.box),
                    "angle": round(face.angle, 1),
                    "eye_distance": round(face.eye_distance, 1),
                    "eyes": face.eyes.round(1).tolist(),
                    "edited": number in read,
                    "attributes": read[number]["attributes"] if number in read else None,
                }
                for number, face in enumerate(self.faces, start=1)
            ],
            "notes": list(self.notes),
        }

    def _repr_png_(self) -> bytes:
        before, after = (_shown(p).convert("RGB") for p in (self.original, self.photo))
        both = Image.new("RGB", (2 * before.width + 8, before.height), "white")
        both.paste(before, (0, 0))
        both.paste(after, (before.width + 8, 0))
        return _encoded(both, "PNG", {})


def edit(
    photo: ImageLike,
    do: Do,
    *,
    model: CDVAEGAN | str | Path = "celeba64",
    faces: Which = "all",
    found: Sequence[Face] = (),
    strength: float = 1.0,
    detail: float | None = None,
    aligned: bool = False,
    any_angle: bool = False,
) -> EditedPhoto:
    """The photo that would have been, had the attributes of its faces been as ``do`` says.

    Args:
        photo: A path or a PIL image of any size. The numbers in the file are taken for sRGB.
        do: Attribute name to 0, 1, a strength in between, or ``"flip"``. Empty: the photo comes
            back bit for bit.
        model: A model, or what :func:`cdvae_gan.load` takes.
        faces: ``"all"``, ``"largest"``, or numbers from left to right, beginning with 1.
        found: All faces of this photo, where :func:`cdvae_gan.faces.find_faces` found them before:
            looking for them takes longer than an edit.
        strength: How far to go from what is there to what ``do`` says, in [0, 1].
        detail: κ in [0, 1]: 1 keeps all detail that the edit does not touch, 0 is plain decoding,
            as coarse as the model; None for the model's own.
        aligned: The photo is a single face, cropped like CelebA's: its central square is taken.
            Photos of 178×218 are taken for such.
        any_angle: Look for faces at all angles even where there are upright ones.

    Raises:
        InputError: Where the photo can't be read, no face is found or a chosen one is missing or
            too small, for an unknown attribute or a value out of range.

    Example:
        >>> result = cdvae_gan.edit("photo.jpg", {"Smiling": 1})
        >>> result.save("smiling.png")
    """
    original, lost = _open(photo)
    name = Path(photo).name if isinstance(photo, str | Path) else "the photo"
    network = _loaded(model)
    if not found and (aligned or original.size == _ALIGNED_SIZE):
        found = [aligned_face(original)]
    elif not found:
        found = find_faces(original, any_angle=any_angle)
    if not found:
        raise InputError(_nothing_found(original, name))
    chosen, notes = _usable(found, _chosen(found, faces, name), faces)
    rgb, faces_chosen = original.convert("RGB"), [found[i] for i in chosen]
    x = _crops(rgb, faces_chosen, network.image_size)
    counterfactuals = replace(
        network.counterfactual(x, do, detail, strength=strength),
        names=tuple(f"face {i + 1}" for i in chosen),
    )
    return EditedPhoto(
        original=original,
        photo=_pasted(
            original, found, chosen, _changes(network, faces_chosen, rgb, counterfactuals)
        )
        if do
        else original.copy(),
        faces=tuple(found),
        edited=tuple(i + 1 for i in chosen),
        counterfactuals=counterfactuals,
        notes=(*notes, *_cautions(found, chosen, x), *lost),
    )


def _loaded(model: CDVAEGAN | str | Path) -> CDVAEGAN:
    from cdvae_gan.model import load

    return load(model) if isinstance(model, str | Path) else model


def _open(photo: ImageLike) -> tuple[Image.Image, list[str]]:
    """A photo, upright, with its EXIF data and ICC profile, and what of the file it has not."""
    if isinstance(photo, Image.Image):
        picture = _in_mode(ImageOps.exif_transpose(photo), picture_of(photo))
        return picture, _lost(photo, picture)
    if not isinstance(photo, str | Path):
        return picture_of(photo), []
    safe = read_image(photo)
    with Image.open(photo) as file:  # can be read, as was just seen
        if file.mode == "CMYK":
            safe.info.pop("icc_profile", None)
        keeps = file.mode in _KEPT_MODES and file.mode != "RGB"
        picture = _in_mode(ImageOps.exif_transpose(file), safe) if keeps else safe
        return picture, _lost(file, picture)


def _lost(source: Image.Image, original: Image.Image) -> list[str]:
    """What of a picture the edited photo cannot have."""
    notes = []
    if source.mode != original.mode:
        notes.append(f"colours of mode {source.mode} are written as 8-bit {original.mode}")
    frames = getattr(source, "n_frames", 1)
    if frames > 1 and source.format != "MPO":  # whose others are previews, which cameras add
        notes.append(f"the first of {frames} pictures is edited, the others are left out")
    return notes


def _in_mode(picture: Image.Image, otherwise: Image.Image) -> Image.Image:
    return picture.copy() if picture.mode in _KEPT_MODES else otherwise.convert("RGB")


def _chosen(found: Sequence[Face], which: str | int | Sequence[int], name: str) -> list[int]:
    """Indices of the faces that are meant."""
    if which == "largest":
        return [max(range(len(found)), key=lambda i: found[i].eye_distance)]
    if which == "all":
        return list(range(len(found)))
    if isinstance(which, str):
        raise InputError(f"faces are 'all', 'largest' or numbers from 1, not {which!r}")
    try:
        numbers = sorted({operator.index(n) for n in np.atleast_1d(np.asarray(which)).tolist()})
    except TypeError:
        raise InputError(f"faces are 'all', 'largest' or numbers from 1, not {which!r}") from None
    if not numbers:
        raise InputError("no face was chosen: give a number, 'largest' or 'all'")
    for number in numbers:
        if not 1 <= number <= len(found):
            several = f"{len(found)} faces, numbered from left to right"
            shown = "1 face" if len(found) == 1 else several
            raise InputError(f"no face {number} in {name}, which shows {shown}")
    return [number - 1 for number in numbers]


def _usable(
    found: Sequence[Face], chosen: Sequence[int], which: str | int | Sequence[int]
) -> tuple[list[int], list[str]]:
    """Those of the chosen faces that are large enough, and sentences about the others."""
    small = [i for i in chosen if _was_found(found[i]) and found[i].eye_distance < _TOO_SMALL]
    sentences = [
        f"face {i + 1} is too small: {found[i].eye_distance:.0f} pixels between the eyes, "
        f"where an edit takes {_TOO_SMALL}"
        for i in small
    ]
    if small and (which != "all" or len(small) == len(chosen)):
        raise InputError(sentences[0])
    return [i for i in chosen if i not in small], [f"{s}; left as it is" for s in sentences]


def _was_found(face: Face) -> bool:
    """And not said to be there, cropped and aligned, whatever its size."""
    return math.isfinite(face.score)


def _cautions(found: Sequence[Face], chosen: Sequence[int], crops: torch.Tensor) -> list[str]:
    """What may spoil an edit."""
    sentences = []
    for i, crop in zip(chosen, crops, strict=True):
        face = found[i]
        if _was_found(face) and face.eye_distance < _SMALL:
            distance = f"{face.eye_distance:.0f} pixels between the eyes"
            sentences.append(f"face {i + 1} is small, {distance}: edits are less sure below 40")
        if abs(face.turned) > _TURNED:
            sentences.append(f"face {i + 1} is turned away: edits are made for frontal faces")
        if (brightness := 127.5 * float(crop.mean() + 1)) < _DARK:
            sentences.append(f"face {i + 1} is dark, {brightness:.0f} of 255: edits are less sure")
    return sentences


def _nothing_found(photo: Image.Image, name: str) -> str:
    brightness = np.asarray(photo.convert("L").resize((32, 32))).mean()
    dark = f", and it is dark ({brightness:.0f} of 255)" if brightness < _DARK else ""
    return (
        f"no face found in {name}{dark}: profiles, covered or blurred faces and those with less "
        f"than {_TOO_SMALL} pixels between the eyes are not; if it is one cropped face, say "
        "so: aligned=True, on the command line --aligned"
    )


def _changes(
    network: CDVAEGAN, faces: Sequence[Face], rgb: Image.Image, c: Counterfactuals
) -> list[Change]:
    """What to put into the photo for each face, gone over where it has pixels enough for that."""
    found, side = [coarse(c)] * len(faces), 2 * network.image_size
    enough = [_side(face) >= _REFINED * side for face in faces]
    if network.refiner is not None and any(enough):
        larger = fine(network, _crops(rgb, faces, side), c)
        found = [larger if has else small for has, small in zip(enough, found, strict=True)]
    return [Change(*(part[i] for part in change)) for i, change in enumerate(found)]


def _pasted(
    photo: Image.Image, found: Sequence[Face], chosen: Sequence[int], changes: Sequence[Change]
) -> Image.Image:
    """The photo with the change of each chosen face in it; bit for bit where there is none."""
    pixels = np.array(photo)
    grey = photo.mode in ("L", "LA")
    colours = pixels.reshape(*pixels.shape[:2], -1)[..., : 1 if grey else 3]  # a view
    source = colours.copy()
    for i, change in zip(chosen, changes, strict=True):
        left, top, right, bottom = box = _within(found[i].box, photo)
        added = _added(source[top:bottom, left:right], box, found[i], change)
        added *= _share(found, i, box)[..., None]
        part = colours[top:bottom, left:right]
        part[...] = (part + added).round().clip(0, 255).astype(np.uint8)
    result = Image.fromarray(pixels)
    result.info = dict(photo.info)
    return result


def _added(source: Pixels, box: _Box, face: Face, change: Change) -> Field:
    """What to add to a part of the photo.

    Args:
        source: ``(h, w, 3)`` or ``(h, w, 1)``: that part.
        box: Where it lies in the photo.
        face: Whose frame the change is in.
        change: Of this face, without the dimension of the batch.
    """
    x, added = (_field(127.5 * t) for t in (change.x + 1, change.added))
    if source.shape[2] == 1:
        luma = np.array(LUMA, np.float32)[:, None]
        x, added = x @ luma, added @ luma
    side, to_frame = _side(face), face.to_frame
    window = _window(side)
    fading = _placed(_enlarged(_field(change.faded)[..., 0], side) * window, box, to_frame)
    fading = fading.clip(0, 1)
    parts = []
    for k in range(source.shape[2]):
        smooth = _placed(_enlarged(x[..., k], side), box, to_frame)
        put = _placed(_enlarged(added[..., k], side) * window, box, to_frame)
        parts.append(put - fading * (source[..., k] - smooth))
    return np.stack(parts, axis=-1)


def _crops(rgb: Image.Image, faces: Sequence[Face], side: int) -> torch.Tensor:
    """Faces in the model's frame, ``(B, 3, side, side)`` in [−1, 1]."""
    pixels = np.stack([np.asarray(straighten(rgb, f.to_frame, side)) for f in faces])
    return to_float(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def _side(face: Face) -> int:
    """Of the frame, in pixels of the photo."""
    to_frame = face.to_frame
    return round(FRAME / to_frame.scale) if whole(to_frame) else -int(-FRAME // to_frame.scale)


def _window(side: int) -> Field:
    """1 in the middle of the frame, falling smoothly to 0 at its border; ``(side, side)``."""
    inwards = np.minimum(np.arange(side), np.arange(side)[::-1]) / (_BORDER * side)
    profile = (0.5 - 0.5 * np.cos(np.pi * inwards.clip(0, 1))).astype(np.float32)
    return np.outer(profile, profile)


def _enlarged(field: Field, side: int) -> Field:
    """A field ``(S, S)`` at ``(side, side)``, such that making it small again gives it back."""
    small, size = Image.fromarray(field), (side, side)
    large = np.asarray(small.resize(size, Image.Resampling.BICUBIC))
    if side > len(field):
        again = Image.fromarray(large).resize(small.size, Image.Resampling.LANCZOS)
        missing = Image.fromarray(field - np.asarray(again))
        large = large + np.asarray(missing.resize(size, Image.Resampling.BICUBIC))
    return large


def _placed(field: Field, box: _Box, to_frame: Similarity) -> Field:
    """A field over the frame, ``(side, side)``, as it lies over a part of the photo; 0 outside."""
    left, top, right, bottom = box
    to_field = to_frame.then(Similarity(complex(len(field) / FRAME), 0))
    placing = Similarity(1, complex(left, top)).then(to_field)
    placed = Image.fromarray(field).transform(
        (right - left, bottom - top),
        Image.Transform.AFFINE,
        placing.coefficients(),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(placed)


def _share(found: Sequence[Face], i: int, box: _Box) -> Field:
    """How far each pixel of a box belongs to face i rather than to another; ``(h, w)`` in [0, 1].

    So that an edit never reaches into a neighbour's face.
    """
    left, top, right, bottom = box
    x = np.arange(left + 0.5, right, dtype=np.float32)[None]
    y = np.arange(top + 0.5, bottom, dtype=np.float32)[:, None]
    share = np.ones((bottom - top, right - left), np.float32)
    mine = _distance(found[i], x, y)
    for other in (face for j, face in enumerate(found) if j != i):
        if _overlap(other.box, box):
            ratio = (mine / np.maximum(_distance(other, x, y), 1e-6)) ** 8
            share *= 1 / (1 + ratio)
    return share


def _distance(face: Face, x: Field, y: Field) -> Field:
    """From the middle of a face, in units of its size."""
    cx, cy = face.centre.astype(np.float32)
    distance: Field = np.hypot(x - cx, y - cy) * np.float32(face.to_frame.scale)
    return distance


def _within(box: _Box, photo: Image.Image) -> _Box:
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, photo.width), min(bottom, photo.height)


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _field(tensor: torch.Tensor) -> Field:
    """``(C, S, S)`` as ``(S, S, C)``."""
    return np.asarray(tensor.permute(1, 2, 0).contiguous().float())


def _encoded(photo: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    kept = {k: photo.info[k] for k in ("exif", "icc_profile", "dpi") if photo.info.get(k)}
    stream = io.BytesIO()
    try:
        photo.save(stream, kind, **options, **kept)
    except ValueError as error:  # too many pixels, or too much EXIF data, for this kind of file
        raise InputError(f"cannot write this photo as {kind}: {error}; use .png") from None
    return stream.getvalue()


def _write(path: Path, content: bytes | str) -> Path:
    try:
        return write_whole(path, content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def _shown(photo: Image.Image) -> Image.Image:
    """A copy no larger than a page takes."""
    copy = photo.copy()
    copy.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE), Image.Resampling.LANCZOS)
    return copy


def _page(edited: EditedPhoto) -> str:
    """The comparison, as HTML."""
    values = edited.counterfactuals.do.items()
    do = ", ".join(f"{k}={v if isinstance(v, str) else f'{v:g}'}" for k, v in values) or "nothing"
    shown = [_shown(picture) for picture in (edited.original, edited.photo)]
    before, after = (_data_url(picture) for picture in shown)
    width, height = shown[0].size
    caption = f"do({do}){_which_of(edited)}, drawn by CDVAE-GAN"
    return _PAGE.format(
        caption=html.escape(caption), before=before, after=after, width=width, height=height
    )


def _which_of(edited: EditedPhoto) -> str:
    """Which faces of several, in words."""
    if len(edited.faces) == 1:
        return ""
    if len(edited.edited) == len(edited.faces):
        return " on both faces" if len(edited.faces) == 2 else f" on all {len(edited.faces)} faces"
    several = "s" if len(edited.edited) > 1 else ""
    numbers = ", ".join(str(number) for number in edited.edited)
    return f" on face{several} {numbers} of {len(edited.faces)}"


def _data_url(picture: Image.Image) -> str:
    if "A" in picture.getbands():
        kind, content = "png", _encoded(picture, "PNG", {})
    else:
        picture.info.pop("exif", None)  # where and when is nobody's business on a page
        kind, content = "jpeg", _encoded(picture, "JPEG", {"quality": 95, "subsampling": 0})
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{caption}</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }}
body {{ margin: 1.5rem auto;
  max-width: min(95vw, max(16rem, calc((100vh - 11rem) * {width} / {height}))); }}
.pair {{ --at: 50%; position: relative; overflow: hidden; cursor: ew-resize; touch-action: pan-y; }}
.pair img {{ display: block; width: 100%; height: auto; }}
.pair img:first-child {{ clip-path: inset(0 calc(100% - var(--at)) 0 0); }}
.pair img + img {{ position: absolute; inset: 0; clip-path: inset(0 0 0 var(--at)); }}
.pair::after {{ content: ""; position: absolute; inset: 0 auto 0 var(--at); width: 2px;
  margin-left: -1px; background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }}
.pair::before {{ content: "◀ ▶"; position: absolute; z-index: 1; inset: 50% auto auto var(--at);
  translate: -50% -50%; width: 2.5rem; height: 2.5rem; border-radius: 50%; background: #fffd;
  color: #222; box-shadow: 0 0 3px #000; font: .7rem/2.5rem system-ui; text-align: center;
  pointer-events: none; }}
.ends {{ display: flex; justify-content: space-between; }}
input {{ width: 100%; height: 2rem; margin: .5rem 0 0; }}
</style>
</head>
<body>
<figure style="margin: 0">
<div class="pair">
<img src="{before}" alt="Before" width="{width}" height="{height}">
<img src="{after}" alt="After: {caption}" width="{width}" height="{height}">
</div>
<input type="range" min="0" max="100" step="any" value="50" autofocus
  aria-label="Where before ends and after begins; move it with the arrow keys">
<div class="ends" aria-hidden="true"><span>◀ before</span><span>after ▶</span></div>
<figcaption>{caption}</figcaption>
</figure>
<script>
const pair = document.querySelector(".pair");
const slider = document.querySelector("input");
const show = () => {{
  pair.style.setProperty("--at", slider.value + "%");
  slider.setAttribute("aria-valuetext", Math.round(slider.value) + " % before");
}};
const follow = (event) => {{
  if (!pair.hasPointerCapture(event.pointerId)) return;
  const box = pair.getBoundingClientRect();
  slider.value = 100 * (event.clientX - box.left) / box.width;
  show();
}};
slider.addEventListener("input", show);
slider.addEventListener("keydown", (event) => {{
  const step = {{ ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2 }}[event.key];
  if (step === undefined) return;
  event.preventDefault();
  slider.value = Number(slider.value) + step;
  show();
}});
pair.addEventListener("dragstart", (event) => event.preventDefault());
pair.addEventListener("pointerdown", (event) => {{
  if (event.button !== 0) return;
  pair.setPointerCapture(event.pointerId); // so that it follows beyond the picture's edge
  follow(event);
}});
pair.addEventListener("pointermove", follow);
pair.addEventListener("pointerup", () => slider.focus({{ preventScroll: true }}));
show();
</script>
</body>
</html>
"""
