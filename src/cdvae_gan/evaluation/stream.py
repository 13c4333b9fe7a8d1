"""One pass over the images: every flip is drawn once, and everybody who measures looks at it.

A *part* is somebody who measures: it is shown each batch of photos, then each flip of it, and says
in the end what it has summed up. Images are 8-bit pictures, as whoever saves them gets them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.data.dataset import UNKNOWN, AttributeDataset
from cdvae_gan.evaluation.edits import Editor, as_pictures
from cdvae_gan.evaluation.metrics.base import Summed, Table
from cdvae_gan.evaluation.panel import Panel, Reading
from cdvae_gan.evaluation.splits import groups_of
from cdvae_gan.images import to_float, to_uint8

__all__ = ["Flip", "Part", "Photos", "stream"]


@dataclass(frozen=True)
class Photos:
    """A batch of real images."""

    rows: npt.NDArray[np.int64]
    """``(B,)`` places in the data set"""
    images: Tensor
    """uint8 ``(B, 3, H, W)``"""
    x: Tensor
    """The same, float in [−1, 1]"""
    labels: Tensor
    """``(B, K)``: 0, 1, −1 for unknown"""
    groups: npt.NDArray[np.int64]
    """``(B,)`` what the bootstrap draws as one"""
    before: tuple[Reading, ...]
    """What each judge says"""

    def take(self, index: Tensor) -> Photos:
        """Some of them."""
        chosen = index.numpy()
        return Photos(
            self.rows[chosen],
            self.images[index],
            self.x[index],
            self.labels[index],
            self.groups[chosen],
            tuple(reading.take(index) for reading in self.before),
        )


@dataclass(frozen=True)
class Flip:
    """One attribute of a batch of photos, set to what it is not."""

    photos: Photos
    """Those whose label is known"""
    at: Tensor
    """``(B′,)`` their places in the batch"""
    attribute: str
    k: int
    """Its number"""
    target: Tensor
    """``(B′,)``: 0 or 1"""
    x: Tensor
    """x′, float ``(B′, 3, H, W)`` in [−1, 1], of 256 levels"""
    images: Tensor
    """The same as uint8"""
    after: tuple[Reading, ...]
    """What each judge says of x′"""

    @property
    def labels(self) -> Tensor:
        """``(B′,)`` what the attribute was: 0 or 1."""
        return self.photos.labels[:, self.k]


class Part:
    """Somebody who measures. Both methods that are shown something may do nothing."""

    subject = ""
    """What is missing where there are too few images to answer; without a name it must answer"""

    def photos(self, photos: Photos) -> None:
        """A batch of photos, before its flips."""

    def flip(self, flip: Flip) -> None:
        """One flip of that batch."""

    def summed(self) -> dict[str, Summed]:
        """What was measured, by names that no other part uses."""
        return {}

    def tables(self, resamples: int, seed: int, confidence: float) -> dict[str, Table]:
        """What was measured and is no function of sums."""
        return {}


def stream(
    editor: Editor,
    dataset: AttributeDataset,
    panel: Panel,
    parts: Sequence[Part],
    *,
    batch_size: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Flip every known attribute of every image, and show it to the parts.

    Args:
        editor: It is told the new value, and never the label.
        dataset: With the panel's attributes.
        panel: The judges.
        parts: Who looks.
        batch_size: Images at a time.
        progress: Called with the number of flips done since the last call.
    """
    data, groups = dataset.select(panel.attributes), groups_of(dataset)
    edit = as_pictures(editor)
    for start in range(0, len(data), batch_size):
        rows = np.arange(start, min(start + batch_size, len(data)))
        photos = _photos(data, rows, groups[rows], panel)
        for part in parts:
            part.photos(photos)
        for k, attribute in enumerate(panel.attributes):
            at = torch.nonzero(photos.labels[:, k] != UNKNOWN).flatten()
            if len(at):
                # The whole batch is passed on as it is: editors remember what they have seen.
                known = photos if len(at) == len(rows) else photos.take(at)
                flip = _flip(edit, known, at, attribute, k, panel)
                for part in parts:
                    part.flip(flip)
            if progress:
                progress(len(rows))


def _photos(
    data: AttributeDataset, rows: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], panel: Panel
) -> Photos:
    images, labels = data.batch(rows)
    x = to_float(images).contiguous(memory_format=torch.channels_last)
    before = tuple(member.read(images) for member in panel.members)
    return Photos(rows, images, x, labels, groups, before)


def _flip(edit: Editor, photos: Photos, at: Tensor, attribute: str, k: int, panel: Panel) -> Flip:
    target = 1 - photos.labels[:, k].long()
    x = edit(photos.x, attribute, target)
    images = to_uint8(x)
    after = tuple(member.read(images) for member in panel.members)
    return Flip(photos, at, attribute, k, target, x, images, after)
