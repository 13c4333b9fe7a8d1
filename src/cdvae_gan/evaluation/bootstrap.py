"""Bootstrap intervals for statistics of sums (Efron 1979), over images or over identities.

Every rate and mean in this package is a function of sums over images: a share is Σ successes /
Σ trials, a balanced accuracy the mean of two shares. So each group of images (one image, or all of
one person) is a row of sums, a resample is a vector of counts c, and the statistic of a resample is
a function of c S. Columns are resampled together: differences between them are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "Estimate",
    "GroupedSums",
    "Statistic",
    "estimates",
    "grouped",
    "interval",
    "ratio",
    "resampled",
]

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""From totals ``(R, …)`` to what is wanted of them, ``(R, …)``, whatever R."""

RESAMPLES = 1000
CONFIDENCE = 0.95
"""Of the intervals, unless another is asked for."""

_COUNTS = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure, its interval and the number of images behind it; nan where there are none.

    The interval is one of 95 % where nothing else is said.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n:,})"

    def to_dict(self) -> dict[str, float | int | None]:
        """As plain data; what is not known is None, since JSON has no nan."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        known: dict[str, float | int | None] = {
            k: float(v) if np.isfinite(v) else None for k, v in parts.items()
        }
        return {**known, "n": self.n}


def grouped(rows: Floats, groups: npt.NDArray[Any]) -> Floats:
    """Sum rows ``(n, …)`` that share a group; ``(G, …)``, groups in sorted order."""
    members, inverse = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(members), *rows.shape[1:]))
    np.add.at(sums, inverse, rows)
    return sums


def resampled(
    sums: Floats, statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """The statistic of bootstrap resamples of the groups.

    Args:
        sums: ``(G, …)``: the sums of each group.
        statistic: From totals ``(R, …)`` to ``(R, …)``, whatever R.
        resamples: How many.
        seed: Of the resampling.

    Returns:
        ``(resamples, …)``.
    """
    generator = np.random.default_rng(seed)
    n = len(sums)
    flat = sums.reshape(n, -1)
    parts = []
    chunk = max(1, min(resamples, _COUNTS // n))
    for start in range(0, resamples, chunk):
        r = min(chunk, resamples - start)
        drawn = generator.integers(0, n, (r, n)) + np.arange(r)[:, None] * n
        counts = np.bincount(drawn.ravel(), minlength=r * n).reshape(r, n)
        parts.append(statistic((counts @ flat).reshape(r, *sums.shape[1:])))
    return np.concatenate(parts)


def estimates(
    sums: Floats,
    statistic: Statistic,
    n: npt.ArrayLike,
    *,
    share: npt.ArrayLike = False,
    behind: npt.ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> npt.NDArray[np.object_]:
    """The statistic of all groups with percentile intervals, an array of `Estimate`.

    The spread within a single group says nothing of other groups: its interval is not known.

    Args:
        sums: ``(G, …)``: the sums of each group.
        statistic: From totals ``(R, …)`` to values ``(R, *shape)``.
        n: How many images stand behind each value; of shape ``shape``, or a number.
        share: Which values lie in [0, 1] and are made of yes and no. Where all answers are the same
            a bootstrap sees no spread, and the exact bound (Clopper & Pearson 1934) takes over.
        behind: How many groups stand behind each value, for that bound; by default n, or all.
        resamples: How many.
        seed: Of the resampling.
        confidence: How often the intervals are to hold the truth.

    Returns:
        Of shape ``shape``.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        value = statistic(sums.sum(0, keepdims=True))[0]
        draws = resampled(sums, statistic, resamples=resamples, seed=seed)
    count, binary = (np.broadcast_to(np.asarray(v), value.shape) for v in (n, share))
    members = np.minimum(np.broadcast_to(n if behind is None else behind, value.shape), len(sums))
    result = np.empty(value.shape, dtype=object)
    for index in np.ndindex(value.shape):
        low, high = interval(draws[(slice(None), *index)], confidence)
        if binary[index] and low == high and value[index] in (0, 1):
            low, high = _exact(float(value[index]), int(members[index]), confidence)
        elif members[index] < 2:
            low = high = np.nan
        result[index] = Estimate(float(value[index]), low, high, int(count[index]))
    return result


def ratio(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    *,
    share: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Σ numerator / Σ denominator, with the interval over groups.

    Args:
        numerator: ``(n,)``.
        denominator: ``(n,)``, the weight of each image, 0 for one that doesn't count; by default 1.
        groups: ``(n,)``, by default every image its own.
        share: See `estimates`.
        resamples: How many.
        seed: Of the resampling.
    """
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.ones_like(top) if denominator is None else np.asarray(denominator, np.float64)
    names = np.arange(len(top)) if groups is None else np.asarray(groups)
    n = int((bottom != 0).sum())
    if not n:
        return Estimate(np.nan, np.nan, np.nan, 0)
    sums = grouped(np.stack([top, bottom], axis=1), names)
    found = estimates(
        sums, lambda t: t[..., 0] / t[..., 1], n, share=share, resamples=resamples, seed=seed
    )
    result: Estimate = found.item()
    return result


def interval(draws: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The ends between which the middle of the draws ``(R,)`` lies; nan where none is known."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def _exact(value: float, n: int, confidence: float) -> tuple[float, float]:
    reach = ((1 - confidence) / 2) ** (1 / n)
    return (reach, 1.0) if value == 1 else (0.0, 1 - reach)


class GroupedSums:
    """Sums of each group, built up batch by batch: ``(G, *shape)`` for the groups seen so far."""

    def __init__(self, *shape: int) -> None:
        self._shape = shape
        self._index: dict[int, int] = {}
        self._sums = np.zeros((0, *shape))

    def __len__(self) -> int:
        return len(self._index)

    def add(
        self, groups: npt.ArrayLike, values: npt.ArrayLike, where: tuple[Any, ...] = ()
    ) -> None:
        """Add the values of a batch.

        Args:
            groups: ``(B,)`` integers that say whose each row is.
            values: ``(B, …)``.
            where: Index into ``shape`` of the cells that the values belong to.
        """
        names = np.asarray(groups).tolist()
        rows = [self._index.setdefault(name, len(self._index)) for name in names]
        if len(self._index) > len(self._sums):
            grown = np.zeros((max(len(self._index), 2 * len(self._sums)), *self._shape))
            grown[: len(self._sums)] = self._sums
            self._sums = grown
        np.add.at(self._sums, (rows, *where), np.asarray(values, dtype=np.float64))

    @property
    def names(self) -> npt.NDArray[np.int64]:
        """``(G,)`` whose sums they are."""
        return np.fromiter(self._index, dtype=np.int64, count=len(self._index))

    def sums(self) -> Floats:
        """``(G, *shape)``."""
        return self._sums[: len(self._index)]

    def reset(self) -> None:
        self._index = {}
        self._sums = np.zeros((0, *self._shape))
