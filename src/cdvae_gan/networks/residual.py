"""A small residual network on pixels: what the critics that look at pixels have in common."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ResidualTrunk"]


class ResidualTrunk(nn.Module):
    """A pre-activation residual network (He et al. 2016) with mean pooling.

    Args:
        width: Channels of the first of four stages; each has twice those of the last.
        folded: Side of the squares of pixels that are laid into channels, so that images of that
            many times the side cost about the same.
    """

    def __init__(self, width: int = 32, folded: int = 1) -> None:
        super().__init__()
        self.folded = folded
        self.stem = nn.Conv2d(3 * folded**2, width, 5, stride=2, padding=2)
        widths = [width * 2**i for i in range(4)]
        self.stages = nn.Sequential(
            *(_Residual(i, o) for i, o in zip([width, *widths[:-1]], widths, strict=True))
        )
        self.channels = widths[-1]
        self.norm = nn.BatchNorm2d(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(B, 8 · width)`` of images ``(B, 3, H, W)`` in [−1, 1]."""
        if self.folded > 1:
            x = F.pixel_unshuffle(x, self.folded).contiguous(memory_format=torch.channels_last)
        return F.silu(self.norm(self.stages(self.stem(x)))).mean(dim=(2, 3))


class _Residual(nn.Module):
    """Half the resolution where the width grows."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        stride = 1 if channels_in == channels_out else 2
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.skip = (
            nn.Identity()
            if stride == 1
            else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.norm1(x))
        skip = x if isinstance(self.skip, nn.Identity) else self.skip(h)
        total: Tensor = skip + self.conv2(F.silu(self.norm2(self.conv1(h))))
        return total
