"""A judge on the frozen EfficientNet-Lite0: a small head learns, the ImageNet trunk does not.

**This family is not independent of the model**: the projected discriminator looks through the same
frozen trunk (`cdvae_gan.networks.efficientnet`), so edits that please the one may please the other.
Its figures are reported apart from those of the other judges and are in no mean with them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.evaluation.judges.judge import Report, Scores, State
from cdvae_gan.evaluation.judges.network import NetworkTraining, batches, cross_entropy
from cdvae_gan.evaluation.judges.networks import channels_last
from cdvae_gan.networks.efficientnet import EfficientNetFeatures

__all__ = ["fit_trunk", "trunk_features", "trunk_scores"]

_SIZE = 96
_GRID = 3
_BATCH = 128
_HIDDEN = 384
_DROPOUT = 0.3


def trunk_features(size: int = _SIZE, grid: int = _GRID) -> Callable[[Tensor], Tensor]:
    """A function from images uint8 ``(B, 3, H, W)`` to features ``(B, D)`` of the frozen trunk.

    Args:
        size: Side to which images are brought first.
        grid: The two coarsest maps are averaged over ``grid × grid`` fields.
    """
    trunk = channels_last(EfficientNetFeatures())

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        x = images.float() / 127.5 - 1
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
        maps = trunk(x.contiguous(memory_format=torch.channels_last))[-2:]
        return torch.cat([F.adaptive_avg_pool2d(m, grid).flatten(1) for m in maps], dim=1)

    return features


def fit_trunk(
    dataset: AttributeDataset, settings: NetworkTraining, *, seed: int, report: Report
) -> State:
    """Train the head on the images of ``dataset`` alone; see `network.fit_network`."""
    features = trunk_features()
    parts = []
    for start in range(0, len(dataset), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(dataset)))
        parts.append(features(dataset.batch(rows).images).half())
        if (start // _BATCH) % 50 == 49:
            report(f"features of {rows[-1] + 1:,} of {len(dataset):,} images")
    stored = torch.cat(parts)
    labels = torch.from_numpy(dataset.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = _head(stored.shape[1], labels.shape[1])
        _train_head(head, stored, labels, settings, seed, report)
    return {k: v.detach().contiguous() for k, v in head.state_dict().items()}


def trunk_scores(state: State) -> Scores:
    """The function of a judge whose head has these weights."""
    head = _head(len(state["0.weight"]), len(state["5.bias"]))
    head.load_state_dict(state)
    head.eval().requires_grad_(False)
    features = trunk_features()

    def scores(images: Tensor) -> Tensor:
        result: Tensor = head(features(images))
        return result

    return scores


def _head(features: int, attributes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(features),
        nn.Dropout(_DROPOUT),
        nn.Linear(features, _HIDDEN),
        nn.ReLU(),
        nn.Dropout(_DROPOUT),
        nn.Linear(_HIDDEN, attributes),
    )


def _train_head(
    head: nn.Module,
    stored: Tensor,
    labels: Tensor,
    settings: NetworkTraining,
    seed: int,
    report: Report,
) -> None:
    steps = max(1, round(settings.epochs * len(stored) / settings.batch_size))
    optimizer = torch.optim.AdamW(
        head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = batches(len(stored), settings.batch_size, np.random.default_rng(seed))
    head.train()
    for step in range(steps):
        rows = torch.from_numpy(next(order))
        loss = cross_entropy(head(stored[rows].float()), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 200 == 0:
            report(f"head: step {step + 1}/{steps}  loss {float(loss.detach()):.4f}")
