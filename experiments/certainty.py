"""Where flips fail: at the reading of what is there, or at the drawing of what is asked.

    python experiments/certainty.py celeba64 CELEBA --judge JUDGE [--judge JUDGE …] [--images 120]

Photos of the tune half, for each attribute and each label: how many the model reads right, and how
many flips judges believe. Edits are drawn with the label given and counted at several values of
``certainty``: at c, the flip is done where the model gives what is asked for a probability of at
most c, else nothing is done, and nothing is no flip. At 1 every flip is done.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import cdvae_gan
from cdvae_gan.data import AttributeDataset
from cdvae_gan.evaluation.bootstrap import Estimate, ratio
from cdvae_gan.evaluation.judges import Judge, load_judge
from cdvae_gan.evaluation.splits import groups_of, halves
from cdvae_gan.images import to_float, to_uint8

CERTAINTIES = (0.5, 0.8, 0.9, 0.95, 1.0)


class Direction(NamedTuple):
    """What became of the flips of one attribute away from one label."""

    attribute: str
    asked: int
    read_right: Estimate
    believed: tuple[Estimate, ...]
    """At each certainty, a mean over judges, among photos that a judge reads right"""


@torch.no_grad()
def directions(
    model: cdvae_gan.CDVAEGAN,
    data: AttributeDataset,
    judges: Sequence[Judge],
    *,
    images: int = 120,
    seed: int = 0,
) -> list[Direction]:
    """Flip attributes of photos away from their labels.

    Args:
        model: Of the data's attributes, in their order.
        data: Photos that were not trained on, and that no figure is reported of.
        judges: That know the attributes.
        images: At most so many photos of each label, drawn by seed.
        seed: Of the draw.
    """
    juries = [judge.select(model.attributes) for judge in judges]
    labels = data.batch(np.arange(len(data))).labels.numpy()
    draw = np.random.default_rng(seed)
    found = []
    for k, name in enumerate(model.attributes):
        for label in (0, 1):
            rows = np.flatnonzero(labels[:, k] == label)
            rows = np.sort(draw.permutation(rows)[:images])
            if len(rows):
                part = data.take(rows)
                found.append(_direction(model, part, juries, k, name, label))
    return found


def _direction(
    model: cdvae_gan.CDVAEGAN,
    data: AttributeDataset,
    judges: Sequence[Judge],
    k: int,
    name: str,
    label: int,
) -> Direction:
    pictures, who = data.batch(np.arange(len(data))).images, groups_of(data)
    x = to_float(pictures)
    alpha = model.counterfactual(x, {}).before[:, k].numpy()
    already = alpha if label == 0 else 1 - alpha
    flipped = model.counterfactual(x, {name: 1 - label}, attributes={name: float(label)}).images
    counted, convinced = np.zeros(len(x)), np.zeros(len(x))
    for judge in judges:
        right = (judge.read(pictures)[:, k] == label).numpy()
        counted += right
        convinced += right & (judge.read(to_uint8(flipped))[:, k] == 1 - label).numpy()
    return Direction(
        name,
        1 - label,
        ratio((already <= 0.5).astype(float), groups=who, share=True),
        tuple(ratio(convinced * _done(already, c), counted, who) for c in CERTAINTIES),
    )


def _done(already: NDArray[np.float32], certainty: float) -> NDArray[np.float64]:
    return (already <= certainty).astype(np.float64)


def main() -> None:
    """Print a line a direction, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("celeba", help="folder of CelebA in its official layout")
    parser.add_argument("--judge", action="append", required=True)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    o = parser.parse_args()
    model = cdvae_gan.load(o.model)
    data = cdvae_gan.open_dataset(o.celeba, attributes=model.attributes, size=model.image_size)
    judges = [load_judge(judge) for judge in o.judge]
    found = directions(model, halves(data).tune, judges, images=o.images, seed=o.seed)
    print(f"certainty: {', '.join(f'{c:g}' for c in CERTAINTIES)}")
    for one in found:
        rates = " ".join(f"{e.value:.2f}" for e in one.believed)
        n = one.read_right.n
        print(
            f"{one.attribute}={one.asked}: read right {one.read_right}; believed {rates} (n = {n})"
        )
    for asked in (1, 0):
        rows = [[e.value for e in one.believed] for one in found if one.asked == asked]
        print(f"mean of ={asked}: " + " ".join(f"{v:.3f}" for v in np.nanmean(rows, axis=0)))
    both = np.nanmean([[e.value for e in one.believed] for one in found], axis=0)
    print("mean of all: " + " ".join(f"{v:.3f}" for v in both))


if __name__ == "__main__":
    main()
