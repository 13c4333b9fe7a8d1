"""Gradient-boosted trees as plain arrays: evaluated here, and stored without any code in them.

All trees of an attribute lie one after the other in the same arrays. A node with ``feature ≥ 0``
sends an image left where its feature is at most ``threshold``; a leaf has ``feature = −1`` and adds
``value`` to the score, which starts at the attribute's baseline.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Forest"]


class Forest(NamedTuple):
    """The trees of one attribute.

    Attributes:
        feature: int32 ``(nodes,)``; −1 for a leaf.
        threshold: float64 ``(nodes,)``.
        left: int32 ``(nodes,)`` where to go, counted from the first node of all.
        right: int32 ``(nodes,)``.
        value: float64 ``(nodes,)``.
        roots: int32 ``(trees,)``.
        baseline: float64 ``()``.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor
    baseline: Tensor

    @classmethod
    def of_sklearn(cls, classifier: Any) -> Forest:
        """From a fitted binary ``HistGradientBoostingClassifier`` on finite numbers."""
        trees = [stage[0].nodes for stage in classifier._predictors]
        starts = np.concatenate([[0], np.cumsum([len(t) for t in trees])[:-1]])
        nodes = np.concatenate(trees)
        shift = np.repeat(starts, [len(t) for t in trees])
        leaf = nodes["is_leaf"].astype(bool)

        def child(name: str) -> Tensor:
            return torch.from_numpy((nodes[name].astype(np.int64) + shift).astype(np.int32))

        return cls(
            torch.from_numpy(np.where(leaf, -1, nodes["feature_idx"]).astype(np.int32)),
            torch.from_numpy(nodes["num_threshold"].astype(np.float64)),
            child("left"),
            child("right"),
            torch.from_numpy(nodes["value"].astype(np.float64)),
            torch.from_numpy(starts.astype(np.int32)),
            torch.tensor(float(np.ravel(classifier._baseline_prediction)[0]), dtype=torch.float64),
        )

    def __call__(self, features: Tensor) -> Tensor:
        """Scores ``(B,)`` of features ``(B, D)``."""
        f = features.double()
        at = self.roots.long().expand(len(f), -1)
        while True:
            feature = self.feature[at].long()
            inner = feature >= 0
            if not inner.any():
                return self.baseline + self.value[at].sum(1)
            goes_left = f.gather(1, feature.clamp_min(0)) <= self.threshold[at]
            onward = torch.where(goes_left, self.left[at], self.right[at]).long()
            at = torch.where(inner, onward, at)
