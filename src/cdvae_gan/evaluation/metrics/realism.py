"""Do the counterfactuals look like photos? Distances between sets of images in a feature space.

With μ, Σ the mean and covariance of features, and k(f, g) = (f·g/D + 1)³:

    Fréchet   |μ − μ′|² + tr(Σ + Σ′ − 2 (Σ Σ′)^½)                       (Heusel et al. 2017)
    kernel    E k(f, f̃) + E k(g, g̃) − 2 E k(f, g), without bias         (Bińkowski et al. 2018)

Both are 0 for equal distributions, and lower is better. The Fréchet distance of two samples of one
distribution is above 0, by more the fewer images there are. So the real images are divided in two:
one half is what the counterfactuals are compared with, and the distance of the other half to it, at
the same number of images, is the floor that no generator can be expected to beat.

The same number of *independent* images, that is: photos of one person are alike, and n of them are
by chance as far from all others as fewer photos of as many people would be. Most of what chance
adds is in the covariance. So with f centred, S its covariance and y_i = f_i f_iᵀ − S, the
counterfactuals count for

    n_eff = n · Σ_i |y_i|² / Σ_g |Σ_{i in g} y_i|²,   g the groups (people),

images, which is n over the design effect of S (Kish 1965, "Survey Sampling"), and so many make the
floor.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import CONFIDENCE, Estimate, interval
from cdvae_gan.evaluation.metrics.base import Groups, Table, array

__all__ = [
    "COUNTERFACTUAL",
    "ENOUGH",
    "EXCESS",
    "FLOOR",
    "FRECHET",
    "KERNEL",
    "TIMES",
    "Realism",
    "effective_number",
    "frechet_distance",
    "kernel_distance",
]

FRECHET, KERNEL = "Fréchet", "kernel × 1000"
COUNTERFACTUAL, FLOOR, EXCESS, TIMES = "counterfactual", "real (floor)", "excess", "times the floor"

ENOUGH = 4000
"""Images of each kind below which `Realism` warns that its figures mean little."""

Floats = npt.NDArray[np.float64]

_BLOCK = 1024
_ALONE = -(2**40)
"""From where on images are numbered that are a group each"""


class Realism:
    """Distances of counterfactuals to real images, and the floor; lower is better.

    Rows: ``counterfactual``, ``real (floor)``, ``excess``, the first less the second, and ``times
    the floor``, the first over the second. Columns: ``Fréchet`` and ``kernel × 1000``, whose floor
    is 0 but for chance, so that it has no such ratio. Intervals are over groups of counterfactuals
    and over real images, with the bias of resampling (which draws an image twice) taken off.

    Args:
        features: What the features are, for messages.
        seed: Of the division of the real images.
    """

    def __init__(self, features: str, *, seed: int = 0) -> None:
        self.features, self.seed = features, seed
        self._real: list[npt.NDArray[np.float32]] = []
        self._drawn: list[npt.NDArray[np.float32]] = []
        self._groups: list[npt.NDArray[np.int64]] = []

    def update(self, features: Groups, *, real: bool, groups: Groups | None = None) -> None:
        """Add features ``(B, D)`` of real images, or of counterfactuals.

        The real ones should not be the factuals of these counterfactuals, or their likeness counts
        as realism. A row with a nan is left out.

        Args:
            features: Of the images.
            real: What they are.
            groups: ``(B,)``, of counterfactuals: who is on them, or of which photo they are; those
                of one group are not independent. None where all are.
        """
        f = array(features).astype(np.float32)
        known = np.isfinite(f).all(1)
        if real:
            self._real.append(f[known])
            return
        self._drawn.append(f[known])
        if groups is None:
            seen = sum(map(len, self._groups))
            self._groups.append(_ALONE + seen + np.arange(known.sum()))
        else:
            self._groups.append(array(groups).astype(np.int64)[known])

    @property
    def n(self) -> int:
        """How many counterfactuals are compared, with as many real images."""
        real, drawn = (sum(map(len, parts)) for parts in (self._real, self._drawn))
        return min(real // 2, drawn)

    def compute(
        self, *, resamples: int = 100, seed: int = 0, confidence: float = CONFIDENCE
    ) -> Table:
        """The distances.

        Raises:
            InputError: There are too few images to compare.
        """
        sets = self._sets()
        values, draws = _draws(sets, resamples, seed)
        if self.n < ENOUGH:
            warnings.warn(
                f"realism in {self.features} features from {self.n:,} counterfactuals and as many "
                f"real images: below {ENOUGH:,} it says little",
                stacklevel=2,
            )
        ns = (self.n, len(sets.other), self.n, self.n)
        return _table((COUNTERFACTUAL, FLOOR, EXCESS, TIMES), values, draws, ns, confidence)

    def difference(
        self,
        other: Realism,
        *,
        resamples: int = 100,
        seed: int = 0,
        confidence: float = CONFIDENCE,
    ) -> Table:
        """The distance of these counterfactuals less that of others, of the same images.

        Raises:
            InputError: They are not of the same images, or there are too few.
        """
        sets, sets_2 = self._sets(), other._sets()
        if not (
            np.array_equal(sets.reference, sets_2.reference)
            and np.array_equal(sets.groups, sets_2.groups)
        ):
            raise InputError("realism can be compared on the same images alone")
        (values, draws), (values_2, draws_2) = (_draws(s, resamples, seed) for s in (sets, sets_2))
        gap, gaps = (values - values_2)[:1], (draws - draws_2)[:, :1]
        return _table((COUNTERFACTUAL,), gap, gaps, (self.n,), confidence)

    def reset(self) -> None:
        self._real, self._drawn, self._groups = [], [], []

    def _sets(self) -> _Sets:
        real = np.concatenate(self._real) if self._real else np.zeros((0, 0))
        drawn = np.concatenate(self._drawn) if self._drawn else np.zeros((0, 0))
        generator = np.random.default_rng(self.seed)
        order = generator.permutation(len(real))
        half = len(real) // 2
        n = min(half, len(drawn))
        if n < 2:
            raise InputError(
                f"realism needs at least 4 real images and 2 counterfactuals, not {len(real)} and "
                f"{len(drawn)}"
            )
        chosen = generator.permutation(len(drawn))[:n]
        f = drawn[chosen].astype(np.float64)
        groups = np.unique(np.concatenate(self._groups)[chosen], return_inverse=True)[1]
        worth = max(2, round(effective_number(f, groups)))
        reference, other = real[order[half:]], real[order[:half][:worth]]
        return _Sets(reference.astype(np.float64), other.astype(np.float64), f, groups)


class _Sets(NamedTuple):
    """Features ``(n, D)`` of images."""

    reference: Floats
    """Real: what the others are compared with"""
    other: Floats
    """Real: the floor"""
    drawn: Floats
    groups: npt.NDArray[np.int64]
    """Of what is drawn, from 0 on"""


def effective_number(features: Floats, groups: npt.NDArray[np.int64]) -> float:
    """For how many independent images those of groups count: n_eff of the module, at most n.

    Args:
        features: ``(n, D)``.
        groups: ``(n,)``, numbers of any kind.
    """
    f = features - features.mean(axis=0)
    s = f.T @ f / len(f)
    along, own = np.einsum("id,de,ie->i", f, s, f, optimize=True), (s**2).sum()
    alone = ((f**2).sum(axis=1) ** 2 - 2 * along + own).sum()
    together = 0.0
    by_group = np.argsort(groups, kind="stable")
    for rows in np.split(by_group, np.flatnonzero(np.diff(groups[by_group])) + 1):
        y = (f[rows] @ f[rows].T) ** 2 - along[rows] - along[rows][:, None] + own  # y_i · y_j
        together += y.sum()
    return len(f) * float(min(1.0, alone / together)) if together > 0 else float(len(f))


def _draws(sets: _Sets, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """``(4, 2)`` values and ``(resamples, 4, 2)``: rows and columns of the table."""
    found = [f(sets, resamples, seed) for f in (_frechet_draws, _kernel_draws)]
    values = np.stack([v for v, _ in found], axis=1)
    draws = np.stack([d for _, d in found], axis=2)
    excess, excesses = values[:1] - values[1:], draws[:, :1] - draws[:, 1:]
    centred = values + draws - draws.mean(0)
    # Of few images the floor is nearly 0, and a draw of it can be below.
    floors = np.where(centred[:, 1:] > 0, centred[:, 1:], np.nan)
    times, spread = values[:1] / values[1:], centred[:, :1] / floors
    times[..., 1], spread[..., 1] = np.nan, np.nan
    return (
        np.concatenate([values, excess, times]),
        np.concatenate([draws, excesses, spread], axis=1),
    )


def frechet_distance(f: Floats, g: Floats) -> float:
    """The Fréchet distance of normal distributions fitted to features ``(n, D)`` and ``(m, D)``."""
    return _frechet(_moments(f, np.ones(len(f))), _moments(g, np.ones(len(g))))


def kernel_distance(f: Floats, g: Floats) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (f·g/D + 1)³."""
    ones_f, ones_g = np.ones((1, len(f))), np.ones((1, len(g)))
    within = _within(f, ones_f) + _within(g, ones_g)
    return float((within - 2 * _between(f, g, ones_f, ones_g))[0])


def _frechet_draws(sets: _Sets, resamples: int, seed: int) -> tuple[Floats, Floats]:
    reference, other, drawn, _ = sets
    values = [frechet_distance(drawn, reference), frechet_distance(other, reference)]
    draws = np.empty((resamples, 2))
    for r, (c_ref, c_other, c_drawn) in enumerate(_counts(sets, resamples, seed)):
        base = _moments(reference, c_ref)
        draws[r] = (
            _frechet(_moments(drawn, c_drawn), base),
            _frechet(_moments(other, c_other), base),
        )
    return np.array(values), draws


def _kernel_draws(sets: _Sets, resamples: int, seed: int) -> tuple[Floats, Floats]:
    reference, other, drawn, _ = sets
    drawn_counts = list(_counts(sets, resamples, seed))
    counts = [
        np.concatenate([np.ones((1, len(f))), np.stack([c[i] for c in drawn_counts])])
        for i, f in enumerate((reference, other, drawn))
    ]
    base = _within(reference, counts[0])
    rows = [
        base + _within(f, c) - 2 * _between(reference, f, counts[0], c)
        for f, c in ((drawn, counts[2]), (other, counts[1]))
    ]
    found = 1000 * np.stack(rows, axis=1)
    return found[0], found[1:]


def _counts(sets: _Sets, resamples: int, seed: int) -> Iterator[tuple[Floats, Floats, Floats]]:
    """How often each image is drawn; those of a group together."""
    # Each has its own stream: how many make the floor must not change how the others are drawn.
    streams = np.random.default_rng(seed).spawn(3)
    sizes = len(sets.reference), len(sets.other), sets.groups.max() + 1
    for _ in range(resamples):
        reference, other, groups = (
            np.bincount(stream.integers(0, n, n), minlength=n).astype(np.float64)
            for stream, n in zip(streams, sizes, strict=True)
        )
        yield reference, other, groups[sets.groups]


def _table(
    rows: tuple[str, ...],
    values: Floats,
    draws: Floats,
    ns: tuple[int, ...],
    confidence: float,
) -> Table:
    """Resampling shifts these statistics: their spread is laid around the values themselves."""
    cells = np.empty(values.shape, dtype=object)
    for index in np.ndindex(values.shape):
        spread = draws[(slice(None), *index)]
        known = spread[np.isfinite(spread)]
        low, high = interval(known - known.mean() if len(known) else known, confidence)
        value = float(values[index])
        cells[index] = Estimate(value, value + low, value + high, ns[index[0]])
    return Table(rows, (FRECHET, KERNEL), cells)


def _moments(f: Floats, counts: Floats) -> tuple[Floats, Floats]:
    total = counts.sum()
    mean = counts @ f / total
    centred = f - mean
    return mean, (centred * counts[:, None]).T @ centred / (total - 1)


def _frechet(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> float:
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    # tr (Σ Σ′)^½ = tr (Σ^½ Σ′ Σ^½)^½, which is symmetric
    middle = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    gap = mean_a - mean_b
    return float(gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2 * middle)


def _kernel(f: Floats, g: Floats) -> Floats:
    return np.asarray((f @ g.T / f.shape[1] + 1) ** 3)


def _within(f: Floats, counts: Floats) -> Floats:
    """Mean kernel of pairs of different images, each weighted by its count; ``(R,)``."""
    total = np.zeros(len(counts))
    for start in range(0, len(f), _BLOCK):
        block = counts[:, start : start + _BLOCK]
        total += ((block @ _kernel(f[start : start + _BLOCK], f)) * counts).sum(1)
    itself = (f**2).sum(1)
    total -= counts**2 @ (itself / f.shape[1] + 1) ** 3
    pairs = counts.sum(1) ** 2 - (counts**2).sum(1)
    return np.asarray(total / pairs)


def _between(f: Floats, g: Floats, counts_f: Floats, counts_g: Floats) -> Floats:
    total = np.zeros(len(counts_f))
    for start in range(0, len(f), _BLOCK):
        block = counts_f[:, start : start + _BLOCK]
        total += ((block @ _kernel(f[start : start + _BLOCK], g)) * counts_g).sum(1)
    return np.asarray(total / (counts_f.sum(1) * counts_g.sum(1)))
