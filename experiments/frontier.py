"""What a model's edits gain and what they cost, in a few minutes, to compare candidates by.

    python experiments/frontier.py MODEL [MODEL …] --celeba CELEBA [--judge JUDGE …] [--images 40]
        [--large]

Photos of the tune half, the same for all models, as many for each direction: every attribute is put
on those without it and taken off those with it, without labels, as a user would. Printed are, for
each model,

- deception: the share of edits that judges believe, of photos that they read right, a mean of
  directions, so that putting a beard on counts no more than taking one off;
- same: the share taken for the same person by dlib, without Male and Young;
- the Fréchet distance of all edits to real photos that have what was asked for, as many, in the
  features of two networks. It falls with the number of images: compare it within one call.

With --large edits go into photos of twice the model's resolution, and are gone over there by models
that have a refiner: people and the two networks' features are then of these, while judges see them
at the model's resolution.

No figure of it is reported as a model's own; those are of the report half.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import cdvae_gan
from cdvae_gan.data import AttributeDataset
from cdvae_gan.evaluation.bootstrap import interval, resampled
from cdvae_gan.evaluation.embeddings import (
    SAME_PERSON,
    Embedding,
    face_embedding,
    object_embedding,
)
from cdvae_gan.evaluation.judges import Judge, load_judge
from cdvae_gan.evaluation.judges.store import shipped_judges
from cdvae_gan.evaluation.metrics.realism import frechet_distance
from cdvae_gan.evaluation.splits import halves
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.refinement import paste, reduced, refine

OTHER_PEOPLE = ("Male", "Young")
"""Attributes whose edits may make another person of somebody"""


@dataclass(frozen=True)
class Direction:
    """Photos with one value of an attribute, which are asked for the other."""

    attribute: str
    asked: int
    photos: Tensor
    """uint8 ``(n, 3, H, W)``"""
    real: Tensor
    """uint8 photos that have what is asked for"""


@dataclass(frozen=True)
class Space:
    """Features of pictures."""

    embed: Embedding
    photos: list[Tensor]
    """For each direction, those of its photos"""
    real: list[Tensor]
    """… and of photos that have what is asked for"""

    @classmethod
    def of(cls, embed: Embedding, asked: Sequence[Direction]) -> Space:
        """Embed the photos of all directions."""
        return cls(embed, [embed(d.photos) for d in asked], [embed(d.real) for d in asked])


@dataclass(frozen=True)
class Figures:
    """Of one model."""

    deception: tuple[float, float, float]
    """Mean of directions, with its interval"""
    by_direction: tuple[float, ...]
    same: float
    frechet: tuple[float, ...]
    """A distance for each embedding"""


def directions(data: AttributeDataset, images: int, seed: int = 0) -> list[Direction]:
    """Photos of each direction, drawn by seed."""
    draw = np.random.default_rng(seed)
    labels = np.asarray(data.labels)
    found = []
    for k, name in enumerate(data.attributes):
        off, on = (
            data.batch(np.sort(draw.permutation(np.flatnonzero(labels[:, k] == v))[:images])).images
            for v in (0, 1)
        )
        found += [Direction(name, 1, off, on), Direction(name, 0, on, off)]
    return found


@torch.no_grad()
def measured(
    model: cdvae_gan.CDVAEGAN,
    asked: Sequence[Direction],
    judges: Sequence[Judge],
    spaces: Sequence[Space],
) -> Figures:
    """Edit the photos of all directions and look at what came of it.

    Args:
        model: The model.
        asked: See `directions`.
        judges: Of all of the model's attributes; where none can be trusted, none is asked.
        spaces: In whose features to compare edits and photos. By the last one people are told
            apart.
    """
    draws, values, same = [], [], []
    edits: list[list[Tensor]] = [[] for _ in spaces]
    for i, one in enumerate(asked):
        edited = _edited(model, one)
        for space, drawn in zip(spaces, edits, strict=True):
            drawn.append(space.embed(edited))
        believed, counted = _believed(one, edited, judges, model.image_size)
        if counted.sum():
            sums = np.stack([believed, counted], axis=1)
            draws.append(resampled(sums, _share, seed=i))
            values.append(float(believed.sum() / counted.sum()))
        else:
            values.append(np.nan)
        if spaces and one.attribute not in OTHER_PEOPLE:
            distance = (spaces[-1].photos[i] - edits[-1][i]).norm(dim=1)
            same.append(float((distance < SAME_PERSON).float().mean()))
    low, high = interval(np.mean(draws, axis=0))
    return Figures(
        (float(np.nanmean(values)), low, high),
        tuple(values),
        float(np.mean(same)) if same else np.nan,
        tuple(
            frechet_distance(*(torch.cat(f).double().numpy() for f in (drawn, space.real)))
            for space, drawn in zip(spaces, edits, strict=True)
        ),
    )


def _edited(model: cdvae_gan.CDVAEGAN, one: Direction) -> Tensor:
    """uint8, of the photos' size."""
    large = to_float(one.photos)
    x = large if large.shape[2] == model.image_size else reduced(large).clamp(-1, 1)
    found = model.counterfactual(x, {one.attribute: one.asked})
    if x is large:
        return to_uint8(found.images)
    if model.refiner is not None:
        return to_uint8(refine(model, large, found))
    return to_uint8(paste(large, x, found.images, found.mask, found.detail).image)


def _share(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    return totals[..., 0] / totals[..., 1]


def _believed(
    one: Direction, edited: Tensor, judges: Sequence[Judge], side: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each photo by how many judges it is read right, and by how many of these its edit."""
    believed, counted = np.zeros((2, len(edited)))
    before, after = (
        v if v.shape[2] == side else to_uint8(reduced(to_float(v)).clamp(-1, 1))
        for v in (one.photos, edited)
    )
    for judge in judges:
        k = judge.attributes.index(one.attribute)
        if not judge.card.trusted[k]:
            continue
        right = (judge.read(before)[:, k] == 1 - one.asked).numpy()
        counted += right
        believed += right & (judge.read(after)[:, k] == one.asked).numpy()
    return believed, counted


def main() -> None:
    """Print a line a model, then a line a direction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--celeba", required=True, help="folder of CelebA in its official layout")
    parser.add_argument("--judge", action="append", help="default: those that are shipped")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--large", action="store_true")
    o = parser.parse_args()
    loaded = [cdvae_gan.load(model) for model in o.models]
    first = loaded[0]
    side = (2 if o.large else 1) * first.image_size
    data = cdvae_gan.open_dataset(o.celeba, attributes=first.attributes, size=side)
    judges = [load_judge(j).select(first.attributes) for j in o.judge or shipped_judges()]
    asked = directions(halves(data).tune, o.images)
    face, thing = face_embedding(), object_embedding()
    spaces = [Space.of(embed, asked) for embed in (thing, face)]
    found = []
    for name, model in zip(o.models, loaded, strict=True):
        figures = measured(model, asked, judges, spaces)
        mean, low, high = figures.deception
        print(
            f"{name}: deception {mean:.3f} [{low:.3f}, {high:.3f}], same {figures.same:.3f}, "
            f"Fréchet {figures.frechet[0]:.2f} (object), {figures.frechet[1]:.4f} (face)",
            flush=True,
        )
        found.append(figures)
    for i, one in enumerate(asked):
        rates = " ".join(f"{f.by_direction[i]:.2f}" for f in found)
        print(f"{one.attribute}={one.asked}: {rates} (n = {len(one.photos)})")


if __name__ == "__main__":
    main()
