"""How a copy of a model learns from lessons that need no D: what scripts of this folder share."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from cdvae_gan import CDVAEGAN
from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.images import to_float
from cdvae_gan.training.average import follow
from cdvae_gan.training.precision import choose_precision

_WARM_UP = 50
_EMA = 0.998


class Batches:
    """Batches of images with all their attributes, drawn by seed.

    Args:
        data: The images.
        size: Of a batch, where there are as many.
        seed: Of the draws.
        often: ``(N,)``, how often to draw each image beside the others; None for alike.

    Raises:
        InputError: Some labels are unknown.
    """

    def __init__(
        self,
        data: AttributeDataset,
        size: int,
        seed: int,
        often: NDArray[np.float64] | None = None,
    ) -> None:
        if (data.labels < 0).any():
            raise InputError(f"labels of {data.name} are unknown: it takes all of them")
        self.data, self.size, self.seed = data, min(size, len(data)), seed
        self.chance = None if often is None else often / often.sum()
        self.rows = np.random.default_rng(seed)
        self.draw = torch.Generator().manual_seed(seed)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Images ``(B, 3, H, W)`` in [−1, 1] and attributes ``(B, K)`` in {0, 1}."""
        rows = self.rows.choice(len(self.data), self.size, replace=False, p=self.chance)
        images, labels = self.data.batch(np.sort(rows))
        return to_float(images).contiguous(memory_format=torch.channels_last), labels.float()


def copies(model: CDVAEGAN) -> tuple[CDVAEGAN, CDVAEGAN]:
    """Two copies of a model without its card: one to learn, one to become its running average.

    Raises:
        InputError: The model has a spatial latent, of which the lessons know nothing.
    """
    if model.config.u_channels:
        raise InputError("the model has a spatial latent u: this is for models of z alone")
    pupil, average = copy.deepcopy(model).train(), copy.deepcopy(model).eval()
    pupil.card = average.card = None
    return pupil, average


def learn(
    network: nn.Module,
    average: nn.Module,
    lesson: Callable[[], Tensor],
    steps: int,
    rate: float,
    *,
    console: Console | None = None,
) -> None:
    """Adam, at a rate that rises for 50 steps and falls to 0 along a cosine.

    Args:
        network: What learns, but for parameters that require no gradient.
        average: Of the same kind: becomes the running average of it.
        lesson: The loss of the next batch.
        steps: How many.
        rate: The highest.
        console: Where to say how it goes.
    """
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, betas=(0.9, 0.99))
    bf16 = choose_precision("auto", torch.device("cpu")).bf16
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _at(step, steps, rate)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = lesson()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        follow(average, network, min(_EMA, step / (step + 20)))
        if console and (step + 1) % 100 == 0:
            console.print(f"step {step + 1} of {steps}, loss {loss.item():.4f}")


def _at(step: int, steps: int, rate: float) -> float:
    return rate * min(1, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
