"""Flip every attribute of every image, once, and ask a judge what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import RESAMPLES
from cdvae_gan.evaluation.edits import Editor
from cdvae_gan.evaluation.judges.judge import Judge
from cdvae_gan.evaluation.metrics.base import Table
from cdvae_gan.evaluation.metrics.deception import Deception, Preservation
from cdvae_gan.evaluation.splits import groups_of
from cdvae_gan.images import to_float, to_uint8

__all__ = ["FlipTables", "flip_deception"]


@dataclass(frozen=True)
class FlipTables:
    """What one judge said of one editor's flips."""

    judge: str
    deception: Table
    preservation: Table
    confusion: Table
    composition: float
    """max |x − x′| over all images and pixels for do(nothing), in units of [−1, 1]"""


def flip_deception(
    editor: Editor,
    judge: Judge,
    dataset: AttributeDataset,
    *,
    attributes: Sequence[str] | None = None,
    strength: float = 1.0,
    batch_size: int = 64,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> FlipTables:
    """Flip each attribute of each image to what its label is not, and ask the judge.

    The editor is told the new value and never the label.

    Args:
        editor: See `cdvae_gan.evaluation.edits`.
        judge: Of any family.
        dataset: Images that neither has seen: the report half of the validation split.
        attributes: Which to flip; by default those that the data set and the judge both know.
        strength: Of the edits.
        batch_size: Images at a time.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    known = [a for a in dataset.attributes if a in judge.attributes]
    names = list(attributes) if attributes is not None else known
    if not names:
        raise InputError(f"judge {judge.name!r} knows no attribute of {dataset.name}")
    judge, dataset = judge.select(names), dataset.select(names)
    trusted = judge.card.trusted
    deception = Deception(names, trusted)
    preservation = Preservation(names, trusted, dataset.exclusive)
    groups, worst = groups_of(dataset), 0.0
    for start in range(0, len(dataset), batch_size):
        rows = range(start, min(start + batch_size, len(dataset)))
        images, labels = dataset.batch(list(rows))
        x, who = to_float(images), groups[rows.start : rows.stop]
        x = x.contiguous(memory_format=torch.channels_last)
        before = judge.read(images)
        worst = max(worst, float((editor(x, None, None) - x).abs().max()))
        for k, name in enumerate(names):
            y = labels[:, k]
            target = (y == 0).long()
            after = judge.read(to_uint8(editor(x, name, target, strength)))
            deception.update(name, y, before[:, k], after[:, k], who)
            flipped = y >= 0  # what is not labelled is not
            preservation.update(
                name, target[flipped], before[flipped], after[flipped], who[flipped.numpy()]
            )
    return FlipTables(
        judge.name,
        deception.compute(resamples=resamples, seed=seed),
        preservation.compute(resamples=resamples, seed=seed),
        preservation.confusion(resamples=resamples, seed=seed),
        worst,
    )
