"""What metrics have in common: they are fed batch by batch and answer with estimates.

    metric.update(…)    as often as there are batches
    metric.compute()    an `Estimate` or a `Table` of them
    metric.reset()      as new

``groups`` says of each image what the bootstrap draws as one: an identity, or the image itself.
Images of one group must come with the same number every time, also from batch to batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    GroupedSums,
    estimates,
)

__all__ = [
    "MEAN",
    "Groups",
    "MeanOver",
    "Summed",
    "Table",
    "array",
    "difference",
    "mean_of_known",
    "over_judges",
]

MEAN = "mean"
"""Name of the row that averages the trusted attributes."""

_FEWEST_GROUPS = 6

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

    def select_columns(self, columns: Sequence[str]) -> Table:
        """The same with these columns alone, in this order."""
        chosen = [self.columns.index(c) for c in columns]
        return Table(self.rows, tuple(columns), self.cells[:, chosen], self.untrusted)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As plain data: row to column to value, low, high, n."""
        return {name: {c: e.to_dict() for c, e in row.items()} for name, row in self}

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, Any]], untrusted: Sequence[str] = ()) -> Table:
        """Undoes `to_dict`."""
        rows, columns = tuple(values), tuple(next(iter(values.values()), {}))
        cells = np.empty((len(rows), len(columns)), dtype=object)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                e = values[row][column]
                value, low, high = (
                    math.nan if e[k] is None else e[k] for k in ("value", "low", "high")
                )
                cells[i, j] = Estimate(value, low, high, e["n"])
        return cls(rows, columns, cells, tuple(untrusted))

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


@dataclass(frozen=True)
class Summed:
    """A table as a function of sums over groups of images.

    Tables of the same images are resampled together: that makes means over judges, and differences
    between models, as sure as they can be.
    """

    groups: npt.NDArray[np.int64]
    """``(G,)``: whose sums they are"""
    sums: npt.NDArray[np.float64]
    """``(G, …)``"""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    """From totals ``(R, …)`` to ``(R, rows, columns)``"""
    n: npt.NDArray[np.int64]
    """``(rows, columns)``: images behind each cell"""
    share: bool | npt.NDArray[np.bool_] = False
    """Whether cells are shares of yes among trials, or of each column; see `bootstrap.estimates`"""
    untrusted: tuple[str, ...] = ()
    behind: npt.NDArray[np.int64] | None = None
    """``(rows, columns)``: groups behind each cell, where they are fewer than the images"""

    def table(
        self, *, resamples: int = RESAMPLES, seed: int = 0, confidence: float = CONFIDENCE
    ) -> Table:
        """The figures with their intervals."""
        if not len(self.sums):
            raise InputError("nothing has been measured: no image was added")
        cells = estimates(
            self.sums[np.argsort(self.groups)],
            self.statistic,
            self.n,
            share=self.share,
            behind=self.behind,
            resamples=resamples,
            seed=seed,
            confidence=confidence,
        )
        return Table(self.rows, self.columns, cells, self.untrusted)

    def without_mean(self) -> Summed:
        """The same without the row of means."""
        kept = [i for i, row in enumerate(self.rows) if row != MEAN]
        rows, whole = tuple(self.rows[i] for i in kept), self.statistic
        return replace(
            self,
            rows=rows,
            n=self.n[kept],
            behind=None if self.behind is None else self.behind[kept],
            statistic=lambda t: whole(t)[:, kept],
        )


def over_judges(parts: Sequence[Summed], trusted: npt.NDArray[np.bool_] | None = None) -> Summed:
    """The mean of what several judges say of the same images, and the mean over attributes.

    A judge counts where it is trusted; where none is, all count, and the row is not trusted.

    Args:
        parts: One for each judge, with the same rows and columns.
        trusted: ``(judges, rows, columns)``; by default what the parts say of their rows.
    """
    bare = [part.without_mean() for part in parts]
    rows, columns = bare[0].rows, bare[0].columns
    if trusted is None:
        known = np.array([[r not in p.untrusted for r in rows] for p in bare])
        trusted = np.repeat(known[:, :, None], len(columns), axis=2)
    use = trusted | ~trusted.any(0)
    believed = np.asarray(trusted.any(axis=(0, 2)), dtype=bool)

    def statistic(totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        said = np.stack([part.statistic(totals[:, j]) for j, part in enumerate(bare)])
        heard = np.isfinite(said) & use[:, None]
        each = np.where(heard, said, 0).sum(0) / heard.sum(0)
        return np.concatenate([each, mean_of_known(each, believed)], axis=1)

    def least(of: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        counts = np.stack(of)
        heard = use & (counts > 0)
        fewest = np.where(heard, counts, np.iinfo(np.int64).max).min(0)
        return np.where(heard.any(0), fewest, 0)

    n = least([part.n for part in bare])
    behind = least([part.n if part.behind is None else part.behind for part in bare])
    groups, sums = _aligned(bare)
    return Summed(
        groups,
        sums,
        (*rows, MEAN),
        columns,
        statistic,
        np.concatenate([n, n[believed].sum(0, keepdims=True)]),
        bare[0].share,
        tuple(r for r, b in zip(rows, believed, strict=True) if not b),
        # Rows have images in common: of the mean it is at least as many as of any row.
        np.concatenate([behind, np.where(believed[:, None], behind, 0).max(0, keepdims=True)]),
    )


def difference(
    one: Summed,
    other: Summed,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Table:
    """One less the other, on the same images: their intervals are those of paired figures.

    Of fewer than 6 groups they are not known: chance alone puts 5 on one side in 1 of 16 cases.

    Raises:
        InputError: The two are not of the same rows and columns.
    """
    if (one.rows, one.columns) != (other.rows, other.columns):
        raise InputError("only tables with the same rows and columns can be compared")
    groups, sums = _aligned([one, other])
    found = Summed(
        groups,
        sums,
        one.rows,
        one.columns,
        lambda t: one.statistic(t[:, 0]) - other.statistic(t[:, 1]),
        np.minimum(one.n, other.n),
        untrusted=tuple(dict.fromkeys(one.untrusted + other.untrusted)),
    ).table(resamples=resamples, seed=seed, confidence=confidence)
    if len(groups) < _FEWEST_GROUPS:
        for where, e in np.ndenumerate(found.cells):
            found.cells[where] = Estimate(e.value, math.nan, math.nan, e.n)
    return found


def _aligned(
    parts: Sequence[Summed],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """All groups that any of them knows, and ``(G, parts, …)``, 0 where one knows it not."""
    groups = np.unique(np.concatenate([part.groups for part in parts]))
    sums = np.zeros((len(groups), len(parts), *parts[0].sums.shape[1:]))
    for i, part in enumerate(parts):
        sums[np.searchsorted(groups, part.groups), i] = part.sums
    return groups, sums


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

    def summed(self) -> Summed:
        """The table with its row of means, before any resampling."""
        sums = self._sums.sums()
        n = sums[..., 1].sum(0).round().astype(np.int64)

        def statistic(totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            each = totals[..., 0] / totals[..., 1]
            return np.concatenate([each, mean_of_known(each, self.trusted)], axis=1)

        counts = np.concatenate([n, n[self.trusted].sum(0, keepdims=True)])
        there = sums[..., 1] > 0
        behind = np.concatenate([there.sum(0), there[:, self.trusted].any(1).sum(0)[None]])
        doubted = tuple(r for r, t in zip(self.rows, self.trusted, strict=True) if not t)
        return Summed(
            self._sums.names,
            sums,
            (*self.rows, MEAN),
            self.columns,
            statistic,
            counts,
            self.share,
            doubted,
            behind,
        )

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._sums.reset()
