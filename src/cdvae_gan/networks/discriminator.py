"""The discriminator D and its attribute head C.

All kinds here share one form: ``features`` of an image, then ``judge`` of the features, so that
features can be used twice. A verdict has, for every position judged, one logit "is it real?" and,
with ``branches``, two more for every attribute: "is it a real image with a_k = 0?", "… = 1?" (the
multi-task discriminator of Choi et al. 2020, StarGAN v2). Such a branch has seen edits among its
fakes, so it can't be pleased by an edit that doesn't show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from cdvae_gan.networks.efficientnet import EfficientNetFeatures
from cdvae_gan.networks.encoder import conv_widths
from cdvae_gan.networks.memory import channels_last
from cdvae_gan.networks.residual import ResidualTrunk

__all__ = [
    "Discriminator",
    "PlainDiscriminator",
    "ProjectedDiscriminator",
    "ResidualDiscriminator",
    "Verdict",
]


class Verdict(NamedTuple):
    """What a discriminator says of a batch."""

    realness: list[Tensor]
    """One map ``(B, 1 or 1 + 2K, h, w)`` a scale: channel 0 unconditional, 1 + 2k + v: a_k = v"""
    attributes: Tensor
    """``(B, K)`` logits of the attribute head C"""


class Discriminator(nn.Module):
    """What all kinds have in common.

    Args:
        n_attributes: K.
        branches: Whether to judge realness given each attribute's value too.
    """

    def __init__(self, n_attributes: int, branches: bool) -> None:
        super().__init__()
        self.realness_channels = 1 + 2 * n_attributes if branches else 1

    def features(self, x: Tensor) -> list[Tensor]:
        """Features of images ``(B, 3, H, W)`` in [−1, 1], finest first."""
        raise NotImplementedError

    def judge(self, features: list[Tensor]) -> Verdict:
        """The verdict on features."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Verdict:
        """The verdict on images ``(B, 3, H, W)`` in [−1, 1]."""
        return self.judge(self.features(x))


class PlainDiscriminator(Discriminator):
    """A strided convolutional network of its own, with two linear heads.

    Args:
        image_size: H = W, a power of two of at least 32.
        n_attributes: K.
        width: Channels after the first convolution.
        branches: See :class:`Discriminator`.
    """

    def __init__(
        self, image_size: int, n_attributes: int, width: int, branches: bool = False
    ) -> None:
        super().__init__(n_attributes, branches)
        widths = conv_widths(image_size, width)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
            for i, o in zip([3, *widths[:-1]], widths, strict=True)
        )
        flat = widths[-1] * 16
        self.to_realness = nn.Linear(flat, self.realness_channels)
        self.to_attributes = nn.Sequential(
            nn.Linear(flat, 128), nn.LeakyReLU(0.2), nn.Linear(128, n_attributes)
        )

    def features(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def judge(self, features: list[Tensor]) -> Verdict:
        flat = features[-1].flatten(1)
        realness = self.to_realness(flat).float()[:, :, None, None]
        return Verdict([realness], self.to_attributes(flat).float())


class ProjectedDiscriminator(Discriminator):
    """A discriminator in the features of a frozen ImageNet network (Sauer et al. 2021).

    Features at four scales are mixed by random convolutions, across channels and across scales, and
    judged by a small spectrally normed head each. C is a small network with dropout on the same
    features.

    Args:
        n_attributes: K.
        branches: See :class:`Discriminator`.
        input_size: Images are resized to this before the frozen network; a multiple of 32.
        channels: Channels of the mixed features.
        learned_mixing: Whether the convolutions that mix learn too, or stay as they were drawn.

    Raises:
        InputError: Where the frozen network's weights are not installed.
    """

    def __init__(
        self,
        n_attributes: int,
        branches: bool = True,
        input_size: int = 96,
        channels: int = 64,
        learned_mixing: bool = False,
    ) -> None:
        super().__init__(n_attributes, branches)
        self.input_size = input_size
        # In a tuple the frozen network is no submodule: it is in no checkpoint and no optimiser.
        self._frozen = (channels_last(EfficientNetFeatures()),)
        widths = self._frozen[0].channels
        self.mix_channels = nn.ModuleList(nn.Conv2d(w, channels, 1, bias=False) for w in widths)
        self.mix_scales = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in widths
        )
        generator = torch.Generator().manual_seed(0)
        for mix in (*self.mix_channels, *self.mix_scales):
            nn.init.kaiming_normal_(mix.weight, a=1.0, generator=generator)
            mix.requires_grad_(learned_mixing)
        self.heads = nn.ModuleList(
            _head(channels, self.realness_channels, halvings) for halvings in (2, 1, 0, 0)
        )
        coarse, coarsest = input_size // 16, input_size // 32
        self.reduce_fine = nn.Conv2d(widths[1], 24, 3, stride=2, padding=1)
        self.reduce_coarse = nn.Conv2d(widths[2], 48, 1)
        flat = 72 * coarse**2 + widths[3] * coarsest**2
        self.to_attributes = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(flat, 256),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.2),
            nn.Linear(256, n_attributes),
        )

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> ProjectedDiscriminator:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._frozen[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def features(self, x: Tensor) -> list[Tensor]:
        size = (self.input_size, self.input_size)
        resized = F.interpolate(x, size, mode="bilinear", align_corners=False)
        maps: list[Tensor] = self._frozen[0](resized.contiguous(memory_format=torch.channels_last))
        return maps

    def judge(self, features: list[Tensor]) -> Verdict:
        mixed: Tensor | None = None
        realness: list[Tensor] = []
        for i in reversed(range(len(features))):
            here = self.mix_channels[i](features[i] / 2)
            if mixed is not None:
                here = here + F.interpolate(mixed, scale_factor=2.0, mode="bilinear")
            mixed = self.mix_scales[i](here) / 2**0.5
            realness.insert(0, self.heads[i](mixed).float())
        flat = torch.cat(
            [
                F.leaky_relu(self.reduce_coarse(features[2]), 0.2).flatten(1),
                F.leaky_relu(self.reduce_fine(features[1]), 0.2).flatten(1),
                features[3].flatten(1),
            ],
            dim=1,
        )
        return Verdict(realness, self.to_attributes(flat).float())


class ResidualDiscriminator(Discriminator):
    """A residual network on pixels.

    C shares all but its last layer (auxiliary classifier, Odena et al. 2017): what tells faces
    apart by their attributes is soon of use in telling photos from edits, too.

    Args:
        n_attributes: K.
        branches: See :class:`Discriminator`.
        width: See :class:`~cdvae_gan.networks.residual.ResidualTrunk`.
        folded: Likewise.
    """

    def __init__(
        self, n_attributes: int, branches: bool = True, width: int = 32, folded: int = 1
    ) -> None:
        super().__init__(n_attributes, branches)
        self.trunk = ResidualTrunk(width, folded)
        self.to_realness = nn.Linear(self.trunk.channels, self.realness_channels)
        self.to_attributes = nn.Linear(self.trunk.channels, n_attributes)

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.trunk(x)]

    def judge(self, features: list[Tensor]) -> Verdict:
        (pooled,) = features
        realness = self.to_realness(pooled).float()[:, :, None, None]
        return Verdict([realness], self.to_attributes(pooled).float())


def _head(channels: int, channels_out: int, halvings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(halvings):
        layers += [
            spectral_norm(nn.Conv2d(channels, channels, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
        ]
    layers += [
        spectral_norm(nn.Conv2d(channels, channels, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(channels, channels_out, 1)),
    ]
    return nn.Sequential(*layers)
