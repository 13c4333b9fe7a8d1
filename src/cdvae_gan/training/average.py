"""The running average of weights that is kept of a training (Polyak & Juditsky 1992)."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["follow"]


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move an average towards a network of its kind, statistics of norms too; counts stay.

    Args:
        average: What moves.
        network: Where to.
        keep: The share in [0, 1] of the average that stays.
    """
    now, kept = (
        [v for v in n.state_dict().values() if v.is_floating_point()] for n in (network, average)
    )
    torch._foreach_lerp_(kept, now, 1 - keep)
