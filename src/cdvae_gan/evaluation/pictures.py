"""What the figures look like: counterfactuals drawn by seed, and the worst beside them.

Nobody picks. The photos are drawn by the seed alone; the failures are the flips of each attribute
that convince the jury least, and those after which most other attributes read otherwise.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.evaluation.panel import Panel
from cdvae_gan.evaluation.stream import Flip, Part, Photos
from cdvae_gan.evaluation.truth import true_flips

__all__ = ["Failure", "PicturesPart"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, order=True)
class Failure:
    """A flip that went wrong."""

    badness: float
    """Log odds by which the jury says no, or how many other attributes read otherwise"""
    row: int
    """Of the photo in the data set"""
    file: str = field(compare=False)
    attribute: str = field(compare=False)
    target: int = field(compare=False)
    photo: Pixels = field(compare=False)
    counterfactual: Pixels = field(compare=False)
    convinced: str = field(compare=False)
    """``1/4``: how many of the judges that are trusted see the flip"""
    moved: tuple[str, ...] = field(compare=False)
    """Other attributes that most trusted judges read otherwise"""


class PicturesPart(Part):
    """Keeps a few pictures.

    Args:
        dataset: With the panel's attributes.
        panel: The judges.
        rows: How many photos to draw.
        worst: How many failures of each kind to keep: unbelieved ones for each attribute, ones
            that moved others for all together.
        seed: Of the draw.
    """

    def __init__(
        self, dataset: AttributeDataset, panel: Panel, rows: int, worst: int, seed: int
    ) -> None:
        self.data, self.panel, self.worst = dataset, panel, worst
        n = min(rows, len(dataset))
        generator = np.random.default_rng(seed)
        self.rows: list[int] = sorted(generator.choice(len(dataset), n, replace=False).tolist())
        self.drawn_photos: dict[int, Pixels] = {}
        self.drawn: dict[tuple[int, int], tuple[Pixels, str]] = {}
        """By row and number of attribute: the counterfactual, and what is said of it"""
        self.truths: dict[tuple[int, int], Pixels] = {}
        self.unbelieved: list[list[Failure]] = [[] for _ in panel.attributes]
        self.moved: list[Failure] = []
        self._others = _others(panel, dataset)

    def photos(self, photos: Photos) -> None:
        for i, row in enumerate(photos.rows.tolist()):
            if row in self.rows:
                self.drawn_photos[row] = _array(photos.images[i])
                if self.data.truth is not None and bool((photos.labels[i] >= 0).all()):
                    drawn = true_flips(self.data, np.array([row]))[0].transpose(0, 2, 3, 1)
                    self.truths |= {(row, k): truth for k, truth in enumerate(drawn)}

    def flip(self, flip: Flip) -> None:
        jury, use = self.panel.jury, self._heard(flip.k)
        sign = 2 * flip.target.float() - 1
        margins = torch.stack([flip.after[j].margins[:, flip.k] for j in jury], dim=1)[:, use]
        after = torch.stack([flip.after[j].answers for j in jury])
        before = torch.stack([flip.photos.before[j].answers for j in jury])
        seen = (after[:, :, flip.k] == (flip.target == 1)).T[:, use]
        right = (before[:, :, flip.k] == (flip.labels == 1)).T[:, use].any(1)
        others = (before != after) & self._others[:, None, flip.k]
        doubt = -(margins.mean(1) * sign)
        spread = others.sum(2).float().mean(0)
        convinced = [f"{int(s.sum())}/{len(s)}" for s in seen]
        self._keep_drawn(flip, convinced)
        if not self.worst:
            return
        for i in torch.nonzero(right).flatten().tolist():
            for badness, heap in ((doubt[i], self.unbelieved[flip.k]), (spread[i], self.moved)):
                if float(badness) <= 0 or not _worse(float(badness), heap, self._room(heap)):
                    continue
                moved = self._moved(others[:, i])
                found = self._failure(flip, i, float(badness), convinced[i], moved)
                _keep(heap, found, self._room(heap))

    def _heard(self, k: int) -> torch.Tensor:
        """``(jury,)`` bool: who is asked about attribute k: the trusted, or whoever knows it."""
        trusted = self.panel.trusted[:, k]
        known = np.array([self.panel.members[j].known[k] for j in self.panel.jury])
        return torch.from_numpy(trusted if trusted.any() else known)

    def _room(self, heap: list[Failure]) -> int:
        return 2 * self.worst if heap is self.moved else self.worst

    def _keep_drawn(self, flip: Flip, convinced: list[str]) -> None:
        for i, row in enumerate(flip.photos.rows.tolist()):
            if row in self.rows:
                direction = "on" if int(flip.target[i]) else "off"
                note = f"{direction}, {convinced[i]}"
                self.drawn[row, flip.k] = (_array(flip.images[i]), note)

    def _moved(self, others: torch.Tensor) -> tuple[str, ...]:
        trusting = torch.from_numpy(self.panel.trusted).sum(0).clamp_min(1)
        share = others.sum(0) / trusting
        return tuple(a for a, s in zip(self.panel.attributes, share, strict=True) if s > 0.5)

    def _failure(
        self, flip: Flip, i: int, badness: float, convinced: str, moved: tuple[str, ...]
    ) -> Failure:
        row = int(flip.photos.rows[i])
        return Failure(
            badness,
            row,
            self.data.files[row],
            flip.attribute,
            int(flip.target[i]),
            _array(flip.photos.images[i]),
            _array(flip.images[i]),
            convinced,
            moved,
        )


def _others(panel: Panel, dataset: AttributeDataset) -> torch.Tensor:
    """``(jury, K, K)``: does it count when judge j reads l otherwise after k was set?"""
    k = len(panel.attributes)
    counts = ~np.eye(k, dtype=bool)
    for group in dataset.exclusive:
        inside = np.array([a in group for a in panel.attributes])
        counts &= ~(inside[:, None] & inside[None, :])
    return torch.from_numpy(counts[None] & panel.trusted[:, None, :])


def _worse(badness: float, heap: list[Failure], room: int) -> bool:
    return len(heap) < room or badness > heap[0].badness


def _keep(heap: list[Failure], found: Failure, room: int) -> None:
    heapq.heappush(heap, found)
    if len(heap) > room:
        heapq.heappop(heap)


def _array(image: torch.Tensor) -> Pixels:
    return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
