"""The objective of CDVAE-GAN, one function a term.

For E and G (the likelihood and the rates of z and u are divided by D = 3·H·W, so weights hold for
all sizes):

| term            | what it is                                                             |
|-----------------|------------------------------------------------------------------------|
| reconstruction  | −E_q log p(x ∣ z, u, a) / D, Laplace with scale s                      |
| features        | ‖φ(x) − φ(G(z, u, a))‖, learned similarity (Larsen et al. 2016)        |
| z_rate          | KL(q(z∣x) ‖ N(0, I)) / D                                               |
| u_rate          | KL(q(u∣x) ‖ N(0, I)) / D                                               |
| a_rate          | −log q(a=y∣x) where labelled, KL(q(a∣x) ‖ p(a)) where not; mean over a |
| disentanglement | KL(p(a) ‖ r(a∣z)), r an adversary on z (Lample et al. 2017)            |
| adversarial     | D must take reconstructions, samples and counterfactuals for real      |
| branch          | … for real given the intervened attribute (Choi et al. 2020)           |
| pixel           | so must a second discriminator that looks at pixels, as what was asked |
| attribute_d     | C must read the intervened attributes off the counterfactual           |
| attribute_e     | so must q(a∣x′), E held fixed                                          |
| consistency     | ‖μ(x′) − μ(x)‖², E held fixed                                          |
| cycle           | ‖x″ − x‖, x″ what undoing the edit makes of x′; x′ and E held fixed    |
| identity        | 1 − cos(f(x), f(x′)), f an embedding of who is on a photo, held fixed  |
| edit            | ‖x′ − x‖: an edit should be no larger than it must                     |
| mask            | mean m: nor drop more of the photo's detail                            |
| gate            | mean g: nor be wider                                                   |

For D: the adversarial loss on both kinds of logits, C's cross-entropy on real images, and R1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "GanLoss",
    "Weights",
    "a_rate",
    "attribute_effect",
    "branch_logits",
    "consistency",
    "discriminator_loss",
    "disentanglement",
    "feature_distance",
    "gaussian_rate",
    "generator_loss",
    "identity",
    "known_cross_entropy",
    "r1_penalty",
    "reconstruction",
]

GanLoss = Literal["hinge", "logistic"]


@dataclass(frozen=True)
class Weights:
    """The weight of every term of the objective of E and G; see the module's docstring."""

    reconstruction: float = 1.0
    features: float = 1.0
    z_rate: float = 12.0
    u_rate: float = 1.2
    a_rate: float = 1.0
    disentanglement: float = 0.3
    adversarial: float = 1.0
    branch: float = 1.0
    pixel: float = 0.0
    attribute_d: float = 4.0
    attribute_e: float = 3.0
    consistency: float = 0.1
    cycle: float = 0.0
    identity: float = 0.0
    edit: float = 4.0
    mask: float = 0.3
    gate: float = 0.3

    @classmethod
    def paper(cls) -> Weights:
        """The plain form: VAE and GAN terms, attributes and disentanglement, nothing on edits."""
        return cls(
            z_rate=1.0,
            u_rate=0.0,
            adversarial=0.5,
            features=0.0,
            branch=0.0,
            attribute_e=0.0,
            consistency=0.0,
            edit=0.0,
            mask=0.0,
            gate=0.0,
        )

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of terms, named as the fields of this class."""
        weights = {f.name: getattr(self, f.name) for f in fields(self)}
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum()


def reconstruction(x: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
    """Mean over pixels of −log Laplace(x; location, s), with log s given. Scalar."""
    return (x - location).abs().mean() * (-log_scale).exp() + log_scale + torch.tensor(2.0).log()


def feature_distance(real: list[Tensor], drawn: list[Tensor]) -> Tensor:
    """Mean L1 distance of features, each scale relative to its mean size. Scalar."""
    return torch.stack(
        [(r - d).abs().mean() / r.abs().mean() for r, d in zip(real, drawn, strict=True)]
    ).mean()


def gaussian_rate(mean: Tensor, log_variance: Tensor, n_pixels: int) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, I)) in nats, a mean over the batch, over D. Scalar."""
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return kl.flatten(1).sum(dim=1).mean() / n_pixels


def a_rate(logits: Tensor, labels: Tensor, prior: Tensor) -> Tensor:
    """The rate of a: cross-entropy where there is a label, KL to the prior where there is none.

    Args:
        logits: ``(B, K)`` of q(a|x).
        labels: ``(B, K)``, 0, 1 or −1 for unknown.
        prior: ``(K,)``, π.
    """
    labelled = F.binary_cross_entropy_with_logits(
        logits, labels.clamp(min=0).float(), reduction="none"
    )
    return torch.where(labels >= 0, labelled, _bernoulli_kl(logits, prior)).mean()


def _bernoulli_kl(logits: Tensor, prior: Tensor) -> Tensor:
    """KL(Bern(sigmoid(logits)) ‖ Bern(prior)), elementwise."""
    p = logits.sigmoid()
    return p * (F.logsigmoid(logits) - prior.log()) + (1 - p) * (
        F.logsigmoid(-logits) - (1 - prior).log()
    )


def disentanglement(adversary_logits: Tensor, prior: Tensor) -> Tensor:
    """KL(p(a) ‖ r(a|z)), a mean over batch and attributes: 0 where z tells nothing of a.

    Args:
        adversary_logits: ``(B, K)``: r's prediction of a from z, with r held fixed.
        prior: ``(K,)``, the frequencies of a in the batches that the adversary sees.
    """
    target = prior.expand_as(adversary_logits)
    entropy = -(prior * prior.log() + (1 - prior) * (1 - prior).log()).mean()
    return F.binary_cross_entropy_with_logits(adversary_logits, target) - entropy


def known_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy over the known labels (0, 1; −1 is unknown). Scalar, 0 if none is."""
    loss = F.binary_cross_entropy_with_logits(logits, labels.clamp(min=0).float(), reduction="none")
    known = (labels >= 0).float()
    return (loss * known).sum() / known.sum().clamp(min=1)


def attribute_effect(
    logits: Tensor, target: Tensor, changed: Tensor, prior: Tensor, emphasis: float = 1.0
) -> Tensor:
    """How far a critic is from reading the asked attributes off an image.

    Binary cross-entropy, a mean over attributes where those intervened on count for more. The
    critic must be convinced both as one who knows the prior and as one who sees the evidence alone,
    its log-odds less those of the prior (Menon et al. 2021): the first is harder to convince that a
    rare attribute is there, the second that it is gone. Half of those who have a rare attribute
    would pass the first as being without it.

    Args:
        logits: ``(B, K)``, the critic's reading.
        target: ``(B, K)`` in [0, 1], what was asked.
        changed: ``(B, K)``, true where the intervention changed the value.
        prior: ``(K,)``, the frequencies of the attributes where the critic learns.
        emphasis: How much more those count: 1 + emphasis against 1.
    """
    evidence = logits - prior.logit()
    harder = torch.where(
        target > 0.5, torch.minimum(logits, evidence), torch.maximum(logits, evidence)
    )
    loss = F.binary_cross_entropy_with_logits(harder, target, reduction="none")
    return (loss * (1 + emphasis * changed.float())).mean()


def consistency(z_factual: Tensor, z_counterfactual: Tensor) -> Tensor:
    """Mean squared distance of the codes of x and x′, ``(B, d)`` each. Scalar."""
    return (z_factual - z_counterfactual).square().mean()


def identity(photo: Tensor, edit: Tensor, weight: Tensor) -> Tensor:
    """How far apart x and x′ are for one who tells people apart: mean of 1 − cos. Scalar.

    Args:
        photo: ``(B, d)``, unit vectors.
        edit: ``(B, d)``, unit vectors.
        weight: ``(B,)``, of each sample.
    """
    return (weight * (1 - (photo * edit).sum(dim=1))).mean()


def branch_logits(realness: list[Tensor], attribute: Tensor, value: Tensor) -> list[Tensor]:
    """Of maps ``(B, 1 + 2K, h, w)``, each sample's branch for a_k = v: ``(B, h, w)`` a scale.

    Args:
        realness: A verdict's maps.
        attribute: ``(B,)``, k of each sample.
        value: ``(B,)``, v in {0, 1} of each sample.
    """
    channel = 1 + 2 * attribute + value.long()
    rows = torch.arange(len(channel), device=channel.device)
    return [scale[rows, channel] for scale in realness]


def discriminator_loss(
    real: list[Tensor], fake: list[Tensor], loss: GanLoss, real_weight: Tensor | None = None
) -> Tensor:
    """D's adversarial loss, summed over scales.

    Args:
        real: Logits of real images, one tensor ``(B, …)`` a scale.
        fake: Logits of drawn images.
        loss: ``hinge`` (Lim & Ye 2017) or ``logistic`` (Goodfellow et al. 2014).
        real_weight: ``(B,)``, a weight for each real sample; None for 1.
    """
    total = real[0].new_zeros(())
    for r, f in zip(real, fake, strict=True):
        on_real = (F.relu(1 - r) if loss == "hinge" else F.softplus(-r)).flatten(1).mean(dim=1)
        on_fake = F.relu(1 + f) if loss == "hinge" else F.softplus(f)
        if real_weight is not None:
            on_real = on_real * real_weight
        total = total + on_real.mean() + on_fake.mean()
    return total


def generator_loss(fake: list[Tensor], loss: GanLoss, weight: Tensor | None = None) -> Tensor:
    """G's adversarial loss, summed over scales: −logit for hinge, non-saturating for logistic.

    Args:
        fake: Logits of drawn images, one tensor ``(B, …)`` a scale.
        loss: As in :func:`discriminator_loss`.
        weight: ``(B,)``, a weight for each sample; None for 1.
    """
    total = fake[0].new_zeros(())
    for f in fake:
        value = (-f if loss == "hinge" else F.softplus(-f)).flatten(1).mean(dim=1)
        total = total + (value if weight is None else value * weight).mean()
    return total


def r1_penalty(real_logits: list[Tensor], x: Tensor) -> Tensor:
    """½ E|∇_x D(x)|² on real images (Mescheder et al. 2018). Scalar; x must require grad."""
    total = torch.stack([r.float().flatten(1).mean(dim=1).sum() for r in real_logits]).sum()
    (gradient,) = torch.autograd.grad(total, x, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(dim=1).mean()
