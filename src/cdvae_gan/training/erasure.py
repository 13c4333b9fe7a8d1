"""Linear erasure: z without anything that a linear map of it could tell of the attributes.

With Σ_zz and Σ_za the covariances of the encoder's mean of z with itself and with the attributes,

    r(z) = z − P (z − E z),     P = W⁻¹ Q Qᵀ W,     W = Σ_zz^(−½),     Q a basis of W Σ_za

is the smallest change of z in mean square after which the covariance with every attribute is 0, so
that no linear classifier beats a constant (LEACE: Belrose et al. 2023, "LEACE: Perfect linear
concept erasure in closed form", theorem 4.3). Affine as the layer before it, r becomes part of it.

The adversary alone does not get there: it learns along with the encoder, and a probe that comes
afterwards has all the time in the world. Running covariances in the course of a training do not
either: the encoder moves on. So E is erased once, stays as it is, and G learns to do without.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.images import to_float
from cdvae_gan.networks.encoder import Encoder, Encoding

__all__ = ["LinearErasure", "check_room", "encodings", "erase"]

_RIDGE = 1e-4
_NEGLIGIBLE = 1e-3
_IMAGES = 20_000
_BATCH = 256


@torch.no_grad()
def erase(encoder: Encoder, data: AttributeDataset, seed: int = 0) -> None:
    """Take all that a linear map could tell of the attributes out of an encoder's z.

    Args:
        encoder: Of the data's attributes.
        data: Images with labels, of which at most 20,000 are looked at, drawn by seed.
        seed: Of the draw.

    Raises:
        InputError: Where z has no more dimensions than there are attributes.
    """
    seen = _Covariances(encoder.to_z.out_features // 2, len(data.attributes))
    for e, labels in encodings(encoder, data, _IMAGES, seed):
        seen.add(e.z_mean.cpu(), labels)
    seen.erasure().fold_into(encoder.to_z)


@torch.no_grad()
def encodings(
    encoder: Encoder, data: AttributeDataset, most: int, seed: int
) -> Iterator[tuple[Encoding, Tensor]]:
    """What an encoder says of images drawn by seed, batch by batch, with their labels.

    Args:
        encoder: It reads as in use, not as in training, and is left as it was.
        data: The images.
        most: At most so many of them.
        seed: Of the draw.
    """
    was_training = encoder.training
    encoder.eval()
    rows = np.random.default_rng(seed).permutation(len(data))[:most]
    device = encoder.to_z.weight.device
    for part in np.array_split(np.sort(rows), max(1, len(rows) // _BATCH)):
        images, labels = data.batch(part)
        yield encoder(to_float(images).to(device)), labels
    encoder.train(was_training)


def check_room(z_dim: int, attributes: int) -> None:
    """Make sure that something would be left of z.

    Raises:
        InputError: Where z has no more dimensions than there are attributes.
    """
    if attributes >= z_dim:
        raise InputError(
            f"{attributes} attributes take {attributes} of the {z_dim} dimensions of z: "
            f"z_dim must be larger than {attributes}"
        )


class LinearErasure:
    """The map r."""

    def __init__(self, projection: Tensor, mean: Tensor) -> None:
        self.projection = projection
        """P, ``(d, d)``"""
        self.mean = mean
        """E z, ``(d,)``"""

    @classmethod
    def of(cls, z: Tensor, labels: Tensor) -> LinearErasure:
        """From samples.

        Args:
            z: ``(N, d)``.
            labels: ``(N, K)``, 0, 1 or −1 for unknown; K < d.
        """
        seen = _Covariances(z.shape[1], labels.shape[1])
        seen.add(z, labels)
        return seen.erasure()

    def __call__(self, z: Tensor) -> Tensor:
        """r(z) of ``(B, d)``."""
        return z - (z - self.mean) @ self.projection.T

    def fold_into(self, layer: nn.Linear) -> None:
        """Make r part of the layer before it, whose first d outputs are z."""
        d = len(self.mean)
        p, mean = self.projection.to(layer.weight), self.mean.to(layer.weight)
        with torch.no_grad():
            layer.weight[:d] -= p @ layer.weight[:d]
            layer.bias[:d] -= p @ (layer.bias[:d] - mean)


class _Covariances:
    """Sums over batches, in double precision."""

    def __init__(self, z_dim: int, attributes: int) -> None:
        check_room(z_dim, attributes)
        self.all = torch.zeros(1 + z_dim, 1 + z_dim, dtype=torch.float64)
        self.known = torch.zeros(attributes, 2, 1 + z_dim, dtype=torch.float64)
        """Sums of (1, z) where the label is known, and where it is 1"""

    def add(self, z: Tensor, labels: Tensor) -> None:
        one_z = torch.cat([torch.ones_like(z[:, :1]), z], dim=1).double()
        self.all += one_z.T @ one_z
        values = torch.stack([labels >= 0, labels > 0], dim=2).double()
        self.known += torch.einsum("bkv,bd->kvd", values, one_z)

    def erasure(self) -> LinearErasure:
        mean = self.all[0, 1:] / self.all[0, 0]
        covariance = self.all[1:, 1:] / self.all[0, 0] - torch.outer(mean, mean)
        # Dimensions that do not vary, as after an erasure, must not count as certain.
        ridge = _RIDGE * covariance.trace() / len(mean)
        n = self.known[:, 0, :1].clamp(min=1e-12)
        given, on = self.known[:, 0] / n, self.known[:, 1] / n
        cross = (on[:, 1:] - on[:, :1] * given[:, 1:]).T
        values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(len(mean)).double())
        root = values.sqrt()
        whiten, restore = (vectors / root) @ vectors.T, (vectors * root) @ vectors.T
        basis, strength, _ = torch.linalg.svd(whiten @ cross, full_matrices=False)
        basis = basis[:, strength > _NEGLIGIBLE]
        return LinearErasure((restore @ basis @ basis.T @ whiten).float(), mean.float())
