"""The judges of one evaluation, and which of them to believe about what.

A judge is trusted on an attribute where it reads it off the *real images at hand* with a balanced
accuracy above `TRUSTED_ABOVE`, and its card, where it has one, does not say otherwise. Judges that
share a network with the model stand apart: they are reported, and are in no mean over judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.judges import TRUSTED_ABOVE, Judge
from cdvae_gan.evaluation.metrics.base import Summed
from cdvae_gan.evaluation.metrics.labels import BALANCED, LabelQuality
from cdvae_gan.evaluation.splits import groups_of

__all__ = ["Member", "Panel", "Reading"]

_BATCH = 256


class Reading(NamedTuple):
    """What a judge says of images."""

    answers: Tensor
    """``(B, K)`` bool; False for what the judge does not know"""
    margins: Tensor
    """``(B, K)``: log odds above the threshold, for yes; 0 for what the judge does not know"""

    def take(self, index: Tensor) -> Reading:
        """The same of some of the images."""
        return Reading(self.answers[index], self.margins[index])


@dataclass(frozen=True)
class Member:
    """A judge on the panel."""

    name: str
    judge: Judge
    """Of the attributes that it knows"""
    known: npt.NDArray[np.bool_]
    """``(K,)``: which of the panel's attributes it knows"""
    trusted: npt.NDArray[np.bool_]
    """``(K,)``: on which it is believed"""
    apart: bool
    quality: Summed
    """How well it reads the real images at hand; rows are the panel's attributes"""

    def read(self, images: Tensor) -> Reading:
        """What it says of images uint8 ``(B, 3, H, W)``."""
        logits = self.judge.logits(images)
        margins = torch.zeros(len(images), len(self.known))
        margins[:, np.flatnonzero(self.known)] = logits
        margins -= self._thresholds()
        answers = torch.zeros(len(images), len(self.known), dtype=torch.bool)
        answers[:, np.flatnonzero(self.known)] = self.judge.answers(logits)
        return Reading(answers, margins)

    def probabilities(self, reading: Reading) -> Tensor:
        """``(B, K)``: how likely it takes each attribute to be; ½ for what it does not know."""
        return (reading.margins + self._thresholds()).sigmoid()

    def _thresholds(self) -> Tensor:
        """``(K,)``: log odds above which it says yes; 0 for what it does not know."""
        thresholds = torch.zeros(len(self.known))
        if self.judge.card.thresholds:
            thresholds[np.flatnonzero(self.known)] = torch.tensor(self.judge.card.thresholds)
        return thresholds


@dataclass(frozen=True)
class Panel:
    """All judges, with the K attributes that are evaluated."""

    attributes: tuple[str, ...]
    members: tuple[Member, ...]

    @property
    def jury(self) -> tuple[int, ...]:
        """Numbers of the members that make the means: all that do not stand apart, if any."""
        free = tuple(i for i, m in enumerate(self.members) if not m.apart)
        return free or tuple(range(len(self.members)))

    @property
    def trusted(self) -> npt.NDArray[np.bool_]:
        """``(jury, K)``."""
        return np.stack([self.members[i].trusted for i in self.jury])

    @classmethod
    def of(
        cls,
        judges: Sequence[Judge],
        dataset: AttributeDataset,
        attributes: Sequence[str],
        progress: Callable[[int], None] | None = None,
    ) -> Panel:
        """Ask every judge about the real images, and note how far to believe it.

        Args:
            judges: At least one.
            dataset: The images that are evaluated.
            attributes: What is wanted; those that no judge knows are left out.
            progress: Called with the number of images read since the last call.

        Raises:
            InputError: There is no judge, or none knows any of the attributes.
        """
        if not judges:
            raise InputError("an evaluation needs at least one judge: cdvae-gan judge train")
        names = tuple(a for a in attributes if any(a in j.attributes for j in judges))
        if not names:
            known = ", ".join(dict.fromkeys(a for j in judges for a in j.attributes))
            raise InputError(
                f"no judge knows any of {', '.join(attributes)}: the judges know {known}"
            )
        data = dataset.select(names)
        called = _called(judges)
        members = [
            _member(judge, name, data, progress)
            for judge, name in zip(judges, called, strict=True)
            if any(a in judge.attributes for a in names)
        ]
        return cls(names, tuple(members))


def _called(judges: Sequence[Judge]) -> list[str]:
    """Their names, no two alike."""
    found: list[str] = []
    for judge in judges:
        same = sum(other.name == judge.name for other in judges[: len(found)])
        found.append(f"{judge.name} ({same + 1})" if same else judge.name)
    return found


def _member(
    judge: Judge, name: str, data: AttributeDataset, progress: Callable[[int], None] | None
) -> Member:
    known = np.array([a in judge.attributes for a in data.attributes])
    chosen = [a for a in data.attributes if a in judge.attributes]
    judge = judge.select(chosen)
    quality, groups = LabelQuality(data.attributes), groups_of(data)
    for start in range(0, len(data), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(data)))
        images, labels = data.batch(rows)
        logits = judge.logits(images)
        probabilities = np.full(labels.shape, 0.5)
        answers = np.zeros(labels.shape, dtype=bool)
        probabilities[:, known] = logits.sigmoid().numpy()
        answers[:, known] = judge.answers(logits).numpy()
        seen = np.where(known, labels.numpy(), -1)
        quality.update(seen, probabilities, groups[rows], answers)
        if progress:
            progress(len(rows))
    measured = _balanced(quality.summed())[: len(known)]
    carded = np.zeros(len(known), dtype=bool)
    carded[known] = judge.card.trusted
    # Where the images have one value alone nothing was measured, and the card has the word.
    heard = np.where(np.isfinite(measured), measured > TRUSTED_ABOVE, bool(judge.card.quality))
    quality.trusted = heard & carded
    apart = judge.card.family == "trunk"
    return Member(name, judge, known, quality.trusted, apart, quality.summed())


def _balanced(summed: Summed) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        values = summed.statistic(summed.sums.sum(0, keepdims=True))[0]
    column: npt.NDArray[np.float64] = values[:, summed.columns.index(BALANCED)]
    return column
