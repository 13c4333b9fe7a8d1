"""Differentiable augmentation, the same for real and drawn images (Zhao et al. 2020).

A critic that sees every image shifted and scaled can't be pleased by patterns of single pixels.
Half of the images are recoloured too; the other half keep their colours, or a face that an edit
turns red would pass for one in another light (Karras et al. 2020: a corruption that is skipped
often enough does not leak into what is drawn).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Augmentation", "mirrored"]

_SHIFT = 0.125  # of half the image: 4 pixels of 64
_SCALE = 0.08
_BRIGHTNESS = 0.2
_CONTRAST = (0.75, 1.25)
_SATURATION = (0.5, 1.5)
RECOLOURED = 0.5
"""Share of images, where nothing else is said"""


def mirrored(x: Tensor) -> Tensor:
    """Images ``(B, 3, H, W)``, each left and right exchanged or not, at random."""
    exchanged = torch.rand(len(x), device=x.device)[:, None, None, None] < 0.5
    return torch.where(exchanged, x.flip(3), x)


@dataclass(frozen=True)
class Augmentation:
    """One random augmentation for each image of a batch; applying it twice does the same twice."""

    affine: Tensor
    """``(B, 2, 3)``"""
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    """``(B, 1, 1, 1)`` each"""

    @classmethod
    def draw(
        cls, n: int, device: torch.device | str = "cpu", recoloured: float = RECOLOURED
    ) -> Augmentation:
        """Draw for n images, so large a share of which is recoloured."""

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.rand(n, *shape, device=device) * (high - low) + low

        affine = torch.zeros(n, 2, 3, device=device)
        affine[:, 0, 0] = uniform(1 - _SCALE, 1 + _SCALE)
        affine[:, 1, 1] = uniform(1 - _SCALE, 1 + _SCALE)
        affine[:, :, 2] = uniform(-_SHIFT, _SHIFT, 2)
        chosen = uniform(0, 1, 1, 1, 1) < recoloured
        return cls(
            affine,
            torch.where(chosen, uniform(-_BRIGHTNESS, _BRIGHTNESS, 1, 1, 1), 0.0),
            torch.where(chosen, uniform(*_CONTRAST, 1, 1, 1), 1.0),
            torch.where(chosen, uniform(*_SATURATION, 1, 1, 1), 1.0),
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Augment images ``(B, 3, H, W)``."""
        x = x + self.brightness
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        x = (x - mean) * self.contrast + mean
        grey = x.mean(dim=1, keepdim=True)
        x = (x - grey) * self.saturation + grey
        where = F.affine_grid(self.affine, list(x.shape), align_corners=False)
        moved = F.grid_sample(
            x, where, mode="bilinear", padding_mode="reflection", align_corners=False
        )
        return moved.contiguous(memory_format=torch.channels_last)
