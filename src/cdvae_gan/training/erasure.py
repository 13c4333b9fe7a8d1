"""Linear erasure: z without anything that a linear map of it could tell of the attributes.

With Σ_zz and Σ_za the covariances of the encoder's mean of z with itself and with the attributes,

    r(z) = z − P (z − E z),     P = W⁻¹ Q Qᵀ W,     W = Σ_zz^(−½),     Q a basis of W Σ_za

is the smallest change of z in mean square after which the covariance with every attribute is 0, so
that no linear classifier beats a constant (LEACE: Belrose et al. 2023, "LEACE: Perfect linear
concept erasure in closed form", theorem 4.3). The adversary has to see to the rest.

In a training the covariances are running ones, as those of a batch normalisation are. Afterwards
the map, which is affine as the layer before it is, becomes part of that layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cdvae_gan.errors import InputError

__all__ = ["LinearErasure"]

_RIDGE = 1e-4
_NEGLIGIBLE = 1e-3


class LinearErasure(nn.Module):
    """The map r, from running covariances.

    Args:
        z_dim: d.
        attributes: K, fewer than d.
        momentum: Share of what was seen that is kept at each update.

    Raises:
        InputError: Where K attributes would leave nothing of z.
    """

    def __init__(self, z_dim: int, attributes: int, momentum: float) -> None:
        super().__init__()
        if attributes >= z_dim:
            raise InputError(
                f"{attributes} attributes take {attributes} of the {z_dim} dimensions of z: "
                f"z_dim must be larger than {attributes}"
            )
        self.momentum = momentum
        self.projection: Tensor
        self.mean: Tensor
        self.register_buffer("projection", torch.zeros(z_dim, z_dim))
        self.register_buffer("mean", torch.zeros(z_dim))
        self.sums: Tensor
        self.known: Tensor
        self.register_buffer("sums", torch.zeros(1 + z_dim, 1 + z_dim))
        self.register_buffer("known", torch.zeros(attributes, 2, 1 + z_dim))

    def forward(self, z: Tensor) -> Tensor:
        """r(z) of ``(B, d)``."""
        with torch.autocast(z.device.type, enabled=False):
            return z - (z - self.mean) @ self.projection.T

    @torch.no_grad()
    def update(self, z: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """See a batch.

        Args:
            z: ``(B, d)``, before erasure.
            labels: ``(B, K)``, 0, 1 or −1 for unknown.
            weights: ``(B,)``: how much each counts; None for all alike.
        """
        with torch.autocast(z.device.type, enabled=False):
            w = torch.ones(len(z), device=z.device) if weights is None else weights.float()
            one_z = torch.cat([torch.ones_like(z[:, :1]), z.float()], dim=1)
            self.sums.mul_(self.momentum).add_((one_z * w[:, None]).T @ one_z)
            values = torch.stack([labels >= 0, labels > 0], dim=2).float() * w[:, None, None]
            self.known.mul_(self.momentum).add_(torch.einsum("bkv,bd->kvd", values, one_z))
        self._solve()

    def _solve(self) -> None:
        sums, known = self.sums.cpu().double(), self.known.cpu().double()
        d = len(sums) - 1
        mean = sums[0, 1:] / sums[0, 0]
        covariance = sums[1:, 1:] / sums[0, 0] - torch.outer(mean, mean)
        covariance = covariance + _RIDGE * covariance.trace() / d * torch.eye(d).double()
        # Where a label is known, the covariance of a and z is that of z with 1{a = 1}.
        n = known[:, 0, :1].clamp(min=1e-12)
        given, on = known[:, 0] / n, known[:, 1] / n
        cross = (on[:, 1:] - on[:, :1] * given[:, 1:]).T
        values, vectors = torch.linalg.eigh(covariance)
        root = values.clamp(min=1e-12).sqrt()
        whiten, restore = (vectors / root) @ vectors.T, (vectors * root) @ vectors.T
        basis, strength, _ = torch.linalg.svd(whiten @ cross, full_matrices=False)
        basis = basis[:, strength > _NEGLIGIBLE]
        self.mean.copy_(mean)
        self.projection.copy_(restore @ basis @ basis.T @ whiten)

    def fold_into(self, layer: nn.Linear) -> None:
        """Make r part of the layer before it, whose first d outputs are z."""
        d = len(self.mean)
        left = torch.eye(d, device=self.mean.device) - self.projection
        with torch.no_grad():
            layer.weight[:d] = left @ layer.weight[:d]
            layer.bias[:d] = left @ layer.bias[:d] + self.projection @ self.mean
