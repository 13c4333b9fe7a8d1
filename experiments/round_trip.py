"""What the way through a photograph costs: found, straightened, edited, put back, cropped again.

    python experiments/round_trip.py celeba64 CELEBA --judge JUDGE [--judge JUDGE …] [--images 100]

An aligned photo of the report half is enlarged about four times, turned by up to 15°, shifted, and
laid on a larger photograph, half of the time with its own edges mirrored around it. There its face
is looked for and edited by `cdvae_gan.edit`; the result is cropped where the face is known to lie,
brought to the model's size, and shown to judges, beside the direct edit of the same image. Both are
asked for the opposite of the label, and count where the judge reads the image itself right. Faces
that are not found have no round trip, and are counted apart. With --known-frame nothing is looked
for: what is lost then is lost by pasting and cropping, the rest by finding the face elsewhere.
"""

from __future__ import annotations

import argparse
import cmath
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import cdvae_gan
from cdvae_gan.counterfactual import Do
from cdvae_gan.data import AttributeDataset
from cdvae_gan.evaluation.bootstrap import Estimate, estimates, grouped
from cdvae_gan.evaluation.judges import Judge, load_judge
from cdvae_gan.evaluation.splits import groups_of, halves
from cdvae_gan.faces import FRAME, Face, Similarity, aligned_face, find_faces, straighten
from cdvae_gan.images import read_image, to_float, to_uint8

_SIZE = (1280, 1440)  # of the photographs
_SCALE, _ANGLE, _SHIFT = (3.4, 4.6), 15.0, 120.0
_MIRRORED = 40  # pixels of the aligned photo
_NEAR = 0.15  # of the frame's side: how far off a find may be and still be that face


@dataclass(frozen=True)
class Embedded:
    """A photograph, and where its face is known to lie."""

    photo: Image.Image
    to_frame: Similarity
    """From the photo to the frame ``[0, 178]²``"""


@dataclass(frozen=True)
class Trip:
    """Of N images whose face was found, K attributes flipped directly and in the photograph."""

    images: Tensor
    """uint8 ``(N, 3, S, S)``: before"""
    labels: Tensor
    """``(N, K)``: 0, 1, or −1 where unknown"""
    groups: NDArray[np.int64]
    """``(N,)``: whose image it is"""
    direct: Tensor
    """uint8 ``(N, K, 3, S, S)``"""
    again: Tensor
    """uint8 ``(N, K, 3, S, S)``: cropped from the edited photograph"""
    asked: int
    """How many images there were, with those in which no face was found"""


@dataclass(frozen=True)
class Comparison:
    """Deception of one judge, means over its trusted attributes."""

    judge: str
    direct: Estimate
    round_trip: Estimate
    difference: Estimate
    """Round trip − direct, paired"""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        parts = {
            "direct": self.direct,
            "round_trip": self.round_trip,
            "difference": self.difference,
        }
        return {"judge": self.judge, **{k: e.to_dict() for k, e in parts.items()}}


def embed(aligned: Image.Image, random: np.random.Generator) -> Embedded:
    """Lay an aligned photo, enlarged and turned, on a larger one.

    Args:
        aligned: RGB, of 178×218.
        random: For place, size, angle, ground, and whether the photo's edges are mirrored.
    """
    angle = math.radians(random.uniform(-_ANGLE, _ANGLE))
    turn = Similarity(cmath.rect(random.uniform(*_SCALE), angle), 0)
    middle = np.array([[aligned.width / 2, aligned.height / 2]])
    wanted = np.array(_SIZE) / 2 + random.uniform(-_SHIFT, _SHIFT, 2)
    to_photo = turn.then(Similarity(1, complex(*(wanted - turn(middle)[0]))))
    ground = tuple(int(v) for v in random.integers(60, 200, 3))
    margin = _MIRRORED if random.random() < 0.5 else 0
    edges = ((margin, margin), (margin, margin), (0, 0))
    source = Image.fromarray(np.pad(np.asarray(aligned), edges, mode="reflect"))
    to_source = to_photo.inverse().then(Similarity(1, complex(margin, margin)))
    photo = source.transform(
        _SIZE,
        Image.Transform.AFFINE,
        to_source.coefficients(),
        Image.Resampling.BICUBIC,
        fillcolor=ground,
    )
    return Embedded(photo, to_photo.inverse().then(aligned_face(aligned).to_frame))


def found_face(embedded: Embedded) -> Face | None:
    """The face that was embedded, as the finder sees it; None where it does not."""
    middle = embedded.to_frame.inverse()(np.array([[FRAME / 2, FRAME / 2]]))[0]
    near = _NEAR * FRAME / embedded.to_frame.scale
    faces = [f for f in find_faces(embedded.photo) if np.linalg.norm(f.centre - middle) < near]
    return max(faces, key=lambda face: face.score, default=None)


def known_face(embedded: Embedded) -> Face:
    """The face that was embedded, where it is."""
    back, flat = embedded.to_frame.inverse(), aligned_face(Image.new("RGB", (FRAME, FRAME)))
    return Face(back(flat.eyes), back(flat.nose[None])[0], math.inf)


def cropped(photo: Image.Image, to_frame: Similarity, size: int) -> Tensor:
    """What a photo shows in a frame, uint8 ``(3, size, size)``."""
    pixels = np.asarray(straighten(photo.convert("RGB"), to_frame, size)).copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)


def round_trip(
    model: cdvae_gan.CDVAEGAN,
    photos: Sequence[Image.Image],
    data: AttributeDataset,
    *,
    find: Callable[[Embedded], Face | None] = found_face,
    seed: int = 0,
) -> Trip:
    """Flip every attribute of every image to what its label is not, both ways.

    Args:
        model: Of the data's attributes, in their order.
        photos: N aligned photos, RGB.
        data: The same images at the model's size.
        find: Where the face is in a photograph; None where it is not seen.
        seed: Of what the photos are embedded in.
    """
    kept, direct, again = [], [], []
    images, labels = data.batch(np.arange(len(data)))
    for i, aligned in enumerate(photos):
        embedded = embed(aligned, np.random.default_rng([seed, i]))
        face = find(embedded)
        if face is None:
            continue
        kept.append(i)
        both = [
            _both(model, images[i : i + 1], embedded, face, {name: int(label == 0)})
            for name, label in zip(model.attributes, labels[i].tolist(), strict=True)
        ]
        direct.append(torch.stack([one for one, _ in both]))
        again.append(torch.stack([other for _, other in both]))
    return Trip(
        images[kept],
        labels[kept],
        groups_of(data)[kept],
        torch.stack(direct),
        torch.stack(again),
        len(photos),
    )


def _both(
    model: cdvae_gan.CDVAEGAN, image: Tensor, embedded: Embedded, face: Face, do: Do
) -> tuple[Tensor, Tensor]:
    direct = to_uint8(model.counterfactual(to_float(image), do).images)[0]
    edited = cdvae_gan.edit(embedded.photo, do, model=model, found=[face]).photo
    return direct, cropped(edited, embedded.to_frame, image.shape[-1])


def compare(judge: Judge, trip: Trip, attributes: Sequence[str]) -> Comparison:
    """What a judge reads as flipped, directly and after the round trip.

    Args:
        judge: That knows the attributes.
        trip: The edits.
        attributes: Their names.
    """
    judge = judge.select(attributes)
    trusted = list(judge.card.trusted)
    counted = ((judge.read(trip.images) == trip.labels) & (trip.labels >= 0)).numpy()
    wanted = trip.labels == 0
    flipped = [_flipped(judge, pictures, wanted) for pictures in (trip.direct, trip.again)]
    rows = np.stack([counted, *(counted & f for f in flipped)], axis=1)[..., trusted]
    sums = grouped(rows.astype(np.float64), trip.groups)

    def rates(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            direct, again = (
                np.nanmean(totals[..., j, :] / totals[..., 0, :], axis=-1) for j in (1, 2)
            )
        return np.stack([direct, again, again - direct], axis=-1)

    return Comparison(judge.name, *estimates(sums, rates, int(rows[:, 0].sum())))


def _flipped(judge: Judge, pictures: Tensor, wanted: Tensor) -> NDArray[np.bool_]:
    """``(N, K)``: whether the judge reads attribute k of picture k as wanted."""
    answers = [judge.read(pictures[:, k])[:, k] == wanted[:, k] for k in range(wanted.shape[1])]
    return torch.stack(answers, dim=1).numpy()


def main() -> None:
    """Print the share of faces found, and deception both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("celeba", help="folder of CelebA in its official layout")
    parser.add_argument("--judge", action="append", required=True)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--known-frame", action="store_true", help="look for no face")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    o = parser.parse_args()
    model = cdvae_gan.load(o.model)
    judges = [load_judge(name) for name in o.judge]
    report = halves(
        cdvae_gan.open_dataset(o.celeba, attributes=model.attributes, size=model.image_size)
    ).report
    chosen = np.random.default_rng(o.seed).permutation(len(report))[: o.images]
    data = report.take(np.sort(chosen))
    files = [data.file(i) for i in range(len(data))]
    photos = [read_image(file) for file in files if file is not None]
    find = known_face if o.known_frame else found_face
    trip = round_trip(model, photos, data, find=find, seed=o.seed)
    print(f"faces found: {len(trip.images)} of {trip.asked}")
    found = [compare(judge, trip, model.attributes) for judge in judges]
    for one in found:
        print(
            f"{one.judge}: direct {one.direct}, round trip {one.round_trip}, "
            f"difference {one.difference}"
        )
    if o.json is not None:
        figures = {"found": len(trip.images), "asked": trip.asked}
        text = json.dumps({**figures, "judges": [c.to_dict() for c in found]}, indent=2)
        o.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
