"""Do judges of different kinds say the same? Where they part, at least one of them is wrong.

    photos            P( j(x)  = j′(x)  ), mean over pairs of judges
    counterfactuals   P( j(x′) = j′(x′) ), the same pairs
    all convinced     P( every judge reads x′ as flipped | every judge reads x right )
    none convinced    P( no judge does                   | every judge reads x right )

Judges that agree on photos and part on counterfactuals see there what no photo shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cdvae_gan.evaluation.bootstrap import RESAMPLES
from cdvae_gan.evaluation.metrics.base import Groups, MeanOver, Summed, Table, array

__all__ = ["ALL_CONVINCED", "COUNTERFACTUALS", "NONE_CONVINCED", "PHOTOS", "Agreement"]

PHOTOS, COUNTERFACTUALS = "photos", "counterfactuals"
ALL_CONVINCED, NONE_CONVINCED = "all convinced", "none convinced"


class Agreement:
    """Agreement of judges about the attribute that was set, in [0, 1]; higher is better.

    Args:
        attributes: The K names.
        trusted: ``(judges, K)``, whether a judge can be believed; the others have no say, and an
            attribute that fewer than two can judge is not known.
    """

    def __init__(self, attributes: Sequence[str], trusted: npt.ArrayLike) -> None:
        columns = (PHOTOS, COUNTERFACTUALS, ALL_CONVINCED, NONE_CONVINCED)
        self.attributes = tuple(attributes)
        self.trusted = np.asarray(trusted, dtype=bool)
        self._ratios = MeanOver(attributes, columns, self.trusted.sum(0) > 1, share=True)

    def update(
        self, attribute: str, labels: Groups, before: Groups, after: Groups, groups: Groups
    ) -> None:
        """Add counterfactuals of ``do(attribute = 1 − label)``.

        Args:
            attribute: The attribute that was set.
            labels: ``(B,)`` what it was, 0 or 1; −1 for unknown is left out.
            before: ``(B, judges)`` bool, answers about the attribute on the factuals.
            after: ``(B, judges)`` bool, on the counterfactuals.
            groups: ``(B,)``.
        """
        use = self.trusted[:, self.attributes.index(attribute)]
        if use.sum() < 2:
            return
        y = array(labels)
        photo, edited = (array(answers).astype(bool)[:, use] for answers in (before, after))
        flipped = edited == (y == 0)[:, None]
        right = (y >= 0) & (photo == (y == 1)[:, None]).all(1)
        for column, value, weight in (
            (PHOTOS, _pairs_agree(photo), y >= 0),
            (COUNTERFACTUALS, _pairs_agree(edited), y >= 0),
            (ALL_CONVINCED, flipped.all(1), right),
            (NONE_CONVINCED, ~flipped.any(1), right),
        ):
            self._ratios.add(groups, attribute, column, value, weight)

    def summed(self) -> Summed:
        """The table before any resampling."""
        return self._ratios.summed()

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._ratios.reset()


def _pairs_agree(answers: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """``(B,)``: of all pairs of judges, the share with one answer."""
    judges = answers.shape[1]
    yes = answers.sum(1)
    pairs = judges * (judges - 1) / 2
    return np.asarray((yes * (yes - 1) + (judges - yes) * (judges - yes - 1)) / 2 / pairs)
