"""The decoder G: draws the location G(z, u, a) of p(x | z, a), and mask and gate channels M and N.

The attributes and z enter at every resolution, as a scale and shift of the normalised features
(FiLM, Perez et al. 2018), so that an attribute can act on shapes as well as on textures; the
spatial latent u enters where the features have its resolution, H/4.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Decoder", "Drawing"]


class Drawing(NamedTuple):
    """What the decoder draws of a batch."""

    location: Tensor
    """``(B, 3, H, W)`` in [−1, 1]"""
    mask_logits: Tensor
    """``(B, m, H, W)``: M, of which only differences between two drawings have a meaning"""
    gate_logits: Tensor
    """``(B, n, H, W)``: N, likewise"""

    def split(self, sizes: Sequence[int]) -> list[Drawing]:
        """One for each of several batches that were drawn together."""
        return [
            Drawing(*parts)
            for parts in zip(*(channels.split(list(sizes)) for channels in self), strict=True)
        ]


class _Block(nn.Module):
    """Double the resolution, convolve, modulate by the code (z, a)."""

    def __init__(self, channels_in: int, channels_out: int, code_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=False)
        self.film = nn.Linear(code_dim, 2 * channels_out)
        # Shapes alone have nothing to fill, and torch would take most of a second to find that out.
        if not self.film.weight.is_meta:
            nn.init.normal_(self.film.weight, std=0.5 / code_dim**0.5)
        nn.init.zeros_(self.film.bias)

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        gain, shift = self.film(code)[:, :, None, None].chunk(2, dim=1)
        modulated = torch.addcmul(shift, self.norm(self.conv(h)), 1 + gain)
        return F.leaky_relu(modulated, 0.2, inplace=True)


class Decoder(nn.Module):
    """A convolutional generator from 4×4 up to the image.

    Args:
        image_size: H = W, a power of two of at least 32.
        n_attributes: K.
        z_dim: d.
        u_channels: c, the channels of the spatial latent; 0 for none.
        mask_channels: m, the channels of M; 0 for none.
        gate_channels: n, the channels of N; 0 for none.
        width: Channels at half the image's resolution.
        fine_channels: Channels at full resolution, drawn as sub-pixels of a modulated convolution
            at half of it (Shi et al. 2016), for edges that are sharp to the pixel; 0 for none,
            which is faster: features are then enlarged from half the resolution.
    """

    def __init__(
        self,
        image_size: int,
        n_attributes: int,
        z_dim: int,
        u_channels: int,
        mask_channels: int,
        gate_channels: int,
        width: int,
        fine_channels: int = 0,
    ) -> None:
        super().__init__()
        self.u_channels = u_channels
        self.channels_out = [3, mask_channels, gate_channels]
        doublings = (image_size // 4).bit_length() - 1
        widths = [width * min(2**i, 8) for i in range(doublings - 1, -1, -1)]
        code_dim = z_dim + n_attributes
        self.start = nn.Linear(code_dim, widths[0] * 16, bias=False)
        # The norm behind it takes its mean away, but not what differs from place to place.
        self.start.bias = nn.Parameter(torch.zeros(widths[0] * 16))
        self.start_norm = nn.BatchNorm2d(widths[0])
        self.u_block = doublings - 3  # the block that draws at H/4
        self.blocks = nn.ModuleList(
            _Block(i + (u_channels if n == self.u_block else 0), o, code_dim)
            for n, (i, o) in enumerate(pairwise(widths))
        )
        # Plain where nothing follows at full resolution: modulation here costs as much as below.
        self.fine = (
            _Block(width, width, code_dim)
            if fine_channels
            else nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.2, inplace=True),
            )
        )
        self.enlarge = (
            nn.Sequential(
                nn.Conv2d(width, 4 * fine_channels, 3, padding=1),
                nn.LeakyReLU(0.2, inplace=True),
                nn.PixelShuffle(2),
            )
            if fine_channels
            else nn.Upsample(scale_factor=2, mode="bilinear")
        )
        self.out = nn.Conv2d(fine_channels or width, sum(self.channels_out), 3, padding=1)

    @property
    def of_code(self) -> list[nn.Linear]:
        """The layers that take the code (z, 2 a − 1)."""
        blocks = [block for block in (*self.blocks, self.fine) if isinstance(block, _Block)]
        return [self.start, *(block.film for block in blocks)]

    def forward(self, z: Tensor, a: Tensor, u: Tensor | None = None) -> Drawing:
        """Draw from latents.

        Args:
            z: ``(B, d)``.
            a: ``(B, K)`` in [0, 1].
            u: ``(B, c, H/4, W/4)``; None stands for its prior mean, zero.
        """
        code = torch.cat([z, 2 * a - 1], dim=1)
        # Not len(z): tracing for export would take that for a constant.
        h = self.start(code).view(z.shape[0], -1, 4, 4)
        h = h.contiguous(memory_format=torch.channels_last)
        h = F.leaky_relu(self.start_norm(h), 0.2)
        for n, block in enumerate(self.blocks):
            h = F.interpolate(h, scale_factor=2, mode="nearest")
            if self.u_channels and n == self.u_block:
                h = torch.cat([h, self._spatial(u, h)], dim=1)
            h = block(h, code)
        h = self.fine(h, code) if isinstance(self.fine, _Block) else self.fine(h)
        location, mask, gate = self.out(self.enlarge(h)).float().split(self.channels_out, dim=1)
        return Drawing(torch.tanh(location), mask, gate)

    def _spatial(self, u: Tensor | None, like: Tensor) -> Tensor:
        if u is None:
            return like.new_zeros(like.shape[0], self.u_channels, *like.shape[2:])
        return u.to(like.dtype)
