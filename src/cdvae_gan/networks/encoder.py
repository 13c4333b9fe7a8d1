"""The encoder E: parameters of q(z|x), q(a|x) and q(u|x).

q(z|x) = N(μ(x), diag σ²(x))         z ∈ R^d, a vector
q(a|x) = ∏ Bern(α_k(x))              a ∈ {0, 1}^K
q(u|x) = N(μ_u(x), diag σ_u²(x))     u ∈ R^{c×H/4×W/4}, spatial; absent where c = 0
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Encoder", "Encoding", "conv_widths", "sample_gaussian"]

_LOG_VARIANCE_RANGE = (-8.0, 4.0)


class Encoding(NamedTuple):
    """What the encoder says of a batch: parameters, not distributions."""

    z_mean: Tensor
    """``(B, d)``"""
    z_log_variance: Tensor
    """``(B, d)``"""
    a_logits: Tensor
    """``(B, K)``, the logits of α"""
    u_mean: Tensor | None
    """``(B, c, H/4, W/4)``, or None without a spatial latent"""
    u_log_variance: Tensor | None
    """``(B, c, H/4, W/4)``, or None without a spatial latent"""


def conv_widths(image_size: int, width: int) -> list[int]:
    """Channels after each halving from ``image_size`` down to 4×4: width, doubled up to 8·width."""
    halvings = (image_size // 4).bit_length() - 1
    return [width * min(2**i, 8) for i in range(halvings)]


class Encoder(nn.Module):
    """A strided convolutional network with one head for each latent.

    Args:
        image_size: H = W, a power of two of at least 32.
        n_attributes: K.
        z_dim: d.
        u_channels: c, the channels of the spatial latent; 0 for none.
        width: Channels after the first convolution.
    """

    def __init__(
        self, image_size: int, n_attributes: int, z_dim: int, u_channels: int, width: int
    ) -> None:
        super().__init__()
        widths = conv_widths(image_size, width)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(i, o, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(o),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for i, o in zip([3, *widths[:-1]], widths, strict=True)
        )
        flat = widths[-1] * 16
        self.to_z = nn.Linear(flat, 2 * z_dim)
        self.to_a = nn.Linear(flat, n_attributes)
        self.to_u = nn.Conv2d(widths[1], 2 * u_channels, 1) if u_channels else None

    def forward(self, x: Tensor) -> Encoding:
        """Encode images ``(B, 3, H, W)`` in [−1, 1]."""
        h, quarter = x, None
        for i, stage in enumerate(self.stages):
            h = stage(h)
            if i == 1:
                quarter = h
        flat = h.flatten(1)
        z_mean, z_log_variance = self.to_z(flat).float().chunk(2, dim=1)
        u_mean = u_log_variance = None
        if self.to_u is not None:
            u_mean, u_log_variance = self.to_u(quarter).float().chunk(2, dim=1)
            u_log_variance = u_log_variance.clamp(*_LOG_VARIANCE_RANGE)
        return Encoding(
            z_mean,
            z_log_variance.clamp(*_LOG_VARIANCE_RANGE),
            self.to_a(flat).float(),
            u_mean,
            u_log_variance,
        )


def sample_gaussian(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A reparametrised sample of N(mean, exp(log_variance))."""
    return mean + torch.randn_like(mean) * (log_variance / 2).exp()
