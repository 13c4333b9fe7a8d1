"""Judges without a network: boosted trees, or a support vector machine, on classical features.

``boosting``: scikit-learn's HistGradientBoostingClassifier, one for each attribute. ``svm``: linear
support vector machines (squared hinge) on the features and on random Fourier features of them
(Rahimi & Recht 2007), which approximate a Gaussian kernel:

    φ(f) = cos(Ω f + b),  Ω ~ N(0, 1/σ²)          score = w · [f, φ(f)] + c
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cdvae_gan.data.dataset import UNKNOWN, AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.judges.features import (
    FEATURE_SIZE,
    classical_features,
    principal_components,
)
from cdvae_gan.evaluation.judges.judge import Report, Scores, State, resized
from cdvae_gan.evaluation.judges.trees import Forest

__all__ = ["boosting_scores", "fit_boosting", "fit_svm", "svm_scores"]

_BATCH = 512
_WAVES = 1024
_FEWEST_TO_STOP = 20
"""Images with and without an attribute; fewer cannot say when trees stop helping"""


def fit_boosting(
    dataset: AttributeDataset, *, seed: int, components: int, rounds: int, report: Report
) -> State:
    """Fit boosted trees to the images of ``dataset`` alone.

    Args:
        dataset: The training split.
        seed: Of the trees.
        components: Of the PCA.
        rounds: Trees for each attribute; fewer where they stop helping.
        report: Called with a line now and then.
    """
    ensemble = _sklearn("ensemble")
    features, state = _projected(dataset, components, report)
    for k, name in enumerate(dataset.attributes):
        X, y = _known(features, dataset.labels[:, k], name)
        trees = ensemble.HistGradientBoostingClassifier(
            max_iter=rounds,
            learning_rate=0.1,
            l2_regularization=1.0,
            max_leaf_nodes=15,
            max_features=0.25,
            early_stopping=bool(np.bincount(y, minlength=2).min() >= _FEWEST_TO_STOP),
            n_iter_no_change=20,
            validation_fraction=0.1,
            random_state=seed,
        ).fit(X, y)
        for part, value in Forest.of_sklearn(trees)._asdict().items():
            state[f"{k}.{part}"] = value
        report(f"{name}: {trees.n_iter_} trees")
    return state


def boosting_scores(state: Mapping[str, Tensor], attributes: int) -> Scores:
    """The function of a judge whose arrays are ``state``."""
    forests = [
        Forest(*(state[f"{k}.{part}"] for part in Forest._fields)) for k in range(attributes)
    ]
    project = _projection(state)

    def scores(images: Tensor) -> Tensor:
        features = project(images)
        return torch.stack([forest(features) for forest in forests], dim=1)

    return scores


def fit_svm(dataset: AttributeDataset, *, seed: int, components: int, report: Report) -> State:
    """Fit support vector machines to the images of ``dataset`` alone.

    Args:
        dataset: The training split.
        seed: Of the random features and the solver.
        components: Of the PCA.
        report: Called with a line now and then.
    """
    svm = _sklearn("svm")
    features, state = _projected(dataset, components, report)
    generator = torch.Generator().manual_seed(seed)
    sigma = features.shape[1] ** 0.5
    state["waves"] = torch.randn(_WAVES, features.shape[1], generator=generator) / sigma
    state["phases"] = torch.rand(_WAVES, generator=generator) * 2 * torch.pi
    lifted = _lifted(torch.from_numpy(features), state).numpy()
    weights, offsets = [], []
    for k, name in enumerate(dataset.attributes):
        X, y = _known(lifted, dataset.labels[:, k], name)
        machine = svm.LinearSVC(C=1e-3, class_weight="balanced", random_state=seed, tol=1e-3)
        machine.fit(X, y)
        weights.append(machine.coef_[0])
        offsets.append(machine.intercept_[0])
        report(f"{name}: fitted")
    state["weights"] = torch.from_numpy(np.stack(weights)).float()
    state["offsets"] = torch.tensor(offsets).float()
    return state


def svm_scores(state: Mapping[str, Tensor]) -> Scores:
    """The function of a judge whose arrays are ``state``."""
    project = _projection(state)
    return lambda images: F.linear(
        _lifted(project(images), state), state["weights"], state["offsets"]
    )


def _lifted(features: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    waves = torch.cos(features @ state["waves"].T + state["phases"])
    return torch.cat([features, waves], dim=1)


def _projected(
    dataset: AttributeDataset, components: int, report: Report
) -> tuple[npt.NDArray[np.float32], State]:
    mean, W = principal_components(_batches(dataset), components)
    report(f"{len(W)} components of {len(mean)} features")
    state = {"mean": mean, "projection": W.contiguous()}
    parts = [F.linear(f - mean, W).numpy() for f in _batches(dataset)]
    return np.concatenate(parts), state


def _projection(state: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
    mean, W = state["mean"], state["projection"]
    return lambda images: F.linear(classical_features(images) - mean, W)


def _batches(dataset: AttributeDataset) -> Iterator[Tensor]:
    for start in range(0, len(dataset), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(dataset)))
        # As a judge brings them there when it is asked: it learns what it will see.
        yield classical_features(resized(dataset.batch(rows).images, FEATURE_SIZE))


def _known(
    features: npt.NDArray[np.float32], labels: npt.NDArray[np.int8], name: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    known = labels != UNKNOWN
    if len(np.unique(labels[known])) < 2:
        raise InputError(f"no judge can learn {name!r}: the training images have only one value")
    return features[known], labels[known]


def _sklearn(module: str) -> Any:
    try:
        return __import__(f"sklearn.{module}", fromlist=[module])
    except ModuleNotFoundError:
        raise InputError(
            'training this judge needs scikit-learn: pip install "cdvae-gan[eval]"'
        ) from None
