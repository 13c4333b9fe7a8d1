"""Is a mean change more than chance? A paired test by signs, and a correction for many tests.

Under the hypothesis of no effect a change is as likely as its opposite, so the mean under random
signs is its distribution (Fisher 1935). Images of one person get one sign together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdvae_gan.evaluation.bootstrap import grouped

__all__ = ["LEVEL", "holm", "sign_test"]

LEVEL = 0.05
"""Below it a corrected p is called significant."""

_FLIPS = 9_999
_AT_ONCE = 4_000_000

Floats = npt.NDArray[np.float64]


def sign_test(changes: Floats, groups: npt.NDArray[Any], seed: int = 0) -> float:
    """Two-sided p of a mean change of 0, by random signs; of few groups all signs are tried.

    Args:
        changes: ``(n,)``.
        groups: ``(n,)`` what belongs together.
        seed: Of the signs.
    """
    sums = grouped(np.asarray(changes, dtype=np.float64), groups)
    sums = sums[sums != 0]
    n, observed = len(sums), abs(sums.sum()) * (1 - 1e-12)
    if 2**n <= _FLIPS:
        every = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float(np.mean(_totals(every, sums) >= observed))
    generator, beyond, chunk = np.random.default_rng(seed), 0, max(1, _AT_ONCE // n)
    for start in range(0, _FLIPS, chunk):
        drawn = generator.integers(0, 2, (min(chunk, _FLIPS - start), n), dtype=np.uint8)
        beyond += int((_totals(drawn, sums) >= observed).sum())
    return (1 + beyond) / (1 + _FLIPS)


def _totals(bits: npt.NDArray[Any], sums: Floats) -> Floats:
    """|Σ ± sums| for rows of bits, which stand for the signs."""
    totals: Floats = np.abs(2 * (bits.astype(np.float64) @ sums) - sums.sum())
    return totals


def holm(p: Sequence[float]) -> list[float]:
    """P corrected for their number: any at or below .05 is wrong in at most 5 % (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    stepped = np.maximum.accumulate(np.asarray(p, dtype=np.float64)[order] * factors).clip(max=1)
    corrected = np.empty(len(p))
    corrected[order] = stepped
    return [float(c) for c in corrected]
