"""The networks of the judges: a plain CNN and a residual network, on images in [−1, 1].

Nothing here is shared with the model that is judged: not a layer, not a loss, not a weight.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PlainCNN", "ResidualNetwork", "channels_last"]

Module = TypeVar("Module", bound=nn.Module)

_POOLED = 4


def channels_last(module: Module) -> Module:
    """Lay out the weights as convolutions on the CPU like them best; in place."""
    # torch's own type hints do not know this argument.
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class PlainCNN(nn.Module):
    """Convolution, batch normalisation, ReLU, six times; then two linear layers.

    Args:
        attributes: K, the number of scores.
        width: Channels of the first layer.
        dropout: Between the linear layers.
    """

    def __init__(self, attributes: int, width: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        w = width
        plan = ((w, 2), (w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 2))
        layers: list[nn.Module] = []
        channels = 3
        for out, stride in plan:
            layers += [
                nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            ]
            channels = out
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(_POOLED), nn.Flatten())
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels * _POOLED**2, 256),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(256, attributes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``(B, K)`` of images ``(B, 3, H, W)`` in [−1, 1]."""
        scores: Tensor = self.head(self.features(x))
        return scores


class ResidualNetwork(nn.Module):
    """A pre-activation residual network (He et al. 2016) with mean pooling.

    Args:
        attributes: K, the number of scores.
        width: Channels of the first of four stages; each stage has twice those of the last.
        blocks: Residual blocks in a stage.
    """

    def __init__(self, attributes: int, width: int = 32, blocks: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 5, 2, padding=2, bias=False)
        stages: list[nn.Module] = []
        channels = width
        for stage in range(4):
            for block in range(blocks):
                first = block == 0
                out = width * 2**stage
                stages.append(_Residual(channels, out, 2 if first and stage else 1))
                channels = out
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, attributes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``(B, K)`` of images ``(B, 3, H, W)`` in [−1, 1]."""
        h = F.silu(self.norm(self.stages(self.stem(x))))
        scores: Tensor = self.head(h.mean(dim=(2, 3)))
        return scores


class _Residual(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        same = channels == out and stride == 1
        self.skip = None if same else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.norm1(x))
        skip = x if self.skip is None else self.skip(h)
        total: Tensor = skip + self.conv2(F.silu(self.norm2(self.conv1(h))))
        return total
