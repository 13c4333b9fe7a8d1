"""Variants that the library can express: a CDVAE-GAN with other numbers, and a plain VAE.

The plain VAE sees no attribute: it is a conditional one whose only attribute is the same for all
images. Its attributes are directions in z, found afterwards: with w_k, b_k of a logistic regression
of a_k on z = μ(x), do(a_k = v) moves z along w_k until its score is the mean score of the training
images with a_k = v,

    z′ = z + (mean score of v − (w_k·z + b_k)) w_k / |w_k|²
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.counterfactual import abduct
from cdvae_gan.data import AttributeDataset
from cdvae_gan.data.dataset import UNKNOWN
from cdvae_gan.evaluation.edits import ModelEditor
from cdvae_gan.images import to_float
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.model import load as load_model
from cdvae_gan.training import Limits, TrainConfig, train
from study.editing import Redrawing
from study.task import Mark, Task, Trained, same_config

__all__ = ["Directions", "Erased", "LatentDirections", "Model", "hide_labels", "without_attributes"]

_BATCH = 256
_NO_VALIDATION = 10**9


@dataclass(frozen=True)
class Model:
    """A CDVAE-GAN."""

    change: Callable[[TrainConfig], TrainConfig]
    """From the base to this variant"""
    labelled: float = 1.0
    """Share of the training images whose labels are known; of the others none is"""

    def train(self, task: Task) -> Trained:
        """Train, or go on."""
        config = self.change(task.base)
        data = hide_labels(task.data, self.labelled, config.seed)
        model, pace = _trained(task, config, data)
        told = {**json.loads(config.to_json()), "labelled": self.labelled}
        return _evaluated(model, told, pace)


@dataclass(frozen=True)
class Erased:
    """A CDVAE-GAN trained for half of the steps, and for the other half with its z erased."""

    change: Callable[[TrainConfig], TrainConfig]

    def train(self, task: Task) -> Trained:
        """Train both halves, or go on."""
        first = replace(task, folder=task.folder / "first", steps=max(1, task.steps // 2))
        second = replace(task, steps=max(1, task.steps - first.steps))
        first.folder.mkdir(exist_ok=True)
        config = self.change(task.base)
        _trained(first, config, task.data)
        erased = replace(config, erase=True)
        model, pace = _trained(second, erased, task.data, start_from=first.folder / "run")
        return _evaluated(model, {**json.loads(erased.to_json()), "halves": 2}, pace)


def _evaluated(model: CDVAEGAN, config: dict[str, Any], pace: float | None) -> Trained:
    return Trained(
        editor=lambda detail: ModelEditor(model, detail),
        detail=model.config.detail,
        reconstruct=lambda x: abduct(model, x).drawing.location,
        read=lambda x: model.posterior(x).a.base_dist.probs,
        encode=lambda x: model.posterior(x).z.base_dist.loc,
        config=config,
        parameters=_parameters(model),
        steps_per_second=pace,
    )


@dataclass(frozen=True)
class LatentDirections:
    """A VAE that knows no attributes, and logistic directions in its latent space."""

    change: Callable[[TrainConfig], TrainConfig]

    def train(self, task: Task) -> Trained:
        """Train, or go on; then find the directions."""
        config = self.change(task.base)
        model, pace = _trained(task, config, without_attributes(task.data))
        found = Directions.fit(model, task.data.split("train"))
        return Trained(
            editor=lambda detail: Redrawing(task.data, found.read, found.redraw, detail),
            detail=0.0,
            reconstruct=lambda x: abduct(model, x).drawing.location,
            read=found.read,
            encode=found.encode,
            config={**json.loads(config.to_json()), "method": "logistic directions in z"},
            parameters=_parameters(model),
            steps_per_second=pace,
        )


class Directions:
    """Logistic directions in the latent space of a VAE.

    Args:
        model: The VAE: a model with one attribute that is always 0.
        weight: ``(K, d)``: w.
        bias: ``(K,)``: b.
        scores: ``(K, 2)``: mean training score of a_k = 0 and of a_k = 1.
    """

    def __init__(self, model: CDVAEGAN, weight: Tensor, bias: Tensor, scores: Tensor) -> None:
        self.model = model
        self.weight = weight
        self.bias = bias
        self.scores = scores

    @classmethod
    def fit(cls, model: CDVAEGAN, data: AttributeDataset) -> Directions:
        """Find them on training images; those with an unknown label don't count for it."""
        from sklearn.linear_model import LogisticRegression

        z = _latents(model, data)
        weight, bias, means = [], [], []
        for y in data.labels.T:
            known = y >= 0
            found = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
            found.fit(z[known], y[known])
            score = found.decision_function(z[known])
            weight.append(found.coef_[0])
            bias.append(found.intercept_[0])
            means.append([score[y[known] == v].mean() for v in (0, 1)])
        arrays = (np.array(part, dtype=np.float32) for part in (weight, bias, means))
        return cls(model, *(torch.from_numpy(a) for a in arrays))

    def encode(self, x: Tensor) -> Tensor:
        """The latents z, ``(B, d)``."""
        z: Tensor = self.model.posterior(x).z.base_dist.loc
        return z

    def read(self, x: Tensor) -> Tensor:
        """P(a_k = 1 | z), ``(B, K)``."""
        return self._score(self.encode(x)).sigmoid()

    def redraw(self, x: Tensor, there: Tensor, asked: Tensor) -> Tensor:
        """Decode z moved along the directions of what is asked for and not there."""
        z = self.encode(x)
        goal = torch.where(asked > there, self.scores[:, 1], self.scores[:, 0])
        far = (asked - there).abs() * (goal - self._score(z)) / self.weight.square().sum(1)
        return self.model.decode(z + far @ self.weight, z.new_zeros(len(z), 1))

    def _score(self, z: Tensor) -> Tensor:
        return z @ self.weight.T + self.bias


def hide_labels(data: AttributeDataset, share: float, seed: int) -> AttributeDataset:
    """Data with the labels of a share of the training images; those of the others are unknown."""
    if share >= 1:
        return data
    images = np.flatnonzero(data.splits == "train")
    kept = max(1, round(share * len(images)))
    hidden = np.random.default_rng((seed, kept)).permutation(images)[kept:]
    labels = data.labels.copy()
    labels[hidden] = UNKNOWN
    return replace(data, labels=labels)


def without_attributes(data: AttributeDataset) -> AttributeDataset:
    """The same images with one attribute that says nothing."""
    labels = np.zeros((len(data), 1), dtype=np.int8)
    return replace(
        data,
        attributes=("Nothing",),
        labels=labels,
        exclusive=(),
        alternatives=(),
        companions=(),
        draw=None,
    )


def _trained(
    task: Task, config: TrainConfig, data: AttributeDataset, start_from: Path | None = None
) -> tuple[CDVAEGAN, float | None]:
    """The model after the task's steps, however many sittings they take."""
    run = task.folder / "run"
    if (run / "config.json").is_file():
        same_config(run, (run / "config.json").read_text(), config.to_json())
    mark = Mark.read(task.folder)
    if mark is None:
        start = _steps_done(run)
        if not 0 < start < task.steps and run.exists():
            shutil.rmtree(run)  # killed before the first checkpoint, or after the last step
            start = 0
        began = time.monotonic()
        train(
            data,
            run,
            Limits(steps=task.steps),
            config,
            resume=start > 0,
            start_from=None if start > 0 else start_from,
            precision=task.precision,
            validate_every=_NO_VALIDATION,
            console=task.console,
        )
        done = _steps_done(run)
        if done < task.steps:  # a polite kill: the checkpoint is written
            raise KeyboardInterrupt(f"stopped at step {done}")
        mark = Mark(done, (done - start) / (time.monotonic() - began))
        mark.write(task.folder)
    return load_model(run), mark.steps_per_second


def _steps_done(run: Path) -> int:
    path = run / "checkpoints" / "last.ckpt"
    if not path.is_file():
        return 0
    return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])


@torch.no_grad()
def _latents(model: CDVAEGAN, data: AttributeDataset) -> npt.NDArray[np.float32]:
    parts = []
    for start in range(0, len(data), _BATCH):
        images = data.batch(np.arange(start, min(start + _BATCH, len(data)))).images
        parts.append(model.posterior(to_float(images)).z.base_dist.loc)
    z: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return z


def _parameters(model: CDVAEGAN) -> int:
    return sum(p.numel() for p in model.parameters())
