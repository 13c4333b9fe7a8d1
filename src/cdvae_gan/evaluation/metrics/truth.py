"""How far from the true counterfactual? On drawn pictures, which have one.

For attribute k and the images i that do(a_k = 1 − y_ik) really changes,

    error_k = Σ_i mean|x′_i − x*_i| / Σ_i mean|x_i − x*_i|

with x the photo, x′ the counterfactual and x* the true one, all as 8-bit pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cdvae_gan.evaluation.bootstrap import RESAMPLES, GroupedSums
from cdvae_gan.evaluation.metrics.base import MEAN, Groups, Summed, Table, array, mean_of_known

__all__ = ["RELATIVE", "TrueError", "grey_distance"]

RELATIVE = "relative error"


class TrueError:
    """Relative counterfactual error; 0 is the truth, 1 is doing nothing, more is possible.

    Args:
        attributes: The K names.
    """

    def __init__(self, attributes: Sequence[str]) -> None:
        self.attributes = tuple(attributes)
        self._sums = GroupedSums(len(self.attributes), 3)

    def update(self, attribute: str, errors: Groups, changes: Groups, groups: Groups) -> None:
        """Add images.

        Args:
            attribute: The attribute that was set.
            errors: ``(B,)`` mean|x′ − x*|; see `grey_distance`.
            changes: ``(B,)`` mean|x − x*|; where it is 0 the image is left out.
            groups: ``(B,)``.
        """
        error, change = array(errors).astype(np.float64), array(changes).astype(np.float64)
        rows = np.stack([error, change, np.ones_like(change)], axis=1) * (change > 0)[:, None]
        self._sums.add(array(groups), rows, (self.attributes.index(attribute),))

    def summed(self) -> Summed:
        """The table before any resampling; one column."""
        sums = self._sums.sums()
        use = np.ones(len(self.attributes), dtype=bool)

        def statistic(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            each = (t[..., 0] / t[..., 1])[..., None]
            return np.concatenate([each, mean_of_known(each, use)], axis=-2)

        n = sums[..., 2].sum(0).astype(np.int64)
        counts = np.append(n, len(sums))[:, None]
        rows = (*self.attributes, MEAN)
        return Summed(self._sums.names, sums, rows, (RELATIVE,), statistic, counts)

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        """A row for each attribute, and the mean of their errors, each weighing the same."""
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._sums.reset()


def grey_distance(one: Tensor, other: Tensor) -> npt.NDArray[np.float64]:
    """``(B,)``: mean |difference| of pairs of uint8 images ``(B, 3, H, W)``, in levels of 255."""
    difference = (one.short() - other.short()).abs().double()
    return np.asarray(difference.mean(dim=(1, 2, 3)).cpu().numpy())
