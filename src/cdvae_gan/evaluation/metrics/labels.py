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

import numpy as np
import numpy.typing as npt

from cdvae_gan.evaluation.bootstrap import RESAMPLES, GroupedSums, estimates
from cdvae_gan.evaluation.metrics.base import MEAN, Groups, Table, array, mean_of_known

__all__ = [
    "ACCURACY",
    "BALANCED",
    "CALIBRATION_ERROR",
    "CROSS_ENTROPY",
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
        # then Σ (p − y) of each bin.
        self._sums = GroupedSums(len(self.attributes), 5 + _BINS)

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
        gaps = ((p - one) * known)[..., None] * (bins[..., None] == np.arange(_BINS))
        counts = np.stack([one & yes, one, zero & ~yes, zero, -np.log(likely) * known], axis=-1)
        self._sums.add(array(groups), np.concatenate([counts, gaps], axis=-1))

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        columns = (BALANCED, SENSITIVITY, SPECIFICITY, ACCURACY, CROSS_ENTROPY, CALIBRATION_ERROR)
        sums = self._sums.sums()
        n = sums[..., [1, 3]].sum((0, 2)).astype(int)
        counts = np.append(n, n[self.trusted].sum())[:, None]
        cells = estimates(sums, self._statistic, counts, resamples=resamples, seed=seed)
        doubted = (a for a, t in zip(self.attributes, self.trusted, strict=True) if not t)
        return Table((*self.attributes, MEAN), columns, cells, tuple(doubted))

    def reset(self) -> None:
        self._sums.reset()

    def _statistic(self, t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        hits, positives, passes, negatives, entropy = (t[..., i] for i in range(5))
        total = positives + negatives
        each = np.stack(
            [
                (hits / positives + passes / negatives) / 2,
                hits / positives,
                passes / negatives,
                (hits + passes) / total,
                entropy / total,
                np.abs(t[..., 5:]).sum(-1) / total,
            ],
            axis=-1,
        )
        return np.concatenate([each, mean_of_known(each, self.trusted)], axis=-2)
