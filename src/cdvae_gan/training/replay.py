"""What was drawn lately, so that a discriminator can learn from more than the last batch.

G moves a little at every step, and the discriminator should make several in that time, on more
images than a batch has (Shrivastava et al. 2017). A replay is part of a run's checkpoint: a run
that goes on at step n draws from it what an unbroken run draws.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cdvae_gan.images import to_float, to_uint8

__all__ = ["Recalled", "Replay"]


class Recalled(NamedTuple):
    """Photos and edits, drawn independently of each other."""

    photos: Tensor
    """``(n, 3, H, W)`` in [−1, 1]"""
    labels: Tensor
    """``(n, K)`` of the photos, 0, 1 or −1 for unknown"""
    edits: Tensor
    """``(n, 3, H, W)`` in [−1, 1]"""
    attribute: Tensor
    """``(n,)``: the attribute that was intervened on in each edit"""
    value: Tensor
    """``(n,)``: the value that it was given, 0 or 1"""


class Replay(nn.Module):
    """The last edits and their photos, in a ring (a replay buffer).

    Args:
        size: How many.
        image_size: H = W.
        n_attributes: K.
    """

    def __init__(self, size: int, image_size: int, n_attributes: int) -> None:
        super().__init__()
        self.size = size
        self.photos: Tensor
        self.labels: Tensor
        self.edits: Tensor
        self.attribute: Tensor
        self.value: Tensor
        self.added: Tensor
        images = torch.zeros(size, 3, image_size, image_size, dtype=torch.uint8)
        self.register_buffer("photos", images)
        self.register_buffer("edits", images.clone())
        self.register_buffer("labels", torch.zeros(size, n_attributes, dtype=torch.int8))
        self.register_buffer("attribute", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("value", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("added", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return min(self.size, int(self.added))

    def add(self, seen: Recalled) -> None:
        """Take in a batch of no more than there is room for, in place of what is oldest."""
        n = len(seen.photos)
        where = (self.added + torch.arange(n, device=self.added.device)) % self.size
        self.photos[where] = to_uint8(seen.photos)
        self.edits[where] = to_uint8(seen.edits)
        self.labels[where] = seen.labels.to(self.labels)
        self.attribute[where] = seen.attribute
        self.value[where] = seen.value
        self.added += n

    def draw(self, n: int) -> Recalled:
        """Draw n photos and, apart from them, n edits; there must be some."""
        photo, edit = torch.randint(len(self), (2, n), device=self.added.device)
        return Recalled(
            to_float(self.photos[photo]),
            self.labels[photo].long(),
            to_float(self.edits[edit]),
            self.attribute[edit],
            self.value[edit],
        )
