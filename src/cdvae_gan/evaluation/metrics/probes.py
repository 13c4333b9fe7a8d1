"""Does z know the attributes? Balanced accuracy of classifiers that predict each a_k from z.

½ is chance: z says nothing. A probe is trained on four fifths of the groups and asked about the
last, five times over, so every image is predicted by a probe that has seen neither it nor anyone
in its group; all probes may learn from further images besides. The more there are, the less can
hide: a probe that has seen few hundred images says little. ``linear`` is logistic regression,
``boosted`` gradient-boosted trees; both weigh the two values alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import RESAMPLES
from cdvae_gan.evaluation.metrics.base import Groups, Summed, Table, array
from cdvae_gan.evaluation.metrics.labels import BALANCED, LabelQuality

__all__ = ["Probe"]

_FOLDS = 5
_TREES = 60
_BINS = 64  # as good as the default of 255 with so few images, in a third of the time


class Probe:
    """Balanced accuracy of a probe from z, in [0, 1]; ½ is best, 1 is complete knowledge.

    Args:
        attributes: The K names.
        kind: ``linear`` or ``boosted``.
        seed: Of the folds and the probes.
    """

    def __init__(
        self,
        attributes: Sequence[str],
        kind: Literal["linear", "boosted"] = "linear",
        *,
        seed: int = 0,
    ) -> None:
        self.attributes, self.kind, self.seed = tuple(attributes), kind, seed
        self._batches: list[tuple[npt.NDArray[Any], ...]] = []
        self._lessons: list[tuple[npt.NDArray[Any], ...]] = []

    def teach(self, z: Groups, labels: Groups) -> None:
        """Add latents ``(B, d)`` and labels ``(B, K)`` of other people, to learn from alone."""
        self._lessons.append((array(z).astype(np.float32), array(labels)))

    def update(self, z: Groups, labels: Groups, groups: Groups) -> None:
        """Add latents ``(B, d)``, labels ``(B, K)`` of 0, 1 and −1, and groups ``(B,)``."""
        self._batches.append((array(z).astype(np.float32), array(labels), array(groups)))

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        """One column, ``balanced accuracy``.

        Raises:
            InputError: scikit-learn is missing, or there are fewer groups than folds.
        """
        return self.summed().table(resamples=resamples, seed=seed).select_columns((BALANCED,))

    def summed(self) -> Summed:
        """The quality of the probes' answers before any resampling; trains the probes."""
        predicted = self.predictions()
        _, y, groups = self._added()
        quality = LabelQuality(self.attributes)
        known = np.where(np.isfinite(predicted), y, -1)
        quality.update(known, np.nan_to_num(predicted, nan=0.5), groups)
        return quality.summed()

    def predictions(self) -> npt.NDArray[Any]:
        """``(n, K)`` of 0 and 1 in the order of the images: what probes say that never saw them.

        nan where no probe could be trained, because an attribute never varies.

        Raises:
            InputError: As `compute`.
        """
        z, y, groups = self._added()
        mean, spread = z.mean(0), z.std(0) + 1e-8
        z = (z - mean) / spread
        more_z, more_y = z[:0], y[:0]
        if self._lessons:
            more_z, more_y = (np.concatenate(part) for part in zip(*self._lessons, strict=True))
            more_z = (more_z - mean) / spread
        fold = _fold_of(groups, self.seed)
        predicted = np.full(y.shape, math.nan)
        for k in range(len(self.attributes)):
            for f in range(_FOLDS):
                asked = fold == f
                train, more = ~asked & (y[:, k] >= 0), more_y[:, k] >= 0
                predicted[asked, k] = self._predict(
                    np.concatenate([z[train], more_z[more]]),
                    np.concatenate([y[train, k], more_y[more, k]]),
                    z[asked],
                )
        return predicted

    def reset(self) -> None:
        self._batches, self._lessons = [], []

    def _added(self) -> tuple[npt.NDArray[Any], ...]:
        if not self._batches:
            raise InputError("a probe needs latents: none were added")
        return tuple(np.concatenate(part) for part in zip(*self._batches, strict=True))

    def _predict(
        self, z: npt.NDArray[Any], y: npt.NDArray[Any], asked: npt.NDArray[Any]
    ) -> npt.NDArray[Any] | float:
        if len(np.unique(y)) < 2 or not len(asked):
            return math.nan
        classifier = self._classifier().fit(z, y)
        found: npt.NDArray[Any] = classifier.predict(asked)
        return found

    def _classifier(self) -> Any:
        try:
            from sklearn.ensemble import HistGradientBoostingClassifier
            from sklearn.linear_model import LogisticRegression
        except ModuleNotFoundError:
            raise InputError('probes need scikit-learn: pip install "cdvae-gan[eval]"') from None
        if self.kind == "linear":
            return LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
        return HistGradientBoostingClassifier(
            max_iter=_TREES,
            max_leaf_nodes=15,
            max_bins=_BINS,
            class_weight="balanced",
            early_stopping=False,
            random_state=self.seed,
        )


def _fold_of(groups: npt.NDArray[Any], seed: int) -> npt.NDArray[np.int64]:
    members, inverse = np.unique(groups, return_inverse=True)
    if len(members) < _FOLDS:
        raise InputError(f"a probe needs at least {_FOLDS} groups of images, not {len(members)}")
    fold = np.random.default_rng(seed).permutation(len(members)) % _FOLDS
    return np.asarray(fold[inverse], dtype=np.int64)
