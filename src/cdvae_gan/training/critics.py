"""What discriminators in branches learn from: edits, and photos of which some labels are known."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cdvae_gan import objective
from cdvae_gan.networks.discriminator import ResidualDiscriminator
from cdvae_gan.training.augmentation import RECOLOURED, Augmentation
from cdvae_gan.training.interventions import InterventionSampler
from cdvae_gan.training.replay import Recalled

__all__ = ["OnPixels", "branch_loss", "loss_on_pixels"]

_MISMATCHED = 0.5
"""Weight of photos in the branch of a value that they lack, where they are shown there"""
_ATTRIBUTES = 4.0
"""Weight of the attributes in the loss of the discriminator on pixels: it learns by them"""


class OnPixels(NamedTuple):
    """What the discriminator on pixels is to learn from a batch."""

    loss: Tensor
    attributes: Tensor
    """The cross-entropy of the attributes, which the loss holds too"""


def branch_loss(
    on_real: list[Tensor],
    labels: Tensor,
    on_drawn: list[Tensor],
    interventions: InterventionSampler,
    kind: objective.GanLoss,
) -> Tensor:
    """A discriminator's loss in branches: each photo is judged in one of its own labels'.

    Args:
        on_real: A verdict's maps of photos.
        labels: ``(B, K)`` of the photos, 0, 1 or −1 for unknown.
        on_drawn: The logits of drawn images, of one branch each.
        interventions: Which of its labels a photo is judged in.
        kind: Of the loss.
    """
    k, value, known = _drawn_label(labels, interventions)
    on_own = objective.branch_logits(on_real, k, value)
    return objective.discriminator_loss(on_own, on_drawn, kind, real_weight=known)


def loss_on_pixels(
    network: ResidualDiscriminator,
    seen: Recalled,
    interventions: InterventionSampler,
    *,
    mismatched: bool = False,
    recoloured: float = RECOLOURED,
) -> OnPixels:
    """What a discriminator on pixels is wrong about in photos and edits, all augmented.

    Args:
        network: The discriminator.
        seen: Photos and edits.
        interventions: Which of its labels a photo is judged in.
        mismatched: Whether photos are also shown as no real images with the values that they lack
            (Reed et al. 2016), so that no edit can please by being taken back.
        recoloured: Share of images whose colours it shall not trust.
    """
    n = len(seen.photos)
    images = torch.cat([seen.photos, seen.edits])
    verdict = network(Augmentation.draw(len(images), images.device, recoloured)(images))
    (logits,) = verdict.realness
    real, fake = [logits[:n]], [logits[n:]]
    on_edits = objective.branch_logits(fake, seen.attribute, seen.value)
    loss = objective.discriminator_loss([real[0][:, 0]], [fake[0][:, 0]], "logistic")
    loss = loss + branch_loss(real, seen.labels, on_edits, interventions, "logistic")
    if mismatched:
        loss = loss + _MISMATCHED * _of_lacking(real, seen.labels, interventions)
    attributes = objective.known_cross_entropy(verdict.attributes[:n], seen.labels)
    return OnPixels(loss + _ATTRIBUTES * attributes, attributes)


def _of_lacking(
    on_real: list[Tensor], labels: Tensor, interventions: InterventionSampler
) -> Tensor:
    """The loss of photos in the branch of a value that they are known to lack."""
    k, value, known = _drawn_label(labels, interventions)
    (judged,) = objective.branch_logits(on_real, k, 1 - value)
    return (F.softplus(judged).flatten(1).mean(dim=1) * known).mean()


def _drawn_label(
    labels: Tensor, interventions: InterventionSampler
) -> tuple[Tensor, Tensor, Tensor]:
    """For each photo one of its attributes, its value, and 1 where that is known, ``(B,)`` each."""
    known = labels >= 0
    k = interventions.attribute(labels.clamp(min=0).float(), known)
    rows = torch.arange(len(k), device=k.device)
    return k, labels[rows, k].clamp(min=0), known[rows, k].float()
