"""Who is on a photo, as a point on a sphere: a critic that knows the same person again."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from cdvae_gan.networks.residual import ResidualTrunk

__all__ = ["Identified", "IdentityNetwork"]


class Identified(NamedTuple):
    """What the network says of a batch."""

    embedding: Tensor
    """``(B, d)``, unit vectors: near each other for photos of one person"""
    attributes: Tensor
    """``(B, K)`` logits: with them the trunk soon learns to look at faces"""


class IdentityNetwork(nn.Module):
    """A residual network with two linear heads.

    Args:
        n_attributes: K.
        width: See :class:`~cdvae_gan.networks.residual.ResidualTrunk`.
        dimensions: d.
    """

    def __init__(self, n_attributes: int, width: int = 32, dimensions: int = 128) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(width)
        self.to_embedding = nn.Linear(self.trunk.channels, dimensions)
        self.to_attributes = nn.Linear(self.trunk.channels, n_attributes)

    def forward(self, x: Tensor) -> Identified:
        """Of images ``(B, 3, H, W)`` in [−1, 1]."""
        pooled = self.trunk(x)
        return Identified(
            F.normalize(self.to_embedding(pooled).float(), dim=1),
            self.to_attributes(pooled).float(),
        )
