"""The prior of z met by the data, in closed form, while every picture stays as it is.

z ~ N(0, I) is what samples are drawn from, but at a rate that leaves z informative the aggregate
posterior q(z), the mean over photos of q(z|x), has other moments (Hoffman & Johnson 2016, "ELBO
surgery"; Makhzani et al. 2015), and G has never seen what the prior draws. With m and Σ its mean
and covariance, over photos and within each posterior,

    z̃ = S⁻¹ (z − m),  S = Σ^(½)          G̃(z̃, u, a) = G(m + S z̃, u, a)

has q(z̃) with mean 0 and covariance I, and G̃(z̃, u, a) = G(z, u, a): counterfactuals do not change,
samples become what G knows how to draw. Both maps are affine, as the layers are that they become
part of; only log σ²(x) is not a linear function of the old, and is linearised about its mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cdvae_gan.data import AttributeDataset
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.training.erasure import encodings

__all__ = ["match_prior"]

_IMAGES = 5000
_SMALLEST = 1e-6
"""Of the largest eigenvalue of Σ: a dimension that varies less stays as it is"""


@torch.no_grad()
def match_prior(model: CDVAEGAN, data: AttributeDataset, seed: int = 0) -> None:
    """Give z of a data set the moments of its prior.

    Args:
        model: A model, which draws the same afterwards.
        data: Such images as it was trained on, of which at most 5,000 are looked at, by seed.
        seed: Of the draw.
    """
    found = [e for e, _ in encodings(model.encoder, data, _IMAGES, seed)]
    mean = torch.cat([e.z_mean for e in found]).cpu().double()
    log_variance = torch.cat([e.z_log_variance for e in found]).cpu().double()
    within = log_variance.exp().mean(dim=0)
    root, inverse = _roots(torch.cov(mean.T, correction=0) + torch.diag(within))
    m = mean.mean(dim=0)
    _fold_into_encoder(model.encoder.to_z, inverse, m, log_variance.mean(dim=0))
    for layer in model.decoder.of_code:
        _fold_into_decoder(layer, root, m)


def _roots(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Σ^(½) and Σ^(−½), ``(d, d)``; where Σ hardly varies, 1 in place of its eigenvalue."""
    values, vectors = torch.linalg.eigh(covariance)
    values = torch.where(values > _SMALLEST * values[-1], values, 1.0)
    return (vectors * values.sqrt()) @ vectors.T, (vectors / values.sqrt()) @ vectors.T


def _fold_into_encoder(layer: nn.Linear, inverse: Tensor, m: Tensor, typical: Tensor) -> None:
    """S⁻¹ (z − m), and the log-variances of it.

    σ̃²_j = Σ_i (S⁻¹_ji)² exp(ℓ_i), whose logarithm is linearised about ℓ's mean: the log at the
    mean, and of each ℓ_i the share that it has there.
    """
    d = len(m)
    weight, bias = layer.weight.double().cpu(), layer.bias.double().cpu()
    parts = inverse.square() * typical.exp()
    shares = parts / parts.sum(dim=1, keepdim=True)
    weight[:d], bias[:d] = inverse @ weight[:d], inverse @ (bias[:d] - m)
    bias[d:] = parts.sum(dim=1).log() + shares @ (bias[d:] - typical)
    weight[d:] = shares @ weight[d:]
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def _fold_into_decoder(layer: nn.Linear, root: Tensor, m: Tensor) -> None:
    """Take m + S z̃ in place of z, the first inputs of the layer."""
    of_z = layer.weight[:, : len(m)].double().cpu()
    layer.bias.add_((of_z @ m).to(layer.bias))
    layer.weight[:, : len(m)] = (of_z @ root).to(layer.weight)
