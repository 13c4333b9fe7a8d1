"""Who measures what in an evaluation; each part wraps metrics of `cdvae_gan.evaluation.metrics`.

Names of what they give: ``deception`` is the mean over the jury, ``deception/cnn`` one judge.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.edits import Editor, ModelEditor, as_pictures
from cdvae_gan.evaluation.embeddings import Embedding
from cdvae_gan.evaluation.metrics import (
    Agreement,
    Composition,
    Deception,
    Identity,
    LabelQuality,
    Minimality,
    Preservation,
    Probe,
    Realism,
    Reconstruction,
    Reversibility,
    Robustness,
    StrengthCurve,
    Summed,
    Table,
    TrueError,
    over_judges,
)
from cdvae_gan.evaluation.metrics.robustness import AS_IS, HANDLINGS
from cdvae_gan.evaluation.metrics.truth import grey_distance
from cdvae_gan.evaluation.panel import Panel, Reading
from cdvae_gan.evaluation.stream import Flip, Part, Photos
from cdvae_gan.evaluation.truth import true_flips
from cdvae_gan.images import to_float, to_uint8

__all__ = [
    "AgreementPart",
    "CompositionPart",
    "EmbeddingPart",
    "GroupsPart",
    "JudgesPart",
    "LabelsPart",
    "MinimalityPart",
    "ProbesPart",
    "ReconstructionPart",
    "ReversibilityPart",
    "RobustnessPart",
    "StrengthPart",
    "TruthPart",
]


class JudgesPart(Part):
    """Deception, preservation and confusion, and how well the judges read real images."""

    def __init__(self, panel: Panel, exclusive: Sequence[Sequence[str]]) -> None:
        self.panel = panel
        names = panel.attributes
        self.deception = [Deception(names, m.trusted.tolist()) for m in panel.members]
        self.preservation = [
            Preservation(names, m.trusted.tolist(), exclusive) for m in panel.members
        ]

    def flip(self, flip: Flip) -> None:
        groups, k = flip.photos.groups, flip.k
        for i, member in enumerate(self.panel.members):
            before, after = flip.photos.before[i].answers, flip.after[i].answers
            self.preservation[i].update(flip.attribute, flip.target, before, after, groups)
            if member.known[k]:
                self.deception[i].update(
                    flip.attribute, flip.labels, before[:, k], after[:, k], groups
                )

    def summed(self) -> dict[str, Summed]:
        panel = self.panel
        confusion = [
            _known_columns(p.summed_confusion(), m.known)
            for p, m in zip(self.preservation, panel.members, strict=True)
        ]
        deception, preservation = (
            [metric.summed() for metric in metrics]
            for metrics in (self.deception, self.preservation)
        )
        read = np.repeat(panel.trusted[:, None], len(panel.attributes), axis=1)
        found = {
            **_by_judge(panel, "factual", [m.quality for m in panel.members]),
            **_by_judge(panel, "deception", deception),
            **_by_judge(panel, "preservation", preservation),
            **_by_judge(panel, "confusion", confusion, read),
        }
        return {**found, "confusion": found["confusion"].without_mean()}


class StrengthPart(Part):
    """Deception by how far the edit goes."""

    def __init__(self, editor: Editor, panel: Panel, strengths: Sequence[float]) -> None:
        self.edit, self.panel = as_pictures(editor), panel
        self.strengths = tuple(strengths)
        self.curves = [
            StrengthCurve(panel.attributes, self.strengths, m.trusted.tolist())
            for m in panel.members
        ]

    def flip(self, flip: Flip) -> None:
        for strength in self.strengths:
            after = flip.after
            if strength != 1:
                x = self.edit(flip.photos.x, flip.attribute, flip.target, strength)
                images = to_uint8(x)
                after = tuple(m.read(images) for m in self.panel.members)
            for i, member in enumerate(self.panel.members):
                if member.known[flip.k]:
                    self.curves[i].update(
                        flip.attribute,
                        strength,
                        flip.labels,
                        flip.photos.before[i].answers[:, flip.k],
                        after[i].answers[:, flip.k],
                        flip.photos.groups,
                    )

    def summed(self) -> dict[str, Summed]:
        return _by_judge(self.panel, "strength", [c.summed() for c in self.curves])


class RobustnessPart(Part):
    """Deception of pictures that were blurred, compressed or shifted."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.metrics = [Robustness(panel.attributes, m.trusted.tolist()) for m in panel.members]
        self._before: dict[str, tuple[Reading, ...]] = {}

    def photos(self, photos: Photos) -> None:
        self._before = {
            name: tuple(m.read(handle(photos.images)) for m in self.panel.members)
            for name, handle in HANDLINGS.items()
        }

    def flip(self, flip: Flip) -> None:
        self._add(flip, AS_IS, flip.photos.before, flip.after)
        for name, handle in HANDLINGS.items():
            images = handle(flip.images)
            before = tuple(reading.take(flip.at) for reading in self._before[name])
            self._add(flip, name, before, tuple(m.read(images) for m in self.panel.members))

    def _add(
        self, flip: Flip, name: str, before: Sequence[Reading], after: Sequence[Reading]
    ) -> None:
        for i, member in enumerate(self.panel.members):
            if member.known[flip.k]:
                self.metrics[i].update(
                    flip.attribute,
                    name,
                    flip.labels,
                    before[i].answers[:, flip.k],
                    after[i].answers[:, flip.k],
                    flip.photos.groups,
                )

    def summed(self) -> dict[str, Summed]:
        return _by_judge(self.panel, "robustness", [m.summed() for m in self.metrics])


class AgreementPart(Part):
    """Whether the jury is of one mind."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.metric = Agreement(panel.attributes, panel.trusted)

    def flip(self, flip: Flip) -> None:
        before, after = (
            torch.stack([readings[i].answers[:, flip.k] for i in self.panel.jury], dim=1)
            for readings in (flip.photos.before, flip.after)
        )
        self.metric.update(flip.attribute, flip.labels, before, after, flip.photos.groups)

    def summed(self) -> dict[str, Summed]:
        return {"agreement": self.metric.summed()}


class CompositionPart(Part):
    """What do(nothing) does, once and again."""

    def __init__(self, editor: Editor, rounds: Sequence[int]) -> None:
        self.edit, self.metric = as_pictures(editor), Composition(rounds)

    def photos(self, photos: Photos) -> None:
        x = photos.x
        for done in range(1, max(self.metric.rounds) + 1):
            x = self.edit(x, None, None)
            if done in self.metric.rounds:
                self.metric.update(done, photos.x, x, photos.groups)

    def summed(self) -> dict[str, Summed]:
        return {"composition": self.metric.summed()}


class ReversibilityPart(Part):
    """What is left of a flip that was flipped back."""

    def __init__(self, editor: Editor, panel: Panel) -> None:
        self.edit, self.metric = as_pictures(editor), Reversibility(panel.attributes)

    def flip(self, flip: Flip) -> None:
        back = self.edit(flip.x, flip.attribute, 1 - flip.target)
        self.metric.update(flip.attribute, flip.photos.x, back, flip.photos.groups)

    def summed(self) -> dict[str, Summed]:
        return {"reversibility": self.metric.summed()}


class MinimalityPart(Part):
    """How much of the image changes."""

    def __init__(self, panel: Panel) -> None:
        self.metric = Minimality(panel.attributes)

    def flip(self, flip: Flip) -> None:
        self.metric.update(flip.attribute, flip.photos.x, flip.x, flip.photos.groups)

    def summed(self) -> dict[str, Summed]:
        return {"minimality": self.metric.summed()}


class TruthPart(Part):
    """How far the counterfactuals are from the true ones."""

    def __init__(self, dataset: AttributeDataset, panel: Panel) -> None:
        self.data, self.metric = dataset, TrueError(panel.attributes)
        self._truth = torch.zeros(0)

    def photos(self, photos: Photos) -> None:
        self._truth = torch.from_numpy(true_flips(self.data, photos.rows))

    def flip(self, flip: Flip) -> None:
        truth, photos = self._truth[:, flip.k], flip.photos
        errors = grey_distance(flip.images, truth)
        changes = grey_distance(photos.images, truth)
        self.metric.update(flip.attribute, errors, changes, photos.groups)

    def summed(self) -> dict[str, Summed]:
        return {"truth": self.metric.summed()}


class EmbeddingPart(Part):
    """Identity and realism in the features of one network; each may be left out.

    Args:
        name: Of the network.
        embed: The network.
        panel: The judges, for the attributes.
        identity: Whether to measure it.
        threshold: See `Identity`.
        cells: Bool ``(N, K)``: the counterfactuals that realism is measured on, at most one of an
            image; None for none.
        places: ``(N,)`` number of each image's group of people, −1 for none; see `GroupsPart`.
        seed: Of what is drawn.
    """

    def __init__(
        self,
        name: str,
        embed: Embedding,
        panel: Panel,
        *,
        identity: bool,
        threshold: float | None,
        cells: npt.NDArray[np.bool_] | None,
        places: npt.NDArray[np.int64],
        group_names: Sequence[str],
        seed: int,
    ) -> None:
        self.name, self.embed, self.cells, self.places = name, embed, cells, places
        self.subject = f"{name} features"
        self.group_names = tuple(group_names)
        made = partial(Identity, panel.attributes, threshold=threshold, seed=seed)
        self.identity = made() if identity else None
        self.of_group = [made() for _ in group_names if identity]
        self.realism = None if cells is None else Realism(name, seed=seed)
        self._e = torch.zeros(0)

    def add_real(self, dataset: AttributeDataset, batch_size: int) -> None:
        """Real images to compare the counterfactuals with."""
        for start in range(0, len(dataset), batch_size):
            rows = np.arange(start, min(start + batch_size, len(dataset)))
            if self.realism is not None:
                self.realism.update(self.embed(dataset.batch(rows).images), real=True)

    def photos(self, photos: Photos) -> None:
        if self.identity is not None:
            self._e = self.embed(photos.images)

    def flip(self, flip: Flip) -> None:
        rows, chosen = flip.photos.rows, np.zeros(len(flip.at), dtype=bool)
        if self.realism is not None and self.cells is not None:
            chosen = self.cells[rows, flip.k]
        groups = flip.photos.groups
        if self.identity is None:
            if self.realism is not None and chosen.any():
                found = self.embed(flip.images[torch.from_numpy(chosen)])
                self.realism.update(found, real=False, groups=groups[chosen])
            return
        before, after = self._e[flip.at], self.embed(flip.images)
        self.identity.update(flip.attribute, before, after, groups)
        for number, metric in enumerate(self.of_group):
            here = self.places[rows] == number
            if here.any():
                at = torch.from_numpy(here)
                metric.update(flip.attribute, before[at], after[at], groups[here])
        if self.realism is not None and chosen.any():
            found = after[torch.from_numpy(chosen)]
            self.realism.update(found, real=False, groups=groups[chosen])

    def summed(self) -> dict[str, Summed]:
        if self.identity is None:
            return {}
        found = {f"identity/{self.name}": self.identity.summed()}
        for group, metric in zip(self.group_names, self.of_group, strict=True):
            try:
                found[f"group/{group}/identity/{self.name}"] = metric.summed()
            except InputError:  # fewer than two people in this group
                continue
        return found

    def tables(self, resamples: int, seed: int, confidence: float) -> dict[str, Table]:
        if self.realism is None:
            return {}
        with warnings.catch_warnings():  # the report has a place of its own for few images
            warnings.simplefilter("ignore", UserWarning)
            # A resample costs a thousand times that of a mean, and a tenth will do.
            found = self.realism.compute(
                resamples=max(10, resamples // 10), seed=seed, confidence=confidence
            )
        return {f"realism/{self.name}": found}


class GroupsPart(Part):
    """Deception and factual accuracy in groups of people, such as Male=0, Young=1.

    Args:
        panel: The judges.
        places: ``(N,)`` number of each image's group, −1 for none.
        names: Of the groups.
    """

    def __init__(self, panel: Panel, places: npt.NDArray[np.int64], names: Sequence[str]) -> None:
        self.panel, self.places, self.names = panel, places, tuple(names)
        self.deception = [
            [Deception(panel.attributes, panel.members[i].trusted.tolist()) for i in panel.jury]
            for _ in names
        ]
        self.factual = [
            [LabelQuality(panel.attributes, panel.members[i].trusted.tolist()) for i in panel.jury]
            for _ in names
        ]

    def photos(self, photos: Photos) -> None:
        for number, metrics in enumerate(self.factual):
            here = self.places[photos.rows] == number
            if not here.any():
                continue
            for metric, i in zip(metrics, self.panel.jury, strict=True):
                member, reading = self.panel.members[i], photos.before[i]
                labels = np.where(member.known, photos.labels.numpy(), -1)[here]
                p, answers = member.probabilities(reading)[here], reading.answers[here]
                metric.update(labels, p, photos.groups[here], answers)

    def flip(self, flip: Flip) -> None:
        for number, metrics in enumerate(self.deception):
            here = self.places[flip.photos.rows] == number
            if not here.any():
                continue
            for metric, i in zip(metrics, self.panel.jury, strict=True):
                if self.panel.members[i].known[flip.k]:
                    metric.update(
                        flip.attribute,
                        flip.labels[here],
                        flip.photos.before[i].answers[here, flip.k],
                        flip.after[i].answers[here, flip.k],
                        flip.photos.groups[here],
                    )

    def summed(self) -> dict[str, Summed]:
        found = {}
        for name, deception, factual in zip(self.names, self.deception, self.factual, strict=True):
            parts = [metric.summed() for metric in deception]
            if all(len(part.sums) for part in parts):
                found[f"group/{name}/deception"] = over_judges(parts)
                found[f"group/{name}/factual"] = over_judges([m.summed() for m in factual])
        return found


class LabelsPart(Part):
    """How well q(a|x) reads the attributes, and whether its probabilities mean what they say."""

    def __init__(self, editor: ModelEditor, panel: Panel) -> None:
        self.editor, self.metric = editor, LabelQuality(panel.attributes)
        self.columns = [editor.model.attributes.index(a) for a in panel.attributes]

    def photos(self, photos: Photos) -> None:
        found = self.editor.abduction(photos.x).probabilities[:, self.columns]
        self.metric.update(photos.labels, found, photos.groups)

    def summed(self) -> dict[str, Summed]:
        return {"labels": self.metric.summed(), "reliability": self.metric.reliability()}


class ReconstructionPart(Part):
    """How well the model draws an image again from its latents."""

    def __init__(self, editor: ModelEditor) -> None:
        self.editor, self.metric = editor, Reconstruction()

    def photos(self, photos: Photos) -> None:
        drawn = self.editor.abduction(photos.x).drawing.location.to(photos.x.device)
        self.metric.update(photos.x, drawn, photos.groups)

    def summed(self) -> dict[str, Summed]:
        return {"reconstruction": self.metric.summed()}


class ProbesPart(Part):
    """Whether z knows the attributes."""

    subject = "probes"

    def __init__(self, editor: ModelEditor, panel: Panel, seed: int) -> None:
        self.editor = editor
        self.probes = [
            Probe(panel.attributes, "linear", seed=seed),
            Probe(panel.attributes, "boosted", seed=seed),
        ]

    def learn_from(self, dataset: AttributeDataset, batch_size: int) -> None:
        """Other people's images, of the same attributes."""
        for start in range(0, len(dataset), batch_size):
            rows = np.arange(start, min(start + batch_size, len(dataset)))
            images, labels = dataset.batch(rows)
            z = self.editor.abduction(to_float(images)).z
            for probe in self.probes:
                probe.teach(z, labels)

    def photos(self, photos: Photos) -> None:
        z = self.editor.abduction(photos.x).z
        for probe in self.probes:
            probe.update(z, photos.labels, photos.groups)

    def summed(self) -> dict[str, Summed]:
        return {f"probe/{probe.kind}": probe.summed() for probe in self.probes}


def _by_judge(
    panel: Panel,
    name: str,
    parts: Sequence[Summed],
    trusted: npt.NDArray[np.bool_] | None = None,
) -> dict[str, Summed]:
    """The mean over the jury under ``name``, and each judge under ``name/judge``."""
    each = {f"{name}/{m.name}": part for m, part in zip(panel.members, parts, strict=True)}
    jury = [parts[i] for i in panel.jury]
    return {name: over_judges(jury, trusted), **each}


def _known_columns(summed: Summed, known: npt.NDArray[np.bool_]) -> Summed:
    """The same with nothing said where the judge knows nothing."""
    return replace(summed, statistic=lambda t: np.where(known, summed.statistic(t), np.nan))
