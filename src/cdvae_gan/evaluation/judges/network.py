"""Training the judges that are networks: cross-entropy on augmented images of the training split.

    L = − mean over known labels of  y log σ(s) + (1 − y) log(1 − σ(s))

Images are mirrored, shifted by up to 1/16 of the side, and recoloured. AdamW, one cycle of the
learning rate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdvae_gan.data.dataset import UNKNOWN, AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.judges.judge import Report, Scores, State
from cdvae_gan.evaluation.judges.networks import PlainCNN, ResidualNetwork, channels_last

__all__ = [
    "NetworkTraining",
    "augmented",
    "batches",
    "cross_entropy",
    "fit_network",
    "network_scores",
]

_SHIFT = 1 / 16
_REPORT_EVERY = 50
_NETWORKS: dict[str, type[nn.Module]] = {"cnn": PlainCNN, "residual": ResidualNetwork}


@dataclass(frozen=True)
class NetworkTraining:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Images a step.
        learning_rate: At the top of the cycle.
        weight_decay: Of AdamW.
        bf16: Compute in bfloat16 where it does no harm.
        device: Where.
    """

    epochs: float = 6.0
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    bf16: bool = True
    device: str = "cpu"


def fit_network(
    family: str,
    dataset: AttributeDataset,
    settings: NetworkTraining,
    *,
    seed: int,
    report: Report,
) -> State:
    """Train a network of a family on the images of ``dataset`` alone.

    Args:
        family: ``cnn`` or ``residual``.
        dataset: The training split.
        settings: How.
        seed: Of the weights, the order and the augmentation.
        report: Called with a line now and then.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _NETWORKS[family](len(dataset.attributes))
        train(network, dataset, settings, seed=seed, report=report)
    return {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}


def train(
    network: nn.Module,
    dataset: AttributeDataset,
    settings: NetworkTraining,
    *,
    seed: int,
    report: Report,
) -> None:
    """Train a network in place; see `fit_network`."""
    device = torch.device(settings.device)
    channels_last(network).to(device).train()
    steps = max(1, round(settings.epochs * len(dataset) / settings.batch_size))
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps + 1, pct_start=0.15
    )
    generator = np.random.default_rng(seed)
    order = batches(len(dataset), settings.batch_size, generator)
    losses: list[float] = []
    start = time.monotonic()
    for step in range(steps):
        images, labels = dataset.batch(next(order))
        x = augmented(images, generator).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            scores = network(x)
        loss = cross_entropy(scores.float(), labels.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == steps:
            rate = (step + 1) * settings.batch_size / (time.monotonic() - start)
            recent = np.mean(losses[-_REPORT_EVERY:])
            report(f"step {step + 1}/{steps}  loss {recent:.4f}  {rate:.0f} images/s")
    network.eval()


def network_scores(
    family: str, state: State, attributes: int, device: str | torch.device = "cpu"
) -> Scores:
    """The function of a judge whose network has these weights.

    Raises:
        InputError: The weights are those of another network.
    """
    network = _NETWORKS[family](attributes)
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise InputError(f"these weights are not those of a {family} judge") from None
    channels_last(network).eval().requires_grad_(False).to(device)

    def scores(images: Tensor) -> Tensor:
        x = images.to(device).float() / 127.5 - 1
        result: Tensor = network(x.contiguous(memory_format=torch.channels_last))
        return result

    return scores


def augmented(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Mirror, shift and recolour images uint8 ``(B, 3, H, W)``; float in about [−1, 1]."""
    n, _, height, width = images.shape
    reach = max(1, round(_SHIFT * width))
    rows = np.arange(height) + generator.integers(-reach, reach + 1, (n, 1))
    columns = np.arange(width) + generator.integers(-reach, reach + 1, (n, 1))
    mirrored = generator.random((n, 1)) < 0.5
    columns = np.where(mirrored, columns[:, ::-1], columns)
    at_row = torch.from_numpy(rows.clip(0, height - 1))[:, :, None]
    at_column = torch.from_numpy(columns.clip(0, width - 1))[:, None, :]
    moved = images.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], at_row, at_column]
    x = moved.permute(0, 3, 1, 2).float() / 127.5 - 1

    def uniform(low: float, high: float) -> Tensor:
        return torch.from_numpy(generator.uniform(low, high, (n, 1, 1, 1))).float()

    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * uniform(0.7, 1.3)
    x = x * uniform(0.8, 1.2) + uniform(-0.15, 0.15)
    return x.contiguous(memory_format=torch.channels_last)


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy of ``(B, K)`` scores over the labels that are known."""
    known = (labels != UNKNOWN).float()
    total = F.binary_cross_entropy_with_logits(
        scores, labels.clamp_min(0).float(), known, reduction="sum"
    )
    return total / known.sum().clamp_min(1)


def batches(
    n: int, size: int, generator: np.random.Generator
) -> Iterator[npt.NDArray[np.integer[Any]]]:
    """Batches of indices without end; every image once before any comes again."""
    left = np.empty(0, dtype=np.int64)
    while True:
        while len(left) < size:
            left = np.concatenate([left, generator.permutation(n)])
        yield np.sort(left[:size])
        left = left[size:]
