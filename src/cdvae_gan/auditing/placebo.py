"""Placebos: changes of the same size as an edit, in the same place, that carry no attribute.

With d = x′ − x an edit and B a blur that keeps the sum,

    noise      x + s n ⊙ √(B d²),  n ~ N(0, 1)          a blurred mask has no outline to recognise
    another    x + s (x″ − x),  x″ an unrelated edit

with s such that the energy Σ (·)² over the picture is that of d after clipping and rounding to 8
bits; the unrelated edit is never enlarged (s ≤ 1), so where it is the smaller one it stays so.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cdvae_gan.images import to_float, to_uint8

__all__ = ["as_seen", "energy", "noise_like", "scaled_like"]

_BLUR = 8  # the mask is blurred over 1/8 of the side
_ROUNDS = 6


def as_seen(x: Tensor) -> Tensor:
    """Images ``(B, 3, H, W)`` in [−1, 1] at the 8 bits that a classifier sees."""
    return to_float(to_uint8(x))


def energy(change: Tensor) -> Tensor:
    """Σ (·)² of each image of ``(B, 3, H, W)``: ``(B,)``."""
    return change.double().pow(2).sum(dim=(1, 2, 3))


def noise_like(x: Tensor, edited: Tensor, seeds: list[tuple[int, ...]]) -> Tensor:
    """Photos with noise where they were edited, of the edit's energy.

    Args:
        x: ``(B, 3, H, W)`` in [−1, 1], at 8 bits.
        edited: The same, edited, at 8 bits.
        seeds: One an image, so that it does not matter in which batch it comes.

    Returns:
        ``(B, 3, H, W)`` in [−1, 1], at 8 bits.
    """
    change = edited - x
    side = x.shape[-1] // _BLUR | 1
    local = change.pow(2).mean(dim=1, keepdim=True)
    for _ in range(2):
        local = F.avg_pool2d(local, side, stride=1, padding=side // 2)
    shape = tuple(x.shape[1:])
    drawn = np.stack([np.random.default_rng(seed).standard_normal(shape) for seed in seeds])
    noise = torch.from_numpy(drawn).to(x) * local.clamp_min(0).sqrt()
    return _to_energy(x, noise, energy(change), None)


def scaled_like(x: Tensor, edited: Tensor, other: Tensor) -> Tensor:
    """Photos with another edit, made as small as an edit is; arguments as in `noise_like`."""
    return _to_energy(x, other - x, energy(edited - x), 1.0)


def _to_energy(x: Tensor, change: Tensor, wanted: Tensor, most: float | None) -> Tensor:
    """Scale a change so that its energy is as wanted after it has been clipped and rounded."""
    scale = torch.ones_like(wanted)
    found = as_seen(x + change)
    for _ in range(_ROUNDS):
        have = energy(found - x)
        ratio = torch.where(have > 0, wanted / have.clamp_min(1e-12), torch.ones_like(have))
        scale = scale * ratio.sqrt().clamp(0.1, 10)
        scale = scale if most is None else scale.clamp_max(most)
        found = as_seen(x + scale.to(x)[:, None, None, None] * change)
    return torch.where((wanted > 0)[:, None, None, None], found, x)
