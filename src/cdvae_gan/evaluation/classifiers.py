"""Any classifier with scores: what its numbers mean, and what it answers.

    task         scores                                  answer yes
    binary       σ of the logit, or the probability      above the threshold, ½ unless told
    multilabel   the same for every output               the same
    multiclass   softmax of the logits, or probability   the class is the most probable
    regression   the number itself                       above the threshold; none without one

`load_classifier` finds out which it is: from what the caller says, else from what the classifier's
maker says (`foreign.Meaning`), else from what it returns for some images, and then notes the guess.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from cdvae_gan.data.values import positive_class
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.foreign import Foreign, Meaning, Scores, Task, open_foreign
from cdvae_gan.evaluation.judges.judge import Judge, resized
from cdvae_gan.evaluation.judges.load import load_judge
from cdvae_gan.evaluation.judges.store import saves_judge

__all__ = ["Classifier", "ClassifierLike", "Reading", "load_classifier"]

ClassifierLike = str | os.PathLike[str] | Callable[[Tensor], Any] | Judge
"""A path or ``module:function`` as `cdvae_gan.evaluation.foreign` reads them, a callable that
takes float images ``(B, 3, H, W)`` in [−1, 1], or a judge."""

_MOST = 20


class Reading(NamedTuple):
    """What a classifier says of a batch."""

    scores: Tensor
    """float ``(B, L)``: probabilities, or the numbers of a regressor"""
    yes: Tensor | None
    """bool ``(B, L)``; None for a regressor without a threshold"""


@dataclass(frozen=True)
class Classifier:
    """A classifier or regressor with L scores that are looked at.

    Attributes:
        name: What tables call it.
        family: What kind of file or function it is.
        task: What kind of answer it gives.
        names: The L names of the scores looked at.
        image_size: The side in pixels that it takes; None where it takes any.
        notes: What was guessed about it.
    """

    name: str
    family: str
    task: Task
    names: tuple[str, ...]
    image_size: int | None
    notes: tuple[str, ...]
    _outputs: Scores
    _probabilities: bool
    _columns: tuple[int, ...]
    _thresholds: tuple[float, ...] | None

    @torch.no_grad()
    def read(self, images: Tensor) -> Reading:
        """Scores and answers for images uint8 ``(B, 3, H, W)``.

        Raises:
            InputError: It returns numbers that are not finite.
        """
        every = self._scores(images)
        columns = list(self._columns)
        scores = every[:, columns]
        if self._thresholds is not None:
            return Reading(scores, scores > torch.tensor(self._thresholds))
        if self.task == "regression":
            return Reading(scores, None)
        if self.task == "multiclass":
            return Reading(scores, every.argmax(1)[:, None] == torch.tensor(columns))
        return Reading(scores, scores > 0.5)

    def _scores(self, images: Tensor) -> Tensor:
        raw = self._outputs(resized(images, self.image_size)).detach().float().cpu()
        _check_finite(raw, self.name)
        if self.task == "regression" or self._probabilities:
            return raw
        return raw.softmax(1) if self.task == "multiclass" else raw.sigmoid()


def load_classifier(
    source: ClassifierLike,
    probe: Tensor,
    *,
    classes: Sequence[str] | None = None,
    task: Task | None = None,
    outputs: Literal["logits", "probabilities"] | None = None,
    threshold: float | None = None,
    device: str | torch.device = "cpu",
) -> Classifier:
    """Load a classifier of any kind, and find out what it returns.

    Args:
        source: See `ClassifierLike`.
        probe: Some images uint8 ``(B, 3, H, W)``, to see what comes out.
        classes: The scores to look at, by name; by default all, of two classes the positive one.
        task: What kind of answer it gives, where its maker does not say or is wrong.
        outputs: What it returns; likewise.
        threshold: Above it the answer is yes, in units of the score; likewise.
        device: Where networks run.

    Raises:
        InputError: There is no such classifier, it fails on images, it returns something else than
            a row of finite numbers an image, or there is no such class.
    """
    foreign = _opened(source, device)
    said = foreign.meaning
    raw = _tried(foreign, probe)
    width = raw.shape[1]
    task = task or said.task or _guessed_task(said, width)
    if task == "binary" and width != 1:
        raise InputError(
            f"classifier {foreign.name!r} returns {width} numbers an image: a binary one returns 1"
        )
    names = _names(foreign, task, width)
    columns = _looked_at(foreign.name, names, task, classes)
    probabilities, guess = _are_probabilities(raw, task, outputs or said.outputs)
    return Classifier(
        name=foreign.name,
        family=foreign.family,
        task=task,
        names=tuple(names[i] for i in columns),
        image_size=said.image_size,
        notes=(guess,) if guess else (),
        _outputs=foreign.outputs,
        _probabilities=probabilities,
        _columns=columns,
        _thresholds=_thresholds(said, task, probabilities, columns, threshold),
    )


def _opened(source: ClassifierLike, device: str | torch.device) -> Foreign:
    if not isinstance(source, (str, os.PathLike, Judge)):
        return open_foreign(source, device=device)
    if isinstance(source, Judge):
        judge = source
    else:
        path = Path(os.fspath(source)).expanduser()
        if not saves_judge(path):
            return open_foreign(source, device=device)
        judge = load_judge(path, device=device)
    card = judge.card
    meaning = Meaning(judge.attributes, (), "multilabel", "logits", card.thresholds)
    return Foreign(card.name, card.family, meaning, judge.logits)


def _tried(foreign: Foreign, probe: Tensor) -> Tensor:
    try:
        raw = foreign.outputs(resized(probe, foreign.meaning.image_size)).detach().float().cpu()
    except InputError:
        raise
    except Exception as error:  # somebody else's code: anything may happen in it
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"classifier {foreign.name!r} fails on float images {tuple(probe.shape)} in [−1, 1]: "
            f"{reason}"
        ) from error
    if raw.ndim != 2 or len(raw) != len(probe) or not raw.shape[1]:
        raise InputError(
            f"classifier {foreign.name!r} returns an array {tuple(raw.shape)} for {len(probe)} "
            "images: expected a row of numbers for each"
        )
    _check_finite(raw, foreign.name)
    return raw


def _check_finite(raw: Tensor, name: str) -> None:
    if not raw.isfinite().all():
        raise InputError(f"classifier {name!r} returns numbers that are not finite")


def _guessed_task(said: Meaning, width: int) -> Task:
    if said.classes and width > 1:
        return "multiclass"
    if width == 1:
        return "binary"
    return "multilabel" if said.attributes else "multiclass"


def _names(foreign: Foreign, task: Task, width: int) -> tuple[str, ...]:
    names = foreign.meaning.classes or foreign.meaning.attributes
    if not names:
        if width == 1:
            return ("score",)
        return tuple(f"{'class' if task == 'multiclass' else 'output'} {i}" for i in range(width))
    if len(names) != width:
        raise InputError(
            f"classifier {foreign.name!r} returns {width} numbers an image but names {len(names)}: "
            f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        )
    return names


def _looked_at(
    name: str, names: tuple[str, ...], task: Task, classes: Sequence[str] | None
) -> tuple[int, ...]:
    if classes:
        for c in classes:
            if c not in names:
                raise unknown_name(f"class of {name}", c, names)
        return tuple(names.index(c) for c in dict.fromkeys(classes))
    if task == "multiclass" and len(names) == 2:
        return (positive_class(names),)
    if len(names) > _MOST:
        raise InputError(
            f"classifier {name!r} has {len(names)} scores: name up to {_MOST} to look at, "
            f"such as {names[0]!r}"
        )
    return tuple(range(len(names)))


def _are_probabilities(raw: Tensor, task: Task, said: str | None) -> tuple[bool, str]:
    """Whether outputs are probabilities, and a note where that is a guess."""
    if task == "regression":
        return False, ""
    if said is not None:
        return said == "probabilities", ""
    inside = bool(((raw >= 0) & (raw <= 1)).all())
    if task == "multiclass":
        inside = inside and bool(((raw.sum(1) - 1).abs() < 1e-3).all())
    kind, other = ("probabilities", "logits") if inside else ("logits", "probabilities")
    return inside, f"its outputs were taken for {kind}, by their range; they could be {other}"


def _thresholds(
    said: Meaning, task: Task, probabilities: bool, columns: tuple[int, ...], given: float | None
) -> tuple[float, ...] | None:
    """In units of the scores; None for the task's own rule."""
    if given is not None:
        return (given,) * len(columns)
    if not said.thresholds:
        return None
    try:
        own = torch.tensor([said.thresholds[i] for i in columns])
    except IndexError:
        raise InputError(
            f"the classifier has thresholds for {len(said.thresholds)} of its outputs: one each"
        ) from None
    if task == "regression" or probabilities or task == "multiclass":
        return tuple(own.tolist())
    return tuple(own.sigmoid().tolist())
