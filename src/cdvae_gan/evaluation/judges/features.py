"""Classical features: histograms of oriented gradients, a small colour picture, and PCA of both.

HOG       9 orientations, cells of 8×8 pixels, blocks of 2×2 cells, L2-Hys (Dalal & Triggs 2005);
          of the colour channels the one with the largest gradient counts
colour    the mean colour of each of 12×12 fields
PCA       f ↦ W (f − m), each component scaled to unit variance on the training images
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FEATURE_SIZE", "Projection", "classical_features", "hog", "principal_components"]

FEATURE_SIZE = 64
"""Side in pixels of the images that `classical_features` takes."""

_ORIENTATIONS = 9
_CELL = 8
_BLOCK = 2
_FIELDS = 12
_EPSILON = 1e-5

Projection = tuple[Tensor, Tensor]
"""m ``(D,)`` and W ``(C, D)``."""


def classical_features(images: Tensor) -> Tensor:
    """HOG and colours of images uint8 ``(B, 3, 64, 64)``: float ``(B, D)``."""
    x = images.float()
    colours = F.adaptive_avg_pool2d(x, _FIELDS).flatten(1) / 255
    return torch.cat([hog(x), colours], dim=1)


def hog(x: Tensor) -> Tensor:
    """Histograms of oriented gradients of images ``(B, C, H, W)``, H and W multiples of 8.

    Returns:
        ``(B, blocks · 4 · 9)``, in the order of ``skimage.feature.hog``.
    """
    dy, dx = torch.zeros_like(x), torch.zeros_like(x)
    dy[:, :, 1:-1] = x[:, :, 2:] - x[:, :, :-2]
    dx[:, :, :, 1:-1] = x[:, :, :, 2:] - x[:, :, :, :-2]
    strongest = (dx.square() + dy.square()).argmax(dim=1, keepdim=True)
    dy, dx = dy.gather(1, strongest), dx.gather(1, strongest)
    angle = torch.rad2deg(torch.atan2(dy, dx)) % 180
    which = (angle * (_ORIENTATIONS / 180)).long().clamp(0, _ORIENTATIONS - 1)
    votes = torch.zeros(len(x), _ORIENTATIONS, *x.shape[2:]).scatter_(1, which, torch.hypot(dx, dy))
    cells = F.avg_pool2d(votes, _CELL)
    # (B, 9, rows, columns) of cells to (B, rows - 1, columns - 1, 2, 2, 9) of blocks
    blocks = cells.unfold(2, _BLOCK, 1).unfold(3, _BLOCK, 1).permute(0, 2, 3, 4, 5, 1)
    flat = _unit(blocks.flatten(3)).clamp_max(0.2)
    return _unit(flat).flatten(1)


def principal_components(features: Iterable[Tensor], components: int) -> Projection:
    """PCA with whitening of features that come in batches ``(B, D)``."""
    n, total, products = 0, torch.zeros(()), torch.zeros(())
    for batch in features:
        f = batch.double()
        n += len(f)
        total = total + f.sum(0)
        products = products + f.T @ f
    mean = total / n
    covariance = products / n - mean[:, None] * mean[None, :]
    variance, directions = torch.linalg.eigh(covariance)
    kept = slice(-min(components, n - 1, len(mean)), None)
    variance, directions = variance[kept].flip(0), directions[:, kept].flip(1)
    W = directions.T / variance.clamp_min(1e-10).sqrt()[:, None]
    return mean.float(), W.float()


def _unit(v: Tensor) -> Tensor:
    return v / (v.square().sum(-1, keepdim=True) + _EPSILON**2).sqrt()
