"""Linear erasure: z without anything that a linear map of it could tell of the attributes.

With μ the encoder's mean of z, ℓ its logits of a, f = (μ, ℓ), and Σ covariances over images,

    r(z) = z − M (f − E f),     M = Σ_za (Σ_af Σ_ff⁻¹ Σ_fa)⁻¹ Σ_af Σ_ff⁻¹

is the smallest change of z in mean square that is linear in f and after which the covariance with
every attribute is 0, so that no linear classifier beats a constant. Σ_af Σ_ff⁻¹ (f − E f) is the
best linear reading of a, and M takes away what goes along with it. For f = μ this is LEACE (Belrose
et al. 2023, "LEACE: Perfect linear concept erasure in closed form", theorem 4.3), which has to tell
from z alone what of z to take away, and so takes one of its dimensions for each attribute, all that
they hold. E knows more: with its logits there is less to change, and every dimension stays.
μ and ℓ are affine in what the layer before them says, so r becomes part of that layer.

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

__all__ = ["LinearErasure", "encodings", "erase"]

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
    """
    seen = _Covariances(encoder.to_z.out_features // 2, len(data.attributes), with_logits=True)
    for e, labels in encodings(encoder, data, _IMAGES, seed):
        seen.add(e.z_mean.cpu(), labels, e.a_logits.cpu())
    seen.erasure().fold_into(encoder.to_z, encoder.to_a)


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


class LinearErasure:
    """The map r."""

    def __init__(self, change: Tensor, mean: Tensor) -> None:
        self.change = change
        """M, ``(d, d + K)``, or ``(d, d)`` where only z says what to take away"""
        self.mean = mean
        """E f, ``(d + K,)`` or ``(d,)``"""

    @classmethod
    def of(cls, z: Tensor, labels: Tensor, logits: Tensor | None = None) -> LinearErasure:
        """From samples.

        Args:
            z: ``(N, d)``.
            labels: ``(N, K)``, 0, 1 or −1 for unknown.
            logits: ``(N, K)``, what was read of the attributes; None for f = z.

        Raises:
            InputError: f = z, and z has no more dimensions than there are attributes.
        """
        if logits is None and labels.shape[1] >= z.shape[1]:
            raise InputError(
                f"{labels.shape[1]} attributes take {labels.shape[1]} of the {z.shape[1]} "
                f"dimensions of z: z_dim must be larger than {labels.shape[1]}"
            )
        seen = _Covariances(z.shape[1], labels.shape[1], with_logits=logits is not None)
        seen.add(z, labels, logits)
        return seen.erasure()

    def __call__(self, z: Tensor, logits: Tensor | None = None) -> Tensor:
        """r(z) of ``(B, d)``, with the logits ``(B, K)`` where it was made with them."""
        return z - (_features(z, logits) - self.mean) @ self.change.T

    def fold_into(self, to_z: nn.Linear, to_a: nn.Linear | None = None) -> None:
        """Make r part of the layer whose first d outputs are z, ``to_a`` giving the logits."""
        d = len(self.change)
        change, mean = self.change.to(to_z.weight), self.mean.to(to_z.weight)
        with torch.no_grad():
            weight, bias = to_z.weight[:d].clone(), to_z.bias[:d].clone()
            if to_a is not None:
                weight, bias = torch.cat([weight, to_a.weight]), torch.cat([bias, to_a.bias])
            to_z.weight[:d] -= change @ weight
            to_z.bias[:d] -= change @ (bias - mean)


def _features(z: Tensor, logits: Tensor | None) -> Tensor:
    return z if logits is None else torch.cat([z, logits], dim=1)


class _Covariances:
    """Sums over batches, in double precision."""

    def __init__(self, z_dim: int, attributes: int, *, with_logits: bool) -> None:
        self.z_dim = z_dim
        size = 1 + z_dim + (attributes if with_logits else 0)
        self.all = torch.zeros(size, size, dtype=torch.float64)
        self.known = torch.zeros(attributes, 2, size, dtype=torch.float64)
        """Sums of (1, f) where the label is known, and where it is 1"""

    def add(self, z: Tensor, labels: Tensor, logits: Tensor | None = None) -> None:
        one_f = torch.cat([torch.ones_like(z[:, :1]), _features(z, logits)], dim=1).double()
        self.all += one_f.T @ one_f
        values = torch.stack([labels >= 0, labels > 0], dim=2).double()
        self.known += torch.einsum("bkv,bd->kvd", values, one_f)

    def erasure(self) -> LinearErasure:
        mean = self.all[0, 1:] / self.all[0, 0]
        covariance = self.all[1:, 1:] / self.all[0, 0] - torch.outer(mean, mean)
        n = self.known[:, 0, :1].clamp(min=1e-12)
        given, on = self.known[:, 0] / n, self.known[:, 1] / n
        cross = (on[:, 1:] - on[:, :1] * given[:, 1:]).T
        # Logits vary far more than z does: each feature is measured in its own deviations. Those
        # that do not vary, as after an erasure, must not count as certain.
        scale = covariance.diagonal().sqrt().clamp(min=1e-6)
        ridge = _RIDGE * torch.eye(len(mean), dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance / torch.outer(scale, scale) + ridge)
        whiten = (vectors / values.sqrt()) @ vectors.T / scale
        basis, strength, mix = torch.linalg.svd(whiten @ cross, full_matrices=False)
        kept = strength > _NEGLIGIBLE
        basis, strength, mix = basis[:, kept], strength[kept], mix[kept]
        change = cross[: self.z_dim] @ (mix.T / strength) @ basis.T @ whiten
        return LinearErasure(change.float(), mean.float())
