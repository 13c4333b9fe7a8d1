"""How well attributes are read off real images: by a judge, or by the model's own q(a|x).

For each attribute, with answers ŷ, probabilities p and labels y that are known:

    balanced accuracy  ½ [P(ŷ = 1 | y = 1) + P(ŷ = 0 | y = 0)]   in [0, 1], higher is better
    sensitivity        P(ŷ = 1 | y = 1)                          in [0, 1], higher is better
    specificity        P(ŷ = 0 | y = 0)                          in [0, 1], higher is better
    accuracy           P(ŷ = y)                                  in [0, 1], higher is better
    cross-entropy      − mean log p(y), in nats                  ≥ 0, lower is better
    calibration error  Σ_bins n_b/n |mean p − mean y|, 15 bins   in [0, 1], lower is better

Balanced accuracy is ½ for a coin, and for whoever always gives the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cdvae_gan.evaluation.bootstrap import RESAMPLES, GroupedSums
from cdvae_gan.evaluation.metrics.base import MEAN, Groups, Summed, Table, array, mean_of_known

__all__ = [
    "ACCURACY",
    "BALANCED",
    "CALIBRATION_ERROR",
    "CROSS_ENTROPY",
    "OBSERVED",
    "PREDICTED",
    "SENSITIVITY",
    "SPECIFICITY",
    "LabelQuality",
]

BALANCED, SENSITIVITY, SPECIFICITY, ACCURACY, CROSS_ENTROPY, CALIBRATION_ERROR = (
    "balanced accuracy",
    "sensitivity",
    "specificity",
    "accuracy",
    "cross-entropy",
    "calibration error",
)

PREDICTED, OBSERVED = "predicted", "observed"

_BINS = 15
_SMALLEST = 1e-7


class LabelQuality:
    """Quality of the reading of attributes; a row for each and their mean.

    Args:
        attributes: The K names.
        trusted: Of each, whether it is part of the mean.
    """

    def __init__(self, attributes: Sequence[str], trusted: Sequence[bool] | None = None) -> None:
        self.attributes = tuple(attributes)
        self.trusted = np.array(trusted if trusted is not None else [True] * len(self.attributes))
        # Of each attribute: true positives, positives, true negatives, negatives, cross-entropy,
        # then of each bin Σ p, Σ y and how many.
        self._sums = GroupedSums(len(self.attributes), 5 + 3 * _BINS)

    def update(
        self, labels: Groups, probabilities: Groups, groups: Groups, answers: Groups | None = None
    ) -> None:
        """Add images.

        Args:
            labels: ``(B, K)`` of 0, 1 and −1 for unknown.
            probabilities: ``(B, K)`` in [0, 1].
            groups: ``(B,)``.
            answers: ``(B, K)`` bool; by default the probabilities above ½.
        """
        y, p = array(labels), array(probabilities).astype(np.float64)
        yes = p > 0.5 if answers is None else array(answers).astype(bool)
        one, zero, known = y == 1, y == 0, y >= 0
        likely = np.where(one, p, 1 - p).clip(_SMALLEST, 1)
        bins = np.minimum((p * _BINS).astype(int), _BINS - 1)
        inside = (bins[..., None] == np.arange(_BINS)) & known[..., None]
        binned = [inside * p[..., None], inside & one[..., None], inside]
        counts = np.stack([one & yes, one, zero & ~yes, zero, -np.log(likely) * known], axis=-1)
        self._sums.add(array(groups), np.concatenate([counts, *binned], axis=-1))

    def summed(self) -> Summed:
        """The table before any resampling."""
        columns = (BALANCED, SENSITIVITY, SPECIFICITY, ACCURACY, CROSS_ENTROPY, CALIBRATION_ERROR)
        sums = self._sums.sums()
        n = sums[..., [1, 3]].sum((0, 2)).astype(np.int64)
        counts = np.repeat(np.append(n, n[self.trusted].sum())[:, None], len(columns), axis=1)
        doubted = tuple(a for a, t in zip(self.attributes, self.trusted, strict=True) if not t)
        rows = (*self.attributes, MEAN)
        with_it, without = (self._groups(sums[..., [i]]) for i in (1, 3))
        either, fewest = self._groups(sums[..., [1, 3]]), np.minimum(with_it, without)
        behind = np.stack([fewest, with_it, without, either, either, either], axis=1)
        return Summed(
            self._sums.names,
            sums,
            rows,
            columns,
            self._statistic,
            counts,
            np.array([c in (BALANCED, SENSITIVITY, SPECIFICITY, ACCURACY) for c in columns]),
            doubted,
            behind,
        )

    def reliability(self) -> Summed:
        """Do probabilities mean what they say? All trusted attributes together.

        A row for each bin of probabilities; columns ``predicted``, their mean, and ``observed``,
        the share of 1 among the labels. The two are equal where the reading is calibrated.
        """
        edges = np.linspace(0, 1, _BINS + 1)
        rows = tuple(f"{a:.2f} to {b:.2f}" for a, b in pairwise(edges))
        binned = self._sums.sums()[:, self.trusted, 5:].sum(1)
        sums = binned.reshape(-1, 3, _BINS).transpose(0, 2, 1)
        n = np.repeat(sums[..., 2].sum(0).astype(np.int64)[:, None], 2, axis=1)
        names = (PREDICTED, OBSERVED)
        return Summed(self._sums.names, sums, rows, names, lambda t: t[..., :2] / t[..., 2:], n)

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._sums.reset()

    def _groups(self, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """How many groups have counts ``(G, K, …)`` of each attribute, and of any trusted one."""
        there = (counts != 0).any(2)
        return np.append(there.sum(0), there[:, self.trusted].any(1).sum()).astype(np.int64)

    def _statistic(self, t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        hits, positives, passes, negatives, entropy = (t[..., i] for i in range(5))
        total = positives + negatives
        predicted, observed, _ = np.split(t[..., 5:], 3, axis=-1)
        each = np.stack(
            [
                (hits / positives + passes / negatives) / 2,
                hits / positives,
                passes / negatives,
                (hits + passes) / total,
                entropy / total,
                np.abs(predicted - observed).sum(-1) / total,
            ],
            axis=-1,
        )
        return np.concatenate([each, mean_of_known(each, self.trusted)], axis=-2)
