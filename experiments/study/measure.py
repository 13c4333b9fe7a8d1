"""Measure what a method does, image by image, so that intervals can be over images and seeds.

Every figure is a mean over rows r of Σ_i numerator_ir / Σ_i denominator_ir, i the test images:

| figure            | rows        | numerator                       | denominator     |
|-------------------|-------------|---------------------------------|-----------------|
| error             | attributes  | ∣x′ − x*∣                       | ∣x − x*∣        |
| error_detail_κ    | attributes  | the same with detail = κ        | ∣x − x*∣        |
| composition       | one         | ∣x − x′∣ of do(nothing), grey   | 1               |
| reconstruction    | one         | ½∣x − G(z, a)∣, in [0, 1]       | 1               |
| read              | a_k = v     | is a_k read right from x?       | is a_k = v?     |
| probe_linear, …   | a_k = v     | is a_k predicted right from z?  | is a_k = v?     |
| drag              | one         | ⟨x′ − x⁰, h⟩_R                  | ⟨h, h⟩_R        |
| region            | one         | Σ_R ∣x′ − x*∣                   | Σ_R ∣h∣         |

So ``read`` and the probes are balanced accuracies. ``drag`` and ``region`` are of the edit of a
*cause* (Glasses) and a second attribute, the *effect* (Hat): h is the change of the true flip of
the effect, R the pixels that this changes and the true edit of the cause does not, x⁰ is
do(nothing). ``drag`` is 1 where the edit moves the effect all the way and 0 where it leaves it
alone, over images on which the two are equal, so that moving along would keep them equal;
``region`` is the plain error in the same pixels, over all images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.evaluation.bootstrap import Estimate, estimates, grouped
from cdvae_gan.evaluation.edits import Editor
from cdvae_gan.evaluation.flips import flip_deception
from cdvae_gan.evaluation.metrics import Probe
from cdvae_gan.evaluation.splits import groups_of
from cdvae_gan.evaluation.truth import flip_distances
from cdvae_gan.images import to_float, to_uint8
from study.data import Unseen
from study.task import Trained

__all__ = ["Measured", "Sums", "balanced", "drag", "measure", "ratios", "summary"]

_BATCH = 100
_PROBES: tuple[Literal["linear", "boosted"], ...] = ("linear", "boosted")

Sums = npt.NDArray[np.float64]
"""``(G, R, 2)``: numerator and denominator of each row, of each image or identity."""


@dataclass(frozen=True)
class Measured:
    """What was found."""

    sums: dict[str, Sums]
    """By figure; see the module"""
    judged: dict[str, Any] = field(default_factory=dict)
    """What a judge says of the edits, as plain data, where there is one"""


def ratios(totals: Sums) -> Sums:
    """From totals ``(…, R, 2)`` to the mean over rows, ``(…)``; rows that count nothing are out."""
    known = totals[..., 1] > 0
    each = np.where(known, totals[..., 0] / np.where(known, totals[..., 1], 1), 0)
    result: Sums = each.sum(-1) / np.maximum(known.sum(-1), 1)
    return result


def summary(sums: Sums) -> Estimate:
    """A figure with its interval over images."""
    counted = (sums[..., 1] > 0).any(axis=1)
    found = estimates(sums, ratios, int(counted.sum()))
    result: Estimate = found.item()
    return result


def measure(trained: Trained, test: Unseen, drag_of: tuple[str, str] | None = None) -> Measured:
    """Measure a method on the test set.

    Args:
        trained: The method.
        test: Images, with a truth or a judge of edits.
        drag_of: Cause and effect; see the module.
    """
    sums = _seen(trained, test)
    if test.judge is not None:
        found = flip_deception(trained.editor(trained.detail), test.judge, test.edited)
        judged = {
            "judge": found.judge,
            "deception": found.deception.to_dict(),
            "preservation": found.preservation.to_dict(),
            "composition_max": found.composition,
        }
        return Measured(sums, judged)
    for detail in sorted({0.0, 1.0, trained.detail}):
        distances = flip_distances(trained.editor(detail), test.edited, test.flips)
        changed = distances.changes > 0
        errors = np.stack([np.where(changed, distances.errors, 0), distances.changes], axis=2)
        sums[f"error_detail_{detail:g}"] = errors
        if detail == trained.detail:
            sums["error"] = errors
            sums["composition"] = _plain(distances.composition)
    if drag_of is not None:
        editor = trained.editor(trained.detail)
        sums["drag"], sums["region"] = drag(editor, test, *drag_of)
    return Measured(sums)


@torch.no_grad()
def _seen(trained: Trained, test: Unseen) -> dict[str, Sums]:
    """Reconstruction, reading and probes."""
    data, groups = test.data, groups_of(test.data)
    labels = np.asarray(data.labels)
    lost, read, latents = [], [], []
    for start in range(0, len(data), _BATCH):
        images = data.batch(np.arange(start, min(start + _BATCH, len(data)))).images
        x = to_float(images).contiguous()
        drawn = trained.reconstruct(x).clamp(-1, 1)
        lost.append((x - drawn).abs().mean(dim=(1, 2, 3)).double().numpy() / 2)
        read.append((trained.read(x) > 0.5).numpy())
        if trained.encode is not None:
            latents.append(trained.encode(x).numpy())
    sums = {
        "reconstruction": _plain(np.concatenate(lost)),
        "read": balanced(np.concatenate(read), labels),
    }
    if latents:
        z = np.concatenate(latents)
        for kind in _PROBES:
            probe = Probe(data.attributes, kind)
            probe.update(z, labels, groups)
            sums[f"probe_{kind}"] = balanced(probe.predictions(), labels)
    return {name: grouped(each, groups) for name, each in sums.items()}


def balanced(answers: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Sums:
    """Sums of a balanced accuracy: ``(n, 2K, 2)``, a row for each attribute and value.

    Args:
        answers: ``(n, K)`` of 0 and 1; nan is out.
        labels: ``(n, K)`` of 0, 1 and −1 for unknown.
    """
    rows = []
    for k in range(labels.shape[1]):
        for value in (0, 1):
            there = (labels[:, k] == value) & np.isfinite(answers[:, k].astype(float))
            right = there & (answers[:, k] == value)
            rows.append(np.stack([right, there], axis=1))
    return np.stack(rows, axis=1).astype(np.float64)


def drag(editor: Editor, test: Unseen, cause: str, effect: str) -> tuple[Sums, Sums]:
    """Does an edit of the cause move the effect? Sums ``(N, 1, 2)`` of ``drag`` and ``region``."""
    data = test.edited
    i, j = data.attributes.index(cause), data.attributes.index(effect)
    pull, region = np.zeros((len(data), 1, 2)), np.zeros((len(data), 1, 2))
    for start in range(0, len(data), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(data)))
        images, labels = data.batch(rows)
        x = to_float(images).contiguous()
        before = _grey(to_uint8(editor(x, None, None)))
        after = _grey(to_uint8(editor(x, cause, 1 - labels[:, i])))
        photo, flips = _grey(images), torch.from_numpy(test.flips[rows])
        true, h = _grey(flips[:, i]), _grey(flips[:, j]) - photo
        # Pixels, not channels: a pixel that the edit should change is out in all of them.
        inside = ((h != 0).any(1) & (true == photo).all(1))[:, None]
        h = h * inside
        equal = (labels[:, i] == labels[:, j]).double()
        pull[rows, 0] = _pairs((after - before) * h, h * h, equal)
        region[rows, 0] = _pairs((after - true).abs() * inside, h.abs(), torch.ones_like(equal))
    return pull, region


def _grey(images: Tensor) -> Tensor:
    return images.double()


def _pairs(top: Tensor, bottom: Tensor, weight: Tensor) -> Sums:
    sums = [part.sum(dim=(1, 2, 3)) * weight for part in (top, bottom)]
    result: Sums = torch.stack(sums, dim=1).numpy()
    return result


def _plain(values: npt.NDArray[Any]) -> Sums:
    """A mean over images."""
    return np.stack([values, np.ones_like(values)], axis=1)[:, None]
