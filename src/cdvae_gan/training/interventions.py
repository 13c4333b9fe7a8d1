"""Which interventions a model is trained on, and which images it sees: rare values more often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "InterventionSampler",
    "Interventions",
    "rarity",
    "sample_weights",
    "weighted_prevalence",
]

_MISSING_FREQUENCY = (0.02, 0.98)


class Interventions(NamedTuple):
    """One intervention for each sample of a batch."""

    a: Tensor
    """``(B, K)`` in [0, 1]: a′"""
    changed: Tensor
    """``(B, K)``, true where a′ differs from a"""
    told: Tensor
    """``(B, K)``, true where that is asked for, not brought along"""
    attribute: Tensor
    """``(B,)``: the attribute in whose branch D judges the result"""
    whole: Tensor
    """``(B,)``, true where that attribute's new value is 0 or 1, not in between"""


def rarity(values: Tensor, prevalence: Tensor, cap: float) -> Tensor:
    """min(1/p(a_k), cap) for values ``(…, K)`` in {0, 1}, given P(a_k = 1) ``(K,)``."""
    p = torch.where(values > 0.5, prevalence, 1 - prevalence)
    return (1 / p).clamp(max=cap)


def sample_weights(labels: Tensor, cap: float) -> Tensor:
    """How often to draw each image, ``(N,)``: by its rarest known value.

    Args:
        labels: ``(N, K)`` with 0, 1 or −1 for unknown.
        cap: See :func:`rarity`.
    """
    known = labels >= 0
    prevalence = weighted_prevalence(labels, torch.ones(len(labels)))
    rare = rarity(labels.clamp(min=0).float(), prevalence, cap)
    return torch.where(known, rare, 1.0).amax(dim=1)


def weighted_prevalence(labels: Tensor, weights: Tensor) -> Tensor:
    """P(a_k = 1) among known labels when images are drawn by weight; ``(K,)`` in [.02, .98]."""
    known = (labels >= 0).float() * weights[:, None]
    positive = (labels > 0).float() * weights[:, None]
    frequency = positive.sum(dim=0) / known.sum(dim=0).clamp(min=1e-8)
    return frequency.clamp(*_MISSING_FREQUENCY)


class InterventionSampler:
    """Draws interventions that put rare values on as often as they take them off.

    Three quarters flip one attribute, drawn in proportion to the rarity of its present value, so
    that either value is asked for about equally often; a quarter asks for the attributes of
    another image of the batch.

    Args:
        prevalence: ``(K,)``: frequencies in the batches.
        exclusive: Groups of attribute indices of which at most one is 1.
        cap: See :func:`rarity`.
        partial: Share of interventions of a strength between 0 and 1.
    """

    def __init__(
        self,
        prevalence: Tensor,
        exclusive: Sequence[Sequence[int]] = (),
        cap: float = 30.0,
        partial: float = 0.0,
    ) -> None:
        self.prevalence = prevalence
        self.exclusive = exclusive
        self.cap = cap
        self.partial = partial

    def attribute(self, a: Tensor, known: Tensor | None = None) -> Tensor:
        """Draw one attribute a sample, ``(B,)``, in proportion to the rarity of its value.

        Args:
            a: ``(B, K)`` in {0, 1}.
            known: ``(B, K)``: only these are drawn, where a sample has any.
        """
        weights = rarity(a, self.prevalence, self.cap)
        if known is not None:
            weights = weights * known + 1e-9
        return torch.multinomial(weights, 1)[:, 0]

    def __call__(self, a: Tensor) -> Interventions:
        """Draw an intervention for each row of a ``(B, K)`` in {0, 1}."""
        n = len(a)
        rows = torch.arange(n, device=a.device)
        flipped = self.attribute(a)
        flips = a.clone()
        flips[rows, flipped] = 1 - flips[rows, flipped]
        for group in self.exclusive:
            for k in group:
                on = (flipped == k) & (flips[:, k] > 0.5)
                for other in group:
                    if other != k:
                        flips[:, other] = torch.where(on, 0, flips[:, other])
        swaps = a[torch.randperm(n, device=a.device)]
        is_flip = torch.rand(n, device=a.device) < 0.75
        target = torch.where(is_flip[:, None], flips, swaps)
        differs = target != a
        weights = rarity(a, self.prevalence, self.cap) * differs + 1e-9
        attribute = torch.where(is_flip, flipped, torch.multinomial(weights, 1)[:, 0])
        alone = torch.nn.functional.one_hot(flipped, a.shape[1]) > 0
        told = torch.where(is_flip[:, None], alone, differs)
        partial = torch.rand(n, device=a.device) < self.partial
        strength = torch.where(partial, torch.rand(n, device=a.device), 1.0)[:, None]
        return Interventions(a + strength * (target - a), differs, told, attribute, ~partial)
