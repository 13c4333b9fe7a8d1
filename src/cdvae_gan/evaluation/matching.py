"""Real images that have the labels which counterfactuals were asked for.

Sets of images are compared for how real they look. Were the real ones drawn by the value of the
changed attribute alone, those who were made blond would be compared with the blond as they are,
who are women and young more often: a difference in labels would count as one in realism.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["matched"]

_FOR_EACH = 2
"""One for what the counterfactuals are compared with, one for the floor"""


def matched(
    real: npt.NDArray[np.int8],
    asked: npt.NDArray[np.int8],
    changed: npt.NDArray[np.int64],
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Rows of real images whose labels are nearest to those that counterfactuals should have.

    For each counterfactual, two real images that have the changed attribute as asked, as long as
    there are any, and agree in as many of the others as any that is left; no image is chosen twice.

    Args:
        real: ``(M, K)`` labels, 0, 1 or −1 for unknown, which agrees with neither.
        asked: ``(N, K)`` labels that the counterfactuals should have, likewise.
        changed: ``(N,)``: which attribute of each was changed.
        seed: Decides between images that agree equally well.

    Returns:
        The rows in ascending order.
    """
    order = np.random.default_rng(seed).permutation(len(real))
    signs, wanted = _signs(real[order]), _signs(asked)
    value = wanted[np.arange(len(asked)), changed]
    left = np.ones(len(real), dtype=bool)
    directions = [(k, v) for k in range(real.shape[1]) for v in (-1, 1)]
    # The rarest first, or those who ask for what is common take them away.
    for k, v in sorted(directions, key=lambda d: int((signs[:, d[0]] == d[1]).sum())):
        fitting = np.flatnonzero((signs[:, k] == v) & left)
        for labels in wanted[(changed == k) & (value == v)]:
            agreement = signs[fitting] @ labels
            for _ in range(min(_FOR_EACH, len(fitting))):
                nearest = agreement.argmax()
                left[fitting[nearest]] = False
                fitting, agreement = np.delete(fitting, nearest), np.delete(agreement, nearest)
    return np.sort(order[~left])


def _signs(labels: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """−1 for 0, 1 for 1 and 0 for unknown, so that products count agreement."""
    return np.select([labels == 0, labels == 1], [-1, 1], 0).astype(np.float32)
