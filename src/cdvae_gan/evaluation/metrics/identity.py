"""Is it still the same face? Cosines in an embedding, against those of different people.

identity = cos(e(x), e(x′)) − cos(e(x), e(y)),  y a random image of another group
kept     = identity / (1 − mean cos(e(x), e(y)))          1 for the same picture, 0 for another
same     = P( |e(x) − e(x′)| < t ), where the network comes with a threshold t
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import RESAMPLES, GroupedSums
from cdvae_gan.evaluation.metrics.base import MEAN, Groups, Summed, Table, array, mean_of_known

__all__ = ["COSINE", "KEPT", "RANDOM", "SAME", "Identity"]

COSINE, RANDOM, KEPT, SAME = "cosine", "random pairs", "kept", "same person"

_BANK = 512


class Identity:
    """How much of a face's identity an edit keeps; higher is better.

    Columns: ``cosine`` of x and x′ in [−1, 1]; ``random pairs``, that of x and another group's
    image; ``kept``, (cosine − random) / (1 − random), at most 1, and 0 where x′ is as good as
    somebody else. With a threshold also ``same person``, the share of x and x′ that the network
    takes for the same person.

    Args:
        attributes: The K names.
        threshold: Euclidean distance of embeddings, as they are, below which the network's authors
            take two pictures for the same person; None where it has none.
        seed: Of the choice of random pairs.
    """

    def __init__(
        self, attributes: Sequence[str], *, threshold: float | None = None, seed: int = 0
    ) -> None:
        self.attributes = tuple(attributes)
        self.threshold = threshold
        self.seed = seed
        self._sums = GroupedSums(len(self.attributes), 4)
        self._generator = np.random.default_rng(seed)
        self._bank: npt.NDArray[Any] = np.zeros((0, 1))
        self._bank_groups: npt.NDArray[Any] = np.zeros(0, dtype=np.int64)

    def update(self, attribute: str, x: Groups, x_prime: Groups, groups: Groups) -> None:
        """Add embeddings of images ``(B, D)`` and of their counterfactuals.

        A row with a nan, an image in which no face was found, is left out.
        """
        before, after, who = array(x), array(x_prime), array(groups)
        found = np.isfinite(before).all(1) & np.isfinite(after).all(1)
        before, after, who = before[found], after[found], who[found]
        e, e2 = _unit(before), _unit(after)
        same = np.linalg.norm(before - after, axis=1) < (self.threshold or 0)
        self._bank = np.concatenate([e, self._bank.reshape(-1, e.shape[1])])[:_BANK]
        self._bank_groups = np.concatenate([who, self._bank_groups])[:_BANK]
        partner = self._partners(who)
        usable = partner >= 0
        random = (e * self._bank[partner]).sum(1)
        rows = np.stack([(e * e2).sum(1), random, np.ones(len(e)), same], axis=1)[usable]
        self._sums.add(who[usable], rows, (self.attributes.index(attribute),))

    def summed(self) -> Summed:
        """The table before any resampling."""
        sums = self._sums.sums()
        if not len(sums):
            raise InputError("identity needs images of at least two people with a face found")
        n = sums[..., 2].sum(0).astype(np.int64)
        use = np.ones(len(n), dtype=bool)

        columns = (COSINE, RANDOM, KEPT, *((SAME,) if self.threshold else ()))

        def statistic(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            cosine, random, same = (t[..., i] / t[..., 2] for i in (0, 1, 3))
            kept = (cosine - random) / (1 - random)
            each = np.stack([cosine, random, kept, same][: len(columns)], axis=-1)
            return np.concatenate([each, mean_of_known(each, use)], axis=-2)

        rows = (*self.attributes, MEAN)
        counts = np.repeat(np.append(n, n.sum())[:, None], len(columns), axis=1)
        share = np.array([c == SAME for c in columns])
        there = sums[..., 2] > 0
        people = np.append(there.sum(0), there.any(1).sum())[:, None].repeat(len(columns), axis=1)
        return Summed(
            self._sums.names, sums, rows, columns, statistic, counts, share, behind=people
        )

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
