"""Is it still the same face? Cosines in an embedding, against those of different people.

identity = cos(e(x), e(x′)) − cos(e(x), e(y)),  y a random image of another group
kept     = identity / (1 − mean cos(e(x), e(y)))          1 for the same picture, 0 for another
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import RESAMPLES, GroupedSums
from cdvae_gan.evaluation.metrics.base import MEAN, Groups, Summed, Table, array, mean_of_known

__all__ = ["COSINE", "KEPT", "RANDOM", "Identity"]

COSINE, RANDOM, KEPT = "cosine", "random pairs", "kept"

_BANK = 512


class Identity:
    """How much of a face's identity an edit keeps; higher is better.

    Columns: ``cosine`` of x and x′ in [−1, 1]; ``random pairs``, that of x and another group's
    image; ``kept``, (cosine − random) / (1 − random), at most 1, and 0 where x′ is as good as
    somebody else.

    Args:
        attributes: The K names.
        seed: Of the choice of random pairs.
    """

    def __init__(self, attributes: Sequence[str], *, seed: int = 0) -> None:
        self.attributes = tuple(attributes)
        self.seed = seed
        self._sums = GroupedSums(len(self.attributes), 3)
        self._generator = np.random.default_rng(seed)
        self._bank: npt.NDArray[Any] = np.zeros((0, 1))
        self._bank_groups: npt.NDArray[Any] = np.zeros(0, dtype=np.int64)

    def update(self, attribute: str, x: Groups, x_prime: Groups, groups: Groups) -> None:
        """Add embeddings of images ``(B, D)`` and of their counterfactuals.

        A row with a nan, an image in which no face was found, is left out.
        """
        e, e2, who = _unit(array(x)), _unit(array(x_prime)), array(groups)
        found = np.isfinite(e).all(1) & np.isfinite(e2).all(1)
        e, e2, who = e[found], e2[found], who[found]
        self._bank = np.concatenate([e, self._bank.reshape(-1, e.shape[1])])[:_BANK]
        self._bank_groups = np.concatenate([who, self._bank_groups])[:_BANK]
        partner = self._partners(who)
        usable = partner >= 0
        random = (e * self._bank[partner]).sum(1)
        rows = np.stack([(e * e2).sum(1), random, np.ones(len(e))], axis=1)[usable]
        self._sums.add(who[usable], rows, (self.attributes.index(attribute),))

    def summed(self) -> Summed:
        """The table before any resampling."""
        sums = self._sums.sums()
        if not len(sums):
            raise InputError("identity needs images of at least two people with a face found")
        n = sums[..., 2].sum(0).astype(np.int64)
        use = np.ones(len(n), dtype=bool)

        def statistic(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            cosine, random = t[..., 0] / t[..., 2], t[..., 1] / t[..., 2]
            each = np.stack([cosine, random, (cosine - random) / (1 - random)], axis=-1)
            return np.concatenate([each, mean_of_known(each, use)], axis=-2)

        rows, columns = (*self.attributes, MEAN), (COSINE, RANDOM, KEPT)
        counts = np.repeat(np.append(n, n.sum())[:, None], len(columns), axis=1)
        return Summed(self._sums.names, sums, rows, columns, statistic, counts)

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._generator = np.random.default_rng(self.seed)
        self._bank, self._bank_groups = np.zeros((0, 1)), np.zeros(0, dtype=np.int64)
        self._sums.reset()

    def _partners(self, who: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """For each image a place in the bank that belongs to another group; −1 for none."""
        chance = self._generator.random((len(who), len(self._bank_groups)))
        chance[who[:, None] == self._bank_groups[None, :]] = -1
        best = chance.argmax(1) if len(who) else np.zeros(0, dtype=np.int64)
        alone = chance[np.arange(len(who)), best] < 0
        return np.where(alone, -1, best)


def _unit(e: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    e = e.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(e / np.linalg.norm(e, axis=1, keepdims=True))
