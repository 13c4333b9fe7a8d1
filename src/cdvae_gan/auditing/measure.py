"""Scores of every image under every edit: what an audit's statistics are made of.

For each image and each attribute of which it is known whether it is there: do(nothing), the flip at
every strength, noise like the flip, and the flip of an unrelated attribute brought to its size. All
are brought to 8 bits before the classifier sees them. Images pass by in batches; what stays in
memory are scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.action import Ruled, related
from cdvae_gan.auditing.placebo import as_seen, energy, noise_like, scaled_like
from cdvae_gan.data.dataset import UNKNOWN, AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.classifiers import Classifier, Reading
from cdvae_gan.evaluation.edits import Editor, ModelEditor
from cdvae_gan.evaluation.judges import Judge
from cdvae_gan.evaluation.metrics import Deception, Preservation
from cdvae_gan.evaluation.panel import Panel
from cdvae_gan.evaluation.splits import groups_of
from cdvae_gan.images import to_float, to_uint8

__all__ = ["Edited", "Measured", "Plan", "Witness", "measure"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int8]

_LEFT_AS_IT_WAS = 10 / 255  # in grey levels of 1: a pixel that differs by less looks the same


@dataclass(frozen=True)
class Plan:
    """What is done to every image."""

    interventions: tuple[str, ...]
    groups: tuple[str, ...]
    """Attributes by whose values figures are given apart"""
    strengths: tuple[float, ...]
    """Rising; the last is 1"""
    unrelated: str | None
    """The attribute of the second placebo; None to find one for each intervention"""
    batch_size: int
    seed: int


@dataclass
class Witness:
    """What one judge of ours saw of the edits."""

    judge: Judge
    deception: Deception
    preservation: Preservation


@dataclass
class Edited:
    """Every image under one intervention; rows of images it was not done to are nan."""

    attribute: str
    present: Labels
    """``(N,)``: whether the attribute was there; −1 where that is not known"""
    unrelated: str | None
    other_present: Labels
    """Likewise for the unrelated attribute"""
    scores: dict[float, Floats]
    """Strength to ``(N, L)``"""
    noise: Floats
    """``(N, L)``"""
    other: Floats
    """``(N, L)``, of the unrelated edit"""
    yes: Bools | None
    """``(N, L)``: the answers at strength 1"""
    size: Floats
    """``(N,)``: mean |x′ − x| in grey levels of 255, at strength 1"""
    area: Floats
    """``(N,)``: share of pixels that differ by more than 10 grey levels"""
    energies: Floats
    """``(N, 3)``: of the edit, of the noise and of the unrelated edit"""

    @property
    def known(self) -> Bools:
        """``(N,)``: the images it was done to."""
        return np.asarray(self.present != UNKNOWN)


@dataclass
class Measured:
    """All that was measured."""

    classifier: Classifier
    data: AttributeDataset
    groups: npt.NDArray[np.int64]
    """``(N,)``: whose image it is"""
    factual: Floats
    """``(N, L)``"""
    yes: Bools | None
    nothing: Floats
    """``(N, L)`` under do(nothing)"""
    edited: dict[str, Edited]
    values: dict[str, Labels]
    """Attribute to ``(N,)``: whether it is there, as far as anybody said"""
    sources: dict[str, str]
    """Attribute to who said so"""
    witnesses: list[Witness]


def measure(
    classifier: Classifier,
    editor: Editor,
    data: AttributeDataset,
    judges: Sequence[Judge],
    plan: Plan,
    progress: Callable[[int], None] | None = None,
) -> Measured:
    """Carry out a plan.

    Args:
        classifier: Whose answers are measured.
        editor: Makes the edits.
        data: The images.
        judges: Say whether edits succeeded, and what is there where no label does.
        plan: What to do.
        progress: Called with the number of images done since the last call, once for the images
            and once for each intervention.
    """
    editable = tuple(dict.fromkeys((*plan.interventions, *getattr(editor, "attributes", ()))))
    unrelated = () if plan.unrelated is None else (plan.unrelated,)
    asked = tuple(dict.fromkeys((*editable, *plan.groups, *unrelated)))
    values, sources = _present(editor, data, judges, asked, plan.batch_size)
    _check(values, plan)
    names = plan.interventions
    witnesses = [_witness(judge, editable, data) for judge in judges]
    n, width = len(data), len(classifier.names)
    measured = Measured(
        classifier=classifier,
        data=data,
        groups=groups_of(data),
        factual=np.full((n, width), np.nan),
        yes=None,
        nothing=np.full((n, width), np.nan),
        edited={},
        values=values,
        sources=sources,
        witnesses=witnesses,
    )
    for rows in _batches(n, plan.batch_size):
        _factual(measured, editor, rows)
        if progress:
            progress(len(rows))
    ruled = editor.model.config if isinstance(editor, ModelEditor) else data
    for name in names:
        other = plan.unrelated if plan.unrelated != name else None
        other = other or _unrelated(name, editable, measured, ruled)
        measured.edited[name] = _empty(name, other, plan, measured)
    for rows in _batches(n, plan.batch_size):
        x = to_float(data.batch(rows).images).contiguous(memory_format=torch.channels_last)
        read = [witness.judge.read(to_uint8(x)) for witness in witnesses]
        for name in names:
            _edit(measured, editor, plan, measured.edited[name], rows, x, read)
            if progress:
                progress(len(rows))
    return measured


def _batches(n: int, size: int) -> list[npt.NDArray[np.int64]]:
    return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]


def _factual(measured: Measured, editor: Editor, rows: npt.NDArray[np.int64]) -> None:
    images = measured.data.batch(rows).images
    found = measured.classifier.read(images)
    measured.factual[rows] = found.scores.numpy()
    if found.yes is not None:
        if measured.yes is None:
            measured.yes = np.zeros(measured.factual.shape, dtype=bool)
        measured.yes[rows] = found.yes.numpy()
    x = to_float(images).contiguous(memory_format=torch.channels_last)
    untouched = to_uint8(editor(x, None, None))
    measured.nothing[rows] = measured.classifier.read(untouched).scores.numpy()


def _edit(
    measured: Measured,
    editor: Editor,
    plan: Plan,
    edited: Edited,
    batch: npt.NDArray[np.int64],
    x: Tensor,
    read: list[Tensor],
) -> None:
    """One intervention on one batch; the editor meets ``x`` itself, of which it may know more."""
    known = edited.known[batch]
    if not known.any():
        return
    rows, here = batch[known], torch.from_numpy(known)
    target = _flipped(edited.present[batch])
    factual = as_seen(x)[here]

    def read_by(images: Tensor) -> Reading:
        return measured.classifier.read(to_uint8(images))

    for strength in plan.strengths:
        drawn = as_seen(editor(x, edited.attribute, target, strength))[here]
        found = read_by(drawn)
        edited.scores[strength][rows] = found.scores.numpy()
    if edited.yes is not None and found.yes is not None:
        edited.yes[rows] = found.yes.numpy()
    seeds = [
        (plan.seed, int(i), *edited.attribute.encode()) for i in measured.data.images.rows[rows]
    ]
    noisy = noise_like(factual, drawn, seeds)
    edited.noise[rows] = read_by(noisy).scores.numpy()
    change = (drawn - factual).abs()
    edited.size[rows] = 127.5 * change.mean(dim=(1, 2, 3)).double().numpy()
    moved = change.amax(dim=1) > 2 * _LEFT_AS_IT_WAS
    edited.area[rows] = moved.double().mean(dim=(1, 2)).numpy()
    sizes = [energy(drawn - factual), energy(noisy - factual)]
    sizes.append(torch.full_like(sizes[0], torch.nan))
    if edited.unrelated is not None:
        other = as_seen(editor(x, edited.unrelated, _flipped(edited.other_present[batch])))
        small = scaled_like(factual, drawn, other[here])
        told = torch.from_numpy(edited.other_present[rows] != UNKNOWN)
        edited.other[rows[told]] = read_by(small[told]).scores.numpy()
        sizes[2] = torch.where(told, energy(small - factual), torch.nan)
    edited.energies[rows] = torch.stack(sizes, dim=1).numpy()
    pixels = to_uint8(drawn)
    who = measured.groups[rows]
    for witness, before in zip(measured.witnesses, read, strict=True):
        if edited.attribute in witness.judge.attributes:
            after = witness.judge.read(pixels)
            k = witness.judge.attributes.index(edited.attribute)
            y = edited.present[rows]
            seen_before = before[here]
            witness.deception.update(edited.attribute, y, seen_before[:, k], after[:, k], who)
            witness.preservation.update(edited.attribute, target[here], seen_before, after, who)


def _flipped(present: Labels) -> Tensor:
    return torch.from_numpy((present == 0).astype(np.int64))


def _empty(name: str, unrelated: str | None, plan: Plan, measured: Measured) -> Edited:
    n, width = measured.factual.shape

    def blank(*shape: int) -> Floats:
        return np.full(shape, np.nan)

    return Edited(
        attribute=name,
        present=measured.values[name],
        unrelated=unrelated,
        other_present=measured.values[unrelated or name],
        scores={s: blank(n, width) for s in plan.strengths},
        noise=blank(n, width),
        other=blank(n, width),
        yes=None if measured.yes is None else np.zeros((n, width), dtype=bool),
        size=blank(n),
        area=blank(n),
        energies=blank(n, 3),
    )


def _check(values: dict[str, Labels], plan: Plan) -> None:
    for what, names in (("intervention", plan.interventions), ("group", plan.groups)):
        for name in names:
            if (values[name] == UNKNOWN).all():
                raise InputError(
                    f"{what} {name}: nobody says which images have it: the images have no such "
                    "label, and neither a judge nor the editor reads it"
                )


def _present(
    editor: Editor,
    data: AttributeDataset,
    judges: Sequence[Judge],
    names: Sequence[str],
    batch_size: int,
) -> tuple[dict[str, Labels], dict[str, str]]:
    """Whether each attribute is there: by label, else by a judge, else as the editor reads it."""
    values: dict[str, Labels] = {}
    said: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        column = np.full(len(data), UNKNOWN, dtype=np.int8)
        if name in data.attributes:
            column = data.labels[:, data.attributes.index(name)].copy()
            said[name] += ["labels"] * bool((column != UNKNOWN).any())
        values[name] = column
    readers = [_by_judge(judge) for judge in judges]
    if callable(getattr(editor, "read", None)):
        own = tuple(name for name in names if name in getattr(editor, "attributes", ()))
        readers.append(_Reader("the editor's own reading", own, _by_editor(editor, own)))
    for reader in readers:
        _fill(reader, data, values, said, batch_size)
    return values, {name: " and ".join(who) for name, who in said.items() if who}


@dataclass(frozen=True)
class _Reader:
    name: str
    attributes: tuple[str, ...]
    read: Callable[[Tensor], Tensor]


def _by_judge(judge: Judge) -> _Reader:
    """A judge, on what its card says that it can be trusted with."""
    believed = tuple(
        n for n, trusted in zip(judge.attributes, judge.card.trusted, strict=True) if trusted
    )
    columns = [judge.attributes.index(name) for name in believed]
    return _Reader(f"judge {judge.name}", believed, lambda images: judge.read(images)[:, columns])


def _by_editor(editor: Any, names: Sequence[str]) -> Callable[[Tensor], Tensor]:
    columns = [editor.attributes.index(name) for name in names]
    return lambda images: editor.read(to_float(images))[:, columns].cpu()


def _fill(
    reader: _Reader,
    data: AttributeDataset,
    values: dict[str, Labels],
    said: dict[str, list[str]],
    batch_size: int,
) -> None:
    wanted = [n for n in reader.attributes if n in values and (values[n] == UNKNOWN).any()]
    if not wanted:
        return
    for rows in _batches(len(data), batch_size):
        answers = reader.read(data.batch(rows).images).numpy()
        for name in wanted:
            column = answers[:, reader.attributes.index(name)].astype(np.int8)
            values[name][rows] = np.where(values[name][rows] == UNKNOWN, column, values[name][rows])
    for name in wanted:
        said[name].append(reader.name)


def _witness(judge: Judge, names: Sequence[str], data: AttributeDataset) -> Witness:
    shared = [name for name in judge.attributes if name in names]
    if not shared:
        raise InputError(
            f"judge {judge.name!r} knows none of {', '.join(names)}: it can't say whether an edit "
            "succeeded"
        )
    judge = judge.select(shared)
    trusted = _trusted(judge, data)
    return Witness(judge, Deception(shared, trusted), Preservation(shared, trusted, data.exclusive))


def _trusted(judge: Judge, data: AttributeDataset) -> list[bool]:
    """On which attributes a judge is believed: as `Panel` has it where there are labels."""
    labelled = [name for name in judge.attributes if name in data.attributes]
    believed = dict(zip(judge.attributes, judge.card.trusted, strict=True))
    if labelled:
        (member,) = Panel.of([judge], data, labelled).members
        measured = zip(labelled, member.trusted.tolist(), strict=True)
        believed |= {name: trusted and not member.apart for name, trusted in measured}
    return list(believed.values())


def _unrelated(name: str, editable: Sequence[str], measured: Measured, ruled: Ruled) -> str | None:
    """The attribute least correlated with the intervened one and with the classifier's scores.

    None that a rule ties to it: its edit would be the other's.
    """
    excluded = related(name, ruled)
    of = _column(measured.values[name])
    best: tuple[float, str] | None = None
    for other in editable:
        column = measured.values[other]
        if other == name or other in excluded or len(set(column[column != UNKNOWN].tolist())) < 2:
            continue
        mine = _column(column)
        tied = [_correlation(mine, of)] + [_correlation(mine, s) for s in measured.factual.T]
        strongest = max(tied)
        if best is None or strongest < best[0]:
            best = strongest, other
    return None if best is None else best[1]


def _column(labels: Labels) -> Floats:
    return np.where(labels == UNKNOWN, np.nan, labels.astype(np.float64))


def _correlation(one: Floats, other: Floats) -> float:
    """|r| over what is known of both; 0 where one of them is constant."""
    both = np.isfinite(one) & np.isfinite(other)
    a, b = one[both], other[both]
    if len(a) < 2 or not a.std() or not b.std():
        return 0.0
    return float(abs(np.corrcoef(a, b)[0, 1]))
