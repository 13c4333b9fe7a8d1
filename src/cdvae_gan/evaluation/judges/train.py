"""Training a judge of any family: fit on the training split, calibrate on one half of validation.

The other half, the report half, only grades: no choice is made on it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import unknown_name
from cdvae_gan.evaluation.judges.calibration import calibrate
from cdvae_gan.evaluation.judges.classical import fit_boosting, fit_svm
from cdvae_gan.evaluation.judges.features import FEATURE_SIZE
from cdvae_gan.evaluation.judges.judge import Card, Judge, Quality, Report, State
from cdvae_gan.evaluation.judges.network import NetworkTraining, fit_network
from cdvae_gan.evaluation.judges.store import FAMILIES, judge_of, save_judge
from cdvae_gan.evaluation.judges.trunk import fit_trunk
from cdvae_gan.evaluation.metrics.labels import BALANCED, CALIBRATION_ERROR, LabelQuality
from cdvae_gan.evaluation.splits import groups_of, halves

__all__ = ["JudgeTraining", "grade", "train_judge"]

_APART = (
    "Looks through the same frozen EfficientNet-Lite0 as the model's discriminator: not "
    "independent of it, so reported apart from the other judges."
)
_BATCH = 1024
_CLASSICAL = ("boosting", "svm")


@dataclass(frozen=True)
class JudgeTraining:
    """How a judge is trained; each family reads what concerns it.

    Attributes:
        epochs: Passes over the training split; None for the family's own number.
        components: Of the PCA of classical features.
        rounds: Boosted trees for each attribute, at most.
        device: Where networks are trained.
        bf16: Whether networks compute in bfloat16.
    """

    epochs: float | None = None
    components: int = 192
    rounds: int = 300
    device: str = "cpu"
    bf16: bool = True


def train_judge(
    dataset: AttributeDataset,
    out: str | Path | None = None,
    *,
    family: str = "cnn",
    name: str | None = None,
    seed: int = 0,
    training: JudgeTraining | None = None,
    report: Report | None = None,
) -> Judge:
    """Train, calibrate and grade a judge, and save it.

    Args:
        dataset: With a training and a validation split, and the attributes to learn.
        out: Folder to write; None to keep the judge in memory.
        family: One of `FAMILIES`: ``cnn``, ``residual``, ``boosting``, ``svm``, ``trunk``.
        name: What tables call it; by default the family.
        seed: Of everything that is drawn.
        training: How.
        report: Called with a line of progress now and then.

    Raises:
        InputError: An unknown family, a missing split or package, or an attribute of which the
            training images have only one value.
    """
    if family not in FAMILIES:
        raise unknown_name("family of judges", family, FAMILIES)
    training = training or JudgeTraining()
    report = report or (lambda line: None)
    tune, held_out = halves(dataset)
    images, start = dataset.split("train"), time.monotonic()
    state = _fit(family, images, training, seed, report)
    card = Card(
        name=name or family,
        family=family,
        attributes=dataset.attributes,
        image_size=FEATURE_SIZE if family in _CLASSICAL else dataset.image_size,
        seed=seed,
        data=dataset.name,
        fingerprint=images.fingerprint,
        notes=_APART if family == "trunk" else "",
        training={
            **asdict(training),
            "images": len(images),
            "tuned_on": len(tune),
            "seconds": round(time.monotonic() - start, 1),
            "versions": _versions(family),
        },
    )
    judge = judge_of(card, state, training.device)
    judge = replace(judge, card=calibrate(card, _all_scores(judge, tune), tune.labels))
    judge = replace(judge, card=replace(judge.card, quality=grade(judge, held_out)))
    if out is not None:
        save_judge(out, judge.card, state)
    return judge


def grade(judge: Judge, dataset: AttributeDataset) -> tuple[Quality, ...]:
    """How well a judge reads each of its attributes off real images that it never saw.

    Args:
        judge: The judge.
        dataset: With all of its attributes.
    """
    dataset = dataset.select(judge.attributes)
    quality = LabelQuality(judge.attributes)
    groups = groups_of(dataset)
    for start in range(0, len(dataset), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(dataset)))
        images, labels = dataset.batch(rows)
        logits = judge.logits(images)
        quality.update(labels, logits.sigmoid(), groups[rows], answers=judge.answers(logits))
    table = quality.compute()
    positives = (dataset.labels == 1).sum(0)
    return tuple(
        Quality.of(table[a, BALANCED], int(positives[k]), table[a, CALIBRATION_ERROR].value)
        for k, a in enumerate(judge.attributes)
    )


def _fit(
    family: str, images: AttributeDataset, training: JudgeTraining, seed: int, report: Report
) -> State:
    if family == "boosting":
        return fit_boosting(
            images,
            seed=seed,
            components=training.components,
            rounds=training.rounds,
            report=report,
        )
    if family == "svm":
        return fit_svm(images, seed=seed, components=training.components, report=report)
    if family == "trunk":
        settings = NetworkTraining(training.epochs or 10.0, batch_size=256)
        return fit_trunk(images, settings, seed=seed, report=report)
    settings = NetworkTraining(training.epochs or 6.0, bf16=training.bf16, device=training.device)
    return fit_network(family, images, settings, seed=seed, report=report)


def _all_scores(judge: Judge, dataset: AttributeDataset) -> Any:
    parts = [
        judge.raw_scores(dataset.batch(np.arange(start, min(start + _BATCH, len(dataset)))).images)
        for start in range(0, len(dataset), _BATCH)
    ]
    return torch.cat(parts).double().numpy()


def _versions(family: str) -> dict[str, str]:
    names = ["cdvae-gan", "torch", "numpy"]
    return {n: version(n) for n in names + ["scikit-learn"] * (family in _CLASSICAL)}
