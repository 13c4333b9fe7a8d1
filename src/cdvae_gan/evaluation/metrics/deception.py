"""Does the edit convince a judge (deception), and does it leave the rest alone (preservation)?

With j the judge's answers, y the label and x′ the counterfactual of do(a_k = 1 − y_k):

    deception_k     = P( j_k(x′) = 1 − y_k | j_k(x) = y_k )
    preservation_k  = mean over l ≠ k of  P( j_l(x′) = j_l(x) )
    confusion_kl    = P( j_l(x′) ≠ j_l(x) | do(a_k) )

Some attributes move together for good reason: women have no beards. With

    Δ_kl            = P( j_l(x) = 1 | j_k(x) = 1 ) − P( j_l(x) = 1 | j_k(x) = 0 )

of the factuals, the photos cannot come to look like those that have the asked value unless the
reading of l changes in a share of at least |Δ_kl|, in its direction: the optimal transport of one
Bernoulli variable to another. *Net of dependence* that share is forgiven, and no other:

    net_k           = 1 − mean over l ≠ k of  against_kl + max(0, along_kl − |Δ_kl|)

where ``along`` and ``against`` are the shares that change with and against Δ_kl.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cdvae_gan.evaluation.bootstrap import RESAMPLES, GroupedSums, Statistic
from cdvae_gan.evaluation.metrics.base import (
    MEAN,
    Groups,
    MeanOver,
    Summed,
    Table,
    array,
    mean_of_known,
)

__all__ = [
    "ALL",
    "KEPT",
    "NET",
    "PUT_ON",
    "TAKE_OFF",
    "UNCONDITIONAL",
    "Deception",
    "Preservation",
    "StrengthCurve",
    "fooled",
]

PUT_ON, TAKE_OFF, ALL, UNCONDITIONAL = "put on", "take off", "all", "unconditional"
KEPT, NET = "kept", "net of dependence"


class Deception:
    """Share of flips that a judge reads as flipped, in [0, 1]; higher is better.

    Columns: ``put on`` (0 to 1), ``take off`` (1 to 0), ``all`` together, each among images whose
    factual the judge reads right; ``unconditional`` among all images.

    Args:
        attributes: The K names.
        trusted: Of each, whether the judge can be believed; the mean leaves out the others.
    """

    def __init__(self, attributes: Sequence[str], trusted: Sequence[bool] | None = None) -> None:
        columns = (PUT_ON, TAKE_OFF, ALL, UNCONDITIONAL)
        self._ratios = MeanOver(attributes, columns, trusted, share=True)

    def update(
        self, attribute: str, labels: Groups, before: Groups, after: Groups, groups: Groups
    ) -> None:
        """Add counterfactuals of ``do(attribute = 1 − label)``.

        Args:
            attribute: The attribute that was set.
            labels: ``(B,)`` what it was, 0 or 1; −1 for unknown is left out.
            before: ``(B,)`` bool, the judge's answers on the factuals.
            after: ``(B,)`` bool, its answers on the counterfactuals.
            groups: ``(B,)``.
        """
        y = array(labels)
        seen, right = fooled(labels, before, after)
        weights = {PUT_ON: right & (y == 0), TAKE_OFF: right & (y == 1), ALL: right}
        for column, weight in {**weights, UNCONDITIONAL: y >= 0}.items():
            self._ratios.add(groups, attribute, column, seen, weight)

    def summed(self) -> Summed:
        """The table before any resampling."""
        return self._ratios.summed()

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._ratios.reset()


class StrengthCurve:
    """Deception as the edit grows from nothing to full, in [0, 1]; higher is better.

    A row for each attribute and a column for each strength, in both directions together, among
    images whose factual the judge reads right. All strengths are asked of the same images.

    Args:
        attributes: The K names.
        strengths: In [0, 1].
        trusted: Of each attribute, whether the judge can be believed.
    """

    def __init__(
        self,
        attributes: Sequence[str],
        strengths: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
        trusted: Sequence[bool] | None = None,
    ) -> None:
        self.strengths = tuple(strengths)
        self._ratios = MeanOver(attributes, [f"{s:g}" for s in strengths], trusted, share=True)

    def update(
        self,
        attribute: str,
        strength: float,
        labels: Groups,
        before: Groups,
        after: Groups,
        groups: Groups,
    ) -> None:
        """Add flips carried out so far; the other arguments are those of `Deception.update`."""
        seen, right = fooled(labels, before, after)
        self._ratios.add(groups, attribute, f"{strength:g}", seen, right)

    def summed(self) -> Summed:
        """The table before any resampling."""
        return self._ratios.summed()

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._ratios.reset()


class Preservation:
    """Share of the other attributes whose reading stays, in [0, 1]; higher is better.

    Columns: ``kept``, and ``net of dependence``, which forgives what the factuals themselves say
    must move along; see the module.

    Args:
        attributes: The K names.
        trusted: Of each, whether the judge can be believed; the others count neither as edited
            in the mean nor as read.
        exclusive: Groups of names of which at most one is 1: setting one moves the others rightly,
            so they are not among its *other* attributes.
    """

    def __init__(
        self,
        attributes: Sequence[str],
        trusted: Sequence[bool] | None = None,
        exclusive: Sequence[Sequence[str]] = (),
    ) -> None:
        self.attributes = tuple(attributes)
        self.trusted = np.array(trusted if trusted is not None else [True] * len(self.attributes))
        self.counts = _others(self.attributes, exclusive) & self.trusted
        self._sums = GroupedSums(len(self.attributes), *_Moves.shape(len(self.attributes)))

    def update(
        self, attribute: str, target: Groups, before: Groups, after: Groups, groups: Groups
    ) -> None:
        """Add counterfactuals in which ``attribute`` was set.

        Args:
            attribute: The attribute that was set.
            target: ``(B,)``, 0 or 1: to what.
            before: ``(B, K)`` bool, the judge's answers on the factuals.
            after: ``(B, K)`` bool, on the counterfactuals.
            groups: ``(B,)``.
        """
        k = self.attributes.index(attribute)
        rows = _Moves.rows(k, array(target), array(before), array(after))
        self._sums.add(array(groups), rows, (k,))

    def summed(self) -> Summed:
        """The table before any resampling."""
        counts, use = self.counts, self.trusted

        def statistic(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            moves = _Moves(t)
            shares = np.stack([moves.moved(), moves.net()], axis=-1)
            each = 1 - (shares * counts[..., None]).sum(-2) / counts.sum(1)[:, None]
            return np.concatenate([each, mean_of_known(each, use)], axis=-2)

        n = np.where(counts.any(1), self._n(), 0)  # there may be no other attribute to look at
        total = np.concatenate([n, n[use].sum(keepdims=True)])[:, None]
        columns = (KEPT, NET)
        n_cells = np.repeat(total, len(columns), axis=1)
        return self._summed((*self.attributes, MEAN), columns, statistic, n_cells)

    def summed_confusion(self) -> Summed:
        """The table of `confusion` before any resampling."""
        return self._summed(
            self.attributes,
            self.attributes,
            lambda t: _Moves(t).moved(),
            np.repeat(self._n()[:, None], len(self.attributes), axis=1),
        )

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        """A row for each attribute that was set, and the mean."""
        return self.summed().table(resamples=resamples, seed=seed)

    def confusion(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        """Which reading moved: a row for each attribute set, a column for each attribute read.

        On the diagonal stands how often the edit was seen; off it, lower is better.
        """
        return self.summed_confusion().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._sums.reset()

    def _n(self) -> npt.NDArray[np.int64]:
        return np.asarray(_Moves(self._sums.sums().sum(0)).n.round(), dtype=np.int64)

    def _summed(
        self,
        rows: tuple[str, ...],
        columns: tuple[str, ...],
        statistic: Statistic,
        n: npt.NDArray[np.int64],
    ) -> Summed:
        doubted = tuple(a for a, t in zip(self.attributes, self.trusted, strict=True) if not t)
        sums = self._sums.sums()
        return Summed(self._sums.names, sums, rows, columns, statistic, n, True, doubted)


class _Moves:
    """What the readings did, from totals ``(…, K set, 2, 3 K + 2)``.

    For each value of the set attribute: how often it was asked for and another reading went up, and
    went down; and how often it was there before and another reading was yes, and how often at all.
    """

    def __init__(self, totals: npt.NDArray[np.float64]) -> None:
        k = (totals.shape[-1] - 2) // 3
        self.up, self.down, self.yes = (totals[..., i * k : (i + 1) * k] for i in range(3))
        self.asked, self.there = totals[..., -2], totals[..., -1]
        self.n = self.asked.sum(-1)

    @staticmethod
    def shape(k: int) -> tuple[int, int]:
        return 2, 3 * k + 2

    @staticmethod
    def rows(
        k: int,
        target: npt.NDArray[np.int64],
        before: npt.NDArray[np.bool_],
        after: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.float64]:
        """``(B, *shape)`` of counterfactuals in which attribute k was set to ``target``."""
        before, after = before.astype(bool), after.astype(bool)
        asked, there = (
            np.stack([v == 0, v == 1], axis=1)[..., None] for v in (target, before[:, k])
        )
        parts = [
            asked * (~before & after)[:, None],
            asked * (before & ~after)[:, None],
            there * before[:, None],
            asked,
            there,
        ]
        return np.concatenate(parts, axis=-1).astype(np.float64)

    def moved(self) -> npt.NDArray[np.float64]:
        """``(…, K set, K read)``: the share that moved."""
        return np.asarray((self.up + self.down).sum(-2) / self.n[..., None])

    def net(self) -> npt.NDArray[np.float64]:
        """``(…, K set, K read)``: the same, less what dependence makes move along."""
        rates = self.yes / np.where(self.there > 0, self.there, np.nan)[..., None]
        # Where a value is never read on the factuals, nothing is known of dependence.
        gap = np.nan_to_num(rates[..., 1, :] - rates[..., 0, :])
        forgiven = np.zeros(gap.shape)
        for value, sign in ((1, 1), (0, -1)):
            along = np.where(sign * gap > 0, self.up[..., value, :], self.down[..., value, :])
            allowed = np.abs(gap) * self.asked[..., value, None]
            forgiven = forgiven + np.minimum(along, allowed)
        return np.asarray(self.moved() - forgiven / self.n[..., None])


def _others(
    attributes: tuple[str, ...], exclusive: Sequence[Sequence[str]]
) -> npt.NDArray[np.bool_]:
    """``(K, K)``: is l one of the other attributes where k is set?"""
    result = ~np.eye(len(attributes), dtype=bool)
    for group in exclusive:
        inside = np.array([a in group for a in attributes])
        result &= ~(inside[:, None] & inside[None, :])
    return result


def fooled(
    labels: Groups, before: Groups, after: Groups
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Was the flip seen, and was the factual read right?"""
    y = array(labels)
    seen = array(after).astype(bool) == (y == 0)
    right = (y >= 0) & (array(before).astype(bool) == (y == 1))
    return np.asarray(seen), np.asarray(right)
