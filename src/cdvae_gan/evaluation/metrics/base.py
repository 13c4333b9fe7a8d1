"""What metrics have in common: they are fed batch by batch and answer with estimates.

    metric.update(…)    as often as there are batches
    metric.compute()    an `Estimate` or a `Table` of them
    metric.reset()      as new

``groups`` says of each image what the bootstrap draws as one: an identity, or the image itself.
Images of one group must come with the same number every time, also from batch to batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.evaluation.bootstrap import RESAMPLES, Estimate, GroupedSums, estimates

__all__ = ["MEAN", "Groups", "MeanOver", "Table", "array", "mean_of_known"]

MEAN = "mean"
"""Name of the row that averages the trusted attributes."""

Groups = npt.ArrayLike | Tensor


@dataclass(frozen=True)
class Table:
    """Estimates with a name for each row and column."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: npt.NDArray[np.object_]
    """``(rows, columns)`` of `Estimate`"""
    untrusted: tuple[str, ...] = ()
    """Rows that say little, because the judge reads them badly; they are not in the mean"""

    def __getitem__(self, where: tuple[str, str]) -> Estimate:
        cell: Estimate = self.cells[self.rows.index(where[0]), self.columns.index(where[1])]
        return cell

    def __iter__(self) -> Iterator[tuple[str, dict[str, Estimate]]]:
        for name, row in zip(self.rows, self.cells, strict=True):
            yield name, dict(zip(self.columns, row, strict=True))

    def without_mean(self) -> Table:
        """The same without the row of means."""
        kept = [i for i, row in enumerate(self.rows) if row != MEAN]
        rows = tuple(self.rows[i] for i in kept)
        return Table(rows, self.columns, self.cells[kept], self.untrusted)

    def select_columns(self, columns: Sequence[str]) -> Table:
        """The same with these columns alone, in this order."""
        chosen = [self.columns.index(c) for c in columns]
        return Table(self.rows, tuple(columns), self.cells[:, chosen], self.untrusted)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As plain data: row to column to value, low, high, n."""
        return {name: {c: e.to_dict() for c, e in row.items()} for name, row in self}

    def __str__(self) -> str:
        width = max(len(r) for r in self.rows) + 1
        head = " " * width + "  ".join(f"{c:>30}" for c in self.columns)
        lines = [
            f"{name + '*' * (name in self.untrusted):<{width}}"
            + "  ".join(f"{row[c]!s:>30}" for c in self.columns)
            for name, row in self
        ]
        return "\n".join([head, *lines])


def array(values: Groups) -> npt.NDArray[Any]:
    """Anything array-like, on the CPU."""
    if isinstance(values, Tensor):
        return (
            values.detach().to("cpu", torch.float32 if values.is_floating_point() else None).numpy()
        )
    return np.asarray(values)


def mean_of_known(
    each: npt.NDArray[np.float64], use: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Mean over the known rows in use: ``(…, rows, columns)`` to ``(…, 1, columns)``."""
    known = np.isfinite(each) & use[:, None]
    total = np.where(known, each, 0).sum(-2, keepdims=True)
    return np.asarray(total / known.sum(-2, keepdims=True), dtype=np.float64)


class MeanOver:
    """Ratios Σ numerator / Σ denominator in a table of cells, and the mean of its trusted rows.

    Args:
        rows: Names of the rows.
        columns: Names of the columns.
        trusted: Of each row, whether it is part of the mean; by default all are.
        share: The ratios are shares of yes among trials; see `bootstrap.estimates`.
    """

    def __init__(
        self,
        rows: Sequence[str],
        columns: Sequence[str],
        trusted: Sequence[bool] | None = None,
        *,
        share: bool = False,
    ) -> None:
        self.rows, self.columns = tuple(rows), tuple(columns)
        self.trusted = np.array(trusted if trusted is not None else [True] * len(self.rows))
        self.share = share
        self._sums = GroupedSums(len(self.rows), len(self.columns), 2)

    def add(
        self, groups: Groups, row: str, column: str, value: npt.ArrayLike, weight: npt.ArrayLike
    ) -> None:
        """Add ``value`` to the numerator where ``weight`` is not 0, and ``weight`` below it."""
        who, v = array(groups), np.asarray(value, dtype=np.float64)
        w = np.broadcast_to(np.asarray(weight, dtype=np.float64), who.shape)
        top = np.where(w != 0, v * w, 0)
        where = (self.rows.index(row), self.columns.index(column))
        self._sums.add(who, np.stack([top, w], axis=1), where)

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        sums = self._sums.sums()
        n = sums[..., 1].sum(0).round().astype(int)

        def statistic(totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            each = totals[..., 0] / totals[..., 1]
            return np.concatenate([each, mean_of_known(each, self.trusted)], axis=1)

        counts = np.concatenate([n, n[self.trusted].sum(0, keepdims=True)])
        cells = estimates(sums, statistic, counts, share=self.share, resamples=resamples, seed=seed)
        doubted = tuple(r for r, t in zip(self.rows, self.trusted, strict=True) if not t)
        return Table((*self.rows, MEAN), self.columns, cells, doubted)

    def reset(self) -> None:
        self._sums.reset()
