"""Which counterfactuals a data set lacks for a target to be independent of a group.

A cell (t, g) holds the images with target t in group g. Within each value of the target every group
is brought to the size of the largest,

    wanted(t, g) = max_g′ n(t, g′) − n(t, g)

so P(g | t) becomes uniform, and what predicts g no longer predicts t. Counterfactuals for a cell
are made of images that lack one attribute to be in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError, unknown_name

__all__ = ["EDITS", "Cell", "Edit", "Plan", "make_plan"]

Edit = Literal["target", "group", "both"]
"""What is edited: the target of images of the same group, the group of images of the same target,
or either."""
EDITS: tuple[Edit, ...] = get_args(Edit)


@dataclass(frozen=True)
class Cell:
    """The training images of one value of the target and one group."""

    target: int
    group: tuple[int, ...]
    have: int
    wanted: int
    rows: npt.NDArray[np.int64]
    """``(C,)``: images that can be edited into it, in the order in which they are tried"""
    sets: npt.NDArray[np.int64]
    """``(C,)``: which of the plan's names is set: 0 for the target, then those balanced over"""

    @property
    def values(self) -> tuple[int, ...]:
        """What the plan's names are in this cell."""
        return (self.target, *self.group)


@dataclass(frozen=True)
class Plan:
    """What is lacking, and what it can be made of."""

    target: str
    over: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The target, then what it is balanced over."""
        return (self.target, *self.over)

    def label(self, cell: Cell) -> str:
        """``Blond_Hair=1, Male=1``."""
        return ", ".join(f"{n}={v}" for n, v in zip(self.names, cell.values, strict=True))


def make_plan(
    train: AttributeDataset, target: str, over: Sequence[str], edit: Edit = "target", seed: int = 0
) -> Plan:
    """Count what a training split has of each cell, and find images to edit.

    Args:
        train: The training split. Images of which one of the names is unknown are left alone.
        target: What a classifier is to learn.
        over: What it is not to lean on.
        edit: What is edited.
        seed: Of the order in which images are tried.

    Raises:
        InputError: An unknown name, one given twice, or a target with one value alone.
    """
    names = (target, *over)
    if not over:
        raise InputError("balance over what? Name at least one attribute besides the target")
    if edit not in EDITS:
        raise unknown_name("kind of edit", edit, EDITS)
    labels = train.select(names).labels
    if len(np.unique(labels[labels[:, 0] >= 0, 0])) < 2:
        raise InputError(f"{target} has one value alone in the training split of {train.name}")
    inside = {
        values: np.flatnonzero((labels == values).all(1))
        for values in product((0, 1), repeat=len(names))
    }
    lacking = {"target": (0,), "group": range(1, len(names)), "both": range(len(names))}[edit]
    cells = []
    for number, (values, rows) in enumerate(inside.items()):
        largest = max(len(r) for v, r in inside.items() if v[0] == values[0])
        pools = [inside[_flipped(values, k)] for k in lacking]
        sets = np.repeat(np.array(lacking), [len(pool) for pool in pools])
        order = np.random.default_rng((seed, number)).permutation(len(sets))
        cells.append(
            Cell(
                target=values[0],
                group=values[1:],
                have=len(rows),
                wanted=largest - len(rows),
                rows=np.concatenate(pools)[order],
                sets=sets[order].astype(np.int64),
            )
        )
    return Plan(target, tuple(over), tuple(cells))


def _flipped(values: tuple[int, ...], k: int) -> tuple[int, ...]:
    return (*values[:k], 1 - values[k], *values[k + 1 :])
