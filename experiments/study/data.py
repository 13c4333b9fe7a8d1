"""What is trained on and what is measured on.

Avatars: two training sets, of which ``confounded`` has hats on nine of ten people with glasses and
on one of ten without; one test set for both, of another seed, on which nothing is confounded.
Photos: the training split, and the half of the validation split that is for reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.demo import demo_config
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.judges import load_judge
from cdvae_gan.evaluation.judges.judge import Judge
from cdvae_gan.evaluation.splits import halves
from cdvae_gan.evaluation.truth import true_flips
from cdvae_gan.training import TrainConfig
from cdvae_gan.training.precision import Precision
from study.variants import photo_base

__all__ = ["AVATARS", "Study", "Unseen", "photos"]


@dataclass(frozen=True)
class Unseen:
    """Images that no method has seen."""

    data: AttributeDataset
    """For reading, drawing and probing"""
    edited: AttributeDataset
    """Those of them that are edited"""
    judge: Judge | None = None
    """Who reads the edits, where there is no truth"""

    @cached_property
    def flips(self) -> npt.NDArray[np.uint8]:
        """The true flips of the edited images, ``(N, K, 3, H, W)``."""
        return true_flips(self.edited)


@dataclass(frozen=True)
class Study:
    """What every run of one results folder has in common."""

    training: Mapping[str, str]
    """Sources by name"""
    test: str
    """The source of test images: its validation split"""
    size: int
    base: TrainConfig
    reference: str
    """The variant that the others are compared with"""
    edited: int | None = None
    """How many test images are edited; None for all"""
    judge: str | None = None
    """A judge of photos; None for drawings with a truth"""
    steps: int = 1500
    precision: Precision = "bf16"
    drag: tuple[str, str] | None = None
    """A cause and an effect: does an edit of the one move the other?"""
    _opened: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def train_data(self, name: str) -> AttributeDataset:
        """A training set.

        Raises:
            InputError: There is none of that name.
        """
        if name not in self.training:
            raise unknown_name("data set", name, self.training)
        return self._open(self.training[name])

    def unseen(self) -> Unseen:
        """The test set."""
        if "test" not in self._opened:
            self._opened["test"] = self._unseen()
        found: Unseen = self._opened["test"]
        return found

    def _unseen(self) -> Unseen:
        data = self._open(self.test)
        if self.judge is None:
            data = data.split("validation")
            n = len(data) if self.edited is None else min(self.edited, len(data))
            return Unseen(data, data.take(np.arange(n)))
        judge = _judge(self.judge)
        report = halves(data).report
        return Unseen(report, report.select(_trusted(judge)), judge)

    def _open(self, source: str) -> AttributeDataset:
        if source not in self._opened:
            names = None if self.judge is None else _judge(self.judge).attributes
            self._opened[source] = open_dataset(
                source, size=self.size, attributes=names, progress=True
            )
        found: AttributeDataset = self._opened[source]
        return found

    def described(self) -> dict[str, Any]:
        """What must be equal for results to stand in one table, as plain data."""
        return {
            "training": dict(self.training),
            "test": self.test,
            "size": self.size,
            "edited": self.edited,
            "judge": self.judge,
            "steps": self.steps,
            "precision": self.precision,
        }


AVATARS = Study(
    training={"plain": "avatars", "confounded": "avatars:confound=Glasses+Hat:0.9"},
    test="avatars:n=2000,seed=2,validation=1",
    size=32,
    base=demo_config(),
    reference="demo",
    edited=500,
    drag=("Glasses", "Hat"),
)


def photos(folder: str, judge: str, steps: int) -> Study:
    """A study on photos; the attributes are those that the judge reads.

    Args:
        folder: CelebA in its official layout, or any folder that `open_dataset` takes.
        judge: See `load_judge`.
        steps: Of training.
    """
    return replace(
        AVATARS,
        training={"photos": folder},
        test=folder,
        size=64,
        base=photo_base(),
        reference="default",
        edited=None,
        judge=judge,
        steps=steps,
        drag=None,
    )


@cache
def _judge(source: str) -> Judge:
    return load_judge(source)


def _trusted(judge: Judge) -> list[str]:
    names = [n for n, t in zip(judge.attributes, judge.card.trusted, strict=True) if t]
    if not names:
        raise InputError(f"judge {judge.name!r} can be trusted on no attribute")
    return names
