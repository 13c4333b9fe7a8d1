"""Is a floor of n_eff photos what photos of few people are from others? Real photos alone.

    python experiments/floor.py CELEBA [--people 454] [--draws 8]

Photos of some people are compared with photos of others, as counterfactuals are, and so are as many
independent photos, and as many as those of the few count for
(`cdvae_gan.evaluation.metrics.realism`). If they do, the last are as far as the first.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
from scipy import stats

from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.evaluation.embeddings import Embedding, face_embedding, object_embedding
from cdvae_gan.evaluation.metrics.realism import effective_number, frechet_distance

Floats = npt.NDArray[np.float64]

NAMES = ("photos of the few", "as many independent photos", "n_eff independent photos", "n_eff")


def main() -> None:
    """Print means over draws of people, with intervals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("celeba")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--people", type=int, default=454, help="the few")
    parser.add_argument("--of", type=int, default=2000, help="people whose photos are looked at")
    parser.add_argument("--images", type=int, default=1879, help="of the few, at most")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--features", choices=("face", "object"), default="face")
    o = parser.parse_args()
    data = open_dataset(o.celeba, size=o.size, progress=True).split("train")
    assert data.identities is not None
    who = np.asarray(data.identities)
    generator = np.random.default_rng(0)
    some = generator.permutation(np.unique(who))[: o.of]
    rows = np.flatnonzero(np.isin(who, some))
    embed = face_embedding() if o.features == "face" else object_embedding()
    features = _embedded(data.take(rows), embed)
    found = distances(features, who[rows], o.people, o.images, o.draws, generator)
    for name, column in zip(NAMES, found.T, strict=True):
        half = stats.t.ppf(0.975, len(column) - 1) * stats.sem(column)
        low, high = column.mean() - half, column.mean() + half
        print(f"{name:28} {column.mean():.5g} [{low:.5g}, {high:.5g}]")


def distances(
    f: Floats,
    who: npt.NDArray[np.int64],
    people: int,
    images: int,
    draws: int,
    generator: np.random.Generator,
) -> Floats:
    """``(draws, 4)``: see `NAMES`; Fréchet distances from as many photos of others.

    Args:
        f: ``(N, D)`` features.
        who: ``(N,)``, who is on them.
        people: How many are the few.
        images: At most so many photos of them.
        draws: Of people.
        generator: Draws them.
    """
    everybody, found = np.unique(who), np.empty((draws, len(NAMES)))
    for row in found:
        few = np.isin(who, generator.permutation(everybody)[:people])
        theirs = generator.permutation(np.flatnonzero(few))[:images]
        others = f[generator.permutation(np.flatnonzero(~few))]
        n = min(len(theirs), len(others) // 2)
        theirs, reference, rest = theirs[:n], others[:n], others[n:]
        worth = effective_number(f[theirs], who[theirs])
        compared = f[theirs], rest[:n], rest[: round(worth)]
        row[:] = *(frechet_distance(g, reference) for g in compared), worth
    return found


def _embedded(data: AttributeDataset, embed: Embedding) -> Floats:
    parts = np.array_split(np.arange(len(data)), max(1, len(data) // 64))
    return np.concatenate([embed(data.batch(rows).images).numpy() for rows in parts]).astype(float)


if __name__ == "__main__":
    main()
