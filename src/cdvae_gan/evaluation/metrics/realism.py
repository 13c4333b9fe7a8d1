"""Do the counterfactuals look like photos? Distances between sets of images in a feature space.

With μ, Σ the mean and covariance of features, and k(f, g) = (f·g/D + 1)³:

    Fréchet   |μ − μ′|² + tr(Σ + Σ′ − 2 (Σ Σ′)^½)                       (Heusel et al. 2017)
    kernel    E k(f, f̃) + E k(g, g̃) − 2 E k(f, g), without bias         (Bińkowski et al. 2018)

Both are 0 for equal distributions, and lower is better. The Fréchet distance of two samples of one
distribution is above 0, by more the fewer images there are. So the real images are divided in two:
one half is what the counterfactuals are compared with, and the distance of the other half to it, at
the same number of images, is the floor that no generator can be expected to beat. That holds of
images that are independent: several counterfactuals of one photo count as fewer than they are.
"""

from __future__ import annotations

import warnings
from typing import Any

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
    "frechet_distance",
    "kernel_distance",
]

FRECHET, KERNEL = "Fréchet", "kernel × 1000"
COUNTERFACTUAL, FLOOR, EXCESS, TIMES = "counterfactual", "real (floor)", "excess", "times the floor"

ENOUGH = 4000
"""Images of each kind below which `Realism` warns that its figures mean little."""

Floats = npt.NDArray[np.float64]

_BLOCK = 1024


class Realism:
    """Distances of counterfactuals to real images, and the floor; lower is better.

    Rows: ``counterfactual``, ``real (floor)``, ``excess``, the first less the second, and ``times
    the floor``, the first over the second. Columns: ``Fréchet`` and ``kernel × 1000``, whose floor
    is 0 but for chance, so that it has no such ratio. Intervals are over images, with the bias of
    resampling (which draws an image twice) taken off.

    Args:
        features: What the features are, for messages.
        seed: Of the division of the real images.
    """

    def __init__(self, features: str, *, seed: int = 0) -> None:
        self.features, self.seed = features, seed
        self._real: list[npt.NDArray[np.float32]] = []
        self._drawn: list[npt.NDArray[np.float32]] = []

    def update(self, features: Groups, *, real: bool) -> None:
        """Add features ``(B, D)`` of real images, or of counterfactuals.

        The real ones should not be the factuals of these counterfactuals, or their likeness counts
        as realism; and no two counterfactuals should be of one photo. A row with a nan is left out.
        """
        f = array(features).astype(np.float32)
        (self._real if real else self._drawn).append(f[np.isfinite(f).all(1)])

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
        values, draws = self._draws(resamples, seed)
        if self.n < ENOUGH:
            warnings.warn(
                f"realism in {self.features} features from {self.n:,} counterfactuals and as many "
                f"real images: below {ENOUGH:,} it says little",
                stacklevel=2,
            )
        return _table((COUNTERFACTUAL, FLOOR, EXCESS, TIMES), values, draws, self.n, confidence)

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
        (values, draws), (values_2, draws_2) = (m._draws(resamples, seed) for m in (self, other))
        if self.n != other.n or not np.allclose(values[1], values_2[1]):
            raise InputError("realism can be compared on the same images alone")
        gap, gaps = (values - values_2)[:1], (draws - draws_2)[:, :1]
        return _table((COUNTERFACTUAL,), gap, gaps, self.n, confidence)

    def _draws(self, resamples: int, seed: int) -> tuple[Floats, Floats]:
        """``(4, 2)`` values and ``(resamples, 4, 2)``: rows and columns of the table."""
        sets = self._sets()
        found = [f(*sets, resamples, seed) for f in (_frechet_draws, _kernel_draws)]
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

    def reset(self) -> None:
        self._real, self._drawn = [], []

    def _sets(self) -> tuple[Floats, Floats, Floats]:
        """Reference half, other half, counterfactuals; the last two of one size."""
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
        reference, other = real[order[half:]], real[order[:half][:n]]
        return reference.astype(np.float64), other.astype(np.float64), drawn[chosen].astype(float)


def frechet_distance(f: Floats, g: Floats) -> float:
    """The Fréchet distance of normal distributions fitted to features ``(n, D)`` and ``(m, D)``."""
    return _frechet(_moments(f, np.ones(len(f))), _moments(g, np.ones(len(g))))


def kernel_distance(f: Floats, g: Floats) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (f·g/D + 1)³."""
    ones_f, ones_g = np.ones((1, len(f))), np.ones((1, len(g)))
    within = _within(f, ones_f) + _within(g, ones_g)
    return float((within - 2 * _between(f, g, ones_f, ones_g))[0])


def _frechet_draws(
    reference: Floats, other: Floats, drawn: Floats, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    values = [frechet_distance(drawn, reference), frechet_distance(other, reference)]
    draws = np.empty((resamples, 2))
    for r, (c_ref, c_other, c_drawn) in enumerate(
        _counts(reference, other, drawn, resamples, seed)
    ):
        base = _moments(reference, c_ref)
        draws[r] = (
            _frechet(_moments(drawn, c_drawn), base),
            _frechet(_moments(other, c_other), base),
        )
    return np.array(values), draws


def _kernel_draws(
    reference: Floats, other: Floats, drawn: Floats, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    drawn_counts = list(_counts(reference, other, drawn, resamples, seed))
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


def _counts(reference: Floats, other: Floats, drawn: Floats, resamples: int, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield tuple(
            np.bincount(generator.integers(0, len(f), len(f)), minlength=len(f)).astype(float)
            for f in (reference, other, drawn)
        )


def _table(
    rows: tuple[str, ...], values: Floats, draws: Floats, n: int, confidence: float
) -> Table:
    """Resampling shifts these statistics: their spread is laid around the values themselves."""
    cells = np.empty(values.shape, dtype=object)
    for index in np.ndindex(values.shape):
        spread = draws[(slice(None), *index)]
        known = spread[np.isfinite(spread)]
        low, high = interval(known - known.mean() if len(known) else known, confidence)
        value = float(values[index])
        cells[index] = Estimate(value, value + low, value + high, n)
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
