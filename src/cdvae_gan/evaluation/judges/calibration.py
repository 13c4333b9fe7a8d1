"""From scores to answers: log odds by logistic calibration, and thresholds for balanced accuracy.

    logits = scale · score + offset,   (scale, offset) = argmin of the cross-entropy, scale > 0
    threshold = argmax of  ½ (true positive rate + true negative rate)

Both on images that the judge was not trained on, the tune half of the validation split.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.dataset import UNKNOWN
from cdvae_gan.evaluation.judges.judge import Card

__all__ = ["calibrate", "logistic", "threshold"]

Floats = npt.NDArray[np.float64]

_SMALLEST_SCALE = 1e-3
_RIDGE = 1e-4


def calibrate(card: Card, scores: Floats, labels: npt.NDArray[np.int8]) -> Card:
    """A card with scales, offsets and thresholds found on ``(N, K)`` scores and labels.

    An attribute that has only one value there keeps scale 1, offset 0 and threshold 0.
    """
    found: list[tuple[float, float, float]] = []
    for k in range(len(card.attributes)):
        known = labels[:, k] != UNKNOWN
        s, y = scores[known, k].astype(np.float64), labels[known, k].astype(np.float64)
        if len(np.unique(y)) < 2:
            found.append((1.0, 0.0, 0.0))
            continue
        scale, offset = logistic(s, y)
        found.append((scale, offset, threshold(scale * s + offset, y)))
    scales, offsets, thresholds = zip(*found, strict=True)
    return replace(card, scales=scales, offsets=offsets, thresholds=thresholds)


def logistic(scores: Floats, labels: Floats) -> tuple[float, float]:
    """Scale and offset of the best log odds, by Newton's method (Platt 1999).

    Scores are standardised first, and a small ridge keeps separable ones finite.
    """
    mean, spread = scores.mean(), scores.std() + 1e-12
    X = np.stack([(scores - mean) / spread, np.ones_like(scores)], axis=1)
    w = np.array([1.0, np.log((labels.mean() + 1e-6) / (1 - labels.mean() + 1e-6))])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(X @ w, -30, 30)))
        gradient = X.T @ (p - labels) / len(labels) + _RIDGE * w
        hessian = (X * (p * (1 - p))[:, None]).T @ X / len(labels) + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        w = w - step * min(1.0, 5 / (np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    scale = max(w[0] / spread, _SMALLEST_SCALE)
    return float(scale), float(w[1] - scale * mean)


def threshold(logits: Floats, labels: Floats) -> float:
    """The threshold of the greatest balanced accuracy, halfway between neighbouring logits."""
    order = np.argsort(logits, kind="stable")
    s, y = logits[order], labels[order]
    # Cutting after position i: everything above is called 1.
    negatives_below = np.cumsum(1 - y) / max(1, (1 - y).sum())
    positives_above = 1 - np.cumsum(y) / max(1, y.sum())
    balanced = (negatives_below + positives_above) / 2
    balanced[:-1][s[1:] == s[:-1]] = -1  # equal logits cannot be parted
    i = int(balanced.argmax())
    return float((s[i] + s[min(i + 1, len(s) - 1)]) / 2)
