"""The retoucher R: goes over what the decoder drew, with the photo before its eyes.

G draws from latents, at half the resolution: it does not see where exactly an eye lies, and skin,
rims and lips come out soft. R sees the photo and the edit and says what to add to the edit, near
its gate alone: where the photo does not change, R changes nothing either.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Retoucher"]

_SEEN = 3 + 3 + 1 + 1
"""Channels: the photo, the edit, gate and mask"""
_FINE = 24
_WIDENED = 7
"""Side, in pixels, of the square around the gate in which it may retouch"""


class Retoucher(nn.Module):
    """A small U-Net (Ronneberger et al. 2015) at half and a quarter of the resolution.

    What is asked for enters as a scale and shift (FiLM, Perez et al. 2018). Its answer is enlarged
    and finished at full resolution beside the photo and the edit.

    Args:
        n_attributes: K.
        width: Channels at half the image's resolution.
    """

    def __init__(self, n_attributes: int, width: int) -> None:
        super().__init__()
        self.start = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * _SEEN, width, 3, padding=1))
        self.before = _Residual(width, n_attributes)
        self.down = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.coarse = nn.ModuleList(_Residual(2 * width, n_attributes) for _ in range(2))
        self.up = nn.Conv2d(2 * width, width, 3, padding=1)
        self.after = nn.ModuleList(_Residual(width, n_attributes) for _ in range(2))
        self.fine = nn.Conv2d(width, _FINE, 1)
        self.edge = nn.Conv2d(_FINE + 6, _FINE, 3, padding=1)
        self.out = nn.Conv2d(_FINE, 3, 3, padding=1)
        if not self.out.weight.is_meta:
            with torch.no_grad():  # begins as one who adds next to nothing
                for parameter in self.out.parameters():
                    parameter.mul_(0.1)

    def forward(self, x: Tensor, edit: Tensor, gate: Tensor, mask: Tensor, step: Tensor) -> Tensor:
        """What to add to an edit, ``(B, 3, H, W)``.

        Args:
            x: ``(B, 3, H, W)`` in [−1, 1]: the photo.
            edit: ``(B, 3, H, W)`` in [−1, 1]: what was made of it.
            gate: ``(B, 1, H, W)`` in [0, 1]: where it may have changed.
            mask: ``(B, 1, H, W)`` in [0, 1]: where its own detail was given up.
            step: ``(B, K)``: how far each attribute was moved, a″ − a.
        """
        h = self.before(self.start(torch.cat([x, edit, gate, mask], dim=1)), step)
        coarse = self.down(F.leaky_relu(h, 0.2))
        for block in self.coarse:
            coarse = block(coarse, step)
        h = h + self.up(F.interpolate(coarse, scale_factor=2, mode="nearest"))
        for block in self.after:
            h = block(h, step)
        fine = F.interpolate(self.fine(F.leaky_relu(h, 0.2)), scale_factor=2, mode="bilinear")
        fine = F.leaky_relu(self.edge(torch.cat([fine, x, edit], dim=1)), 0.2)
        added: Tensor = self.out(fine).float()
        return _widened(gate) * added


class _Residual(nn.Module):
    """Two convolutions, modulated in between."""

    def __init__(self, channels: int, n_attributes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(n_attributes, 2 * channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        if not self.film.weight.is_meta:
            nn.init.normal_(self.film.weight, std=0.05)
            with torch.no_grad():
                self.second.weight.mul_(0.2)
        nn.init.zeros_(self.film.bias)

    def forward(self, h: Tensor, step: Tensor) -> Tensor:
        gain, shift = self.film(step)[:, :, None, None].chunk(2, dim=1)
        inner = self.first(F.leaky_relu(h, 0.2)) * (1 + gain) + shift
        total: Tensor = h + self.second(F.leaky_relu(inner, 0.2))
        return total


def _widened(gate: Tensor) -> Tensor:
    """The gate, a few pixels wider and with soft edges; 0 where it is shut all around."""
    wide = F.max_pool2d(gate, _WIDENED, 1, _WIDENED // 2)
    return F.avg_pool2d(wide, 3, 1, 1, count_include_pad=False)
