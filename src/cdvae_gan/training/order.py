"""The order in which images are seen, as a function of seed, step and process alone.

Nothing about the order is state: a run that goes on at step n draws what an unbroken run draws.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from cdvae_gan.data import AttributeDataset, Batch

__all__ = ["StepBatches", "seed_step"]


def seed_step(seed: int, step: int, rank: int, purpose: int) -> int:
    """A seed for one step of one process: equal inputs, equal seed; others differ."""
    mixed = (seed * 1_000_003 + step) * 1_009 + rank * 31 + purpose
    return (mixed * 6364136223846793005 + 1442695040888963407) % 2**63


class StepBatches(IterableDataset[Batch]):
    """An endless stream of batches, drawn with replacement by weight.

    Args:
        data: The images.
        weights: ``(N,)``, how often to draw each.
        batch_size: Images a batch and process.
        seed: The run's seed.
        start: The first step to draw.
        rank: This process among those that train together.
    """

    def __init__(
        self,
        data: AttributeDataset,
        weights: Tensor,
        batch_size: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
    ) -> None:
        self.data = data
        self.weights = weights
        self.batch_size = batch_size
        self.seed = seed
        self.start = start
        self.rank = rank

    def __iter__(self) -> Iterator[Batch]:
        step = self.start
        while True:
            generator = torch.Generator().manual_seed(seed_step(self.seed, step, self.rank, 0))
            index = torch.multinomial(
                self.weights, self.batch_size, replacement=True, generator=generator
            )
            yield self.data.batch(index.numpy())
            step += 1
