"""The audit: does a classifier's answer change when one attribute of the image changes?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cdvae_gan import __version__
from cdvae_gan.action import entailed
from cdvae_gan.auditing.effects import interventions as effects_of
from cdvae_gan.auditing.measure import Plan, measure
from cdvae_gan.auditing.placebo import as_seen
from cdvae_gan.auditing.result import Audit, Pixels
from cdvae_gan.counterfactual import ImageLike, as_batch
from cdvae_gan.data.cache import digest
from cdvae_gan.data.dataset import AttributeDataset, ImageRows
from cdvae_gan.data.open import open_images
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.bootstrap import RESAMPLES
from cdvae_gan.evaluation.classifiers import Classifier, ClassifierLike, load_classifier
from cdvae_gan.evaluation.edits import Editor, ModelEditor, ModelLike, editor_on
from cdvae_gan.evaluation.foreign import Task
from cdvae_gan.evaluation.judges import Judge, load_judge, standard_judges
from cdvae_gan.evaluation.splits import chosen_part
from cdvae_gan.images import to_float, to_uint8

__all__ = ["LIMIT", "STRENGTHS", "audit"]

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
LIMIT = 500
_PROBE = 64


def audit(
    classifier: ClassifierLike,
    images: str | os.PathLike[str] | AttributeDataset | Sequence[ImageLike] | Tensor,
    *,
    model: ModelLike = "celeba64",
    interventions: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    groups: Sequence[str] = (),
    judges: Sequence[str | os.PathLike[str] | Judge] | None = None,
    unrelated: str | None = None,
    strengths: Sequence[float] = STRENGTHS,
    task: Task | None = None,
    outputs: Literal["logits", "probabilities"] | None = None,
    threshold: float | None = None,
    split: str | None = None,
    limit: int | None = LIMIT,
    skip_bad: bool = False,
    shown: int = 6,
    batch_size: int = 64,
    resamples: int = RESAMPLES,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Set attributes of images to what they are not, one by one, and see what a classifier says.

    Args:
        classifier: A path, ``module:function`` or callable; see
            `cdvae_gan.evaluation.foreign` and `cdvae_gan.evaluation.classifiers`.
        images: A data set, its path or name, a folder of images, pictures, or a float tensor
            ``(N, 3, H, W)`` in [−1, 1] of the model's size. Labels are used where there are any.
        model: What makes the counterfactuals: a model, its path or name, any editor (see
            `cdvae_gan.evaluation.edits`), or ``"truth"`` for avatars.
        interventions: Attributes to set; by default all of the model.
        classes: Scores of the classifier to look at; by default all, of two classes the positive
            one.
        groups: Attributes by whose values, crossed, figures are given apart.
        judges: Ours, which say whether the edits succeeded; each is believed on what it reads off
            these very images, where they are labelled. Without any, no conclusion can say so. None
            for the shipped ones, where they know the interventions.
        unrelated: The attribute of the second placebo; by default, for each intervention, the one
            least correlated with it and with the scores.
        strengths: Of the dose-response curve; 1 is always there.
        task: What kind of answer the classifier gives, where its maker does not say.
        outputs: What it returns, likewise.
        threshold: Above it its answer is yes, in units of the score, likewise.
        split: Of the data set: a split, ``report`` or ``tune`` (the halves of the validation
            split), or ``all``. By default the validation split of a labelled data set opened here,
            since a model may have seen the training split; else all.
        limit: Images at most, drawn at random; None for all.
        skip_bad: Leave out images that cannot be read instead of failing.
        shown: Pairs of images kept for each effect.
        batch_size: Images at a time.
        resamples: Of the bootstrap.
        seed: Of the images drawn, the noise, the bootstrap and the tests.
        device: Where networks run.
        progress: Called with the images edited so far and their number in all.

    Raises:
        InputError: Something of this cannot be used; the message says what.
    """
    names = [float(s) for s in strengths]
    if not all(0 < s <= 1 for s in names):
        raise InputError(f"strengths must lie in (0, 1], not {', '.join(map(str, strengths))}")
    editor, data = _opened(model, images, device, skip_bad)
    labelled = bool(data.attributes)
    whole = isinstance(images, (str, os.PathLike)) and split is None and labelled
    part = "validation" if whole else split or "all"
    data = _chosen(data, part, limit, seed)
    asked = _asked(editor, interventions)
    if unrelated is not None and unrelated in (interventions or ()):
        raise InputError(f"{unrelated} cannot be its own placebo: name an unrelated attribute")
    if judges is None:
        judges = standard_judges(asked, device=device)
    found_judges = [j if isinstance(j, Judge) else load_judge(j, device=device) for j in judges]
    tested = load_classifier(
        classifier,
        data.batch(np.arange(min(_PROBE, len(data)))).images,
        classes=classes,
        task=task,
        outputs=outputs,
        threshold=threshold,
        device=device,
    )
    plan = Plan(
        interventions=asked,
        groups=tuple(dict.fromkeys(groups)),
        strengths=tuple(sorted({*names, 1.0})),
        unrelated=_editable(editor, unrelated),
        batch_size=batch_size,
        seed=seed,
    )
    total, done = len(data) * (1 + len(plan.interventions)), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    measured = measure(tested, editor, data, found_judges, plan, advance)

    def draw(attribute: str, rows: list[int]) -> list[tuple[Pixels, Pixels]]:
        present = measured.edited[attribute].present[rows]
        return _drawn(editor, data, attribute, rows, present)

    return Audit(
        classifier=_described(tested),
        settings={
            "model": _name(model),
            "data": data.name,
            "images": len(data),
            "fingerprint": data.fingerprint,
            "image_size": data.image_size,
            "split": part,
            "judges": {j.name: j.digest for j in found_judges},
            "groups": list(plan.groups),
            "strengths": list(plan.strengths),
            "resamples": resamples,
            "seed": seed,
            "version": __version__,
        },
        interventions=effects_of(
            measured, plan.groups, draw, shown=shown, resamples=resamples, seed=seed
        ),
        notes=(*_notes(tested, data), *_entailed(editor, asked)),
        files=data.files,
        factual=measured.factual,
        counterfactual={name: e.scores[1.0] for name, e in measured.edited.items()},
    )


def _opened(
    model: ModelLike, images: Any, device: str | torch.device, skip_bad: bool
) -> tuple[Editor, AttributeDataset]:
    if isinstance(images, AttributeDataset):
        return editor_on(model, images, device)
    if isinstance(images, (str, os.PathLike)):
        return editor_on(
            model, lambda size: open_images(images, size=size, skip_bad=skip_bad), device
        )
    if isinstance(images, Tensor) and images.ndim == 4:
        return editor_on(model, _data_of(*as_batch(images, images.shape[-1])), device)
    return editor_on(model, lambda size: _data_of(*as_batch(images, size)), device)


def _data_of(x: Tensor, names: tuple[str, ...]) -> AttributeDataset:
    """Images float ``(N, 3, H, W)`` as a data set that knows nothing of them."""
    pixels = to_uint8(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return AttributeDataset(
        name="images",
        attributes=(),
        images=ImageRows(pixels, np.arange(len(pixels))),
        labels=np.empty((len(pixels), 0), dtype=np.int8),
        splits=np.full(len(pixels), "test"),
        files=names or tuple(f"image {i}" for i in range(len(pixels))),
        content=digest((pixels.tobytes(),)),
    )


def _chosen(data: AttributeDataset, part: str, limit: int | None, seed: int) -> AttributeDataset:
    if limit is not None and limit < 1:
        raise InputError(f"the number of images must be at least 1, not {limit}")
    if part != "all":
        return chosen_part(data, part, limit=limit, seed=seed)[0]
    if limit is None or limit >= len(data):
        return data
    chosen = np.random.default_rng(seed).choice(len(data), limit, replace=False)
    return data.take(np.sort(chosen))


def _asked(editor: Editor, interventions: Sequence[str] | None) -> tuple[str, ...]:
    known: tuple[str, ...] = tuple(getattr(editor, "attributes", ()))
    names = known if interventions is None else tuple(dict.fromkeys(interventions))
    if not names:
        raise InputError("which interventions? This editor does not say what it can set")
    for name in names:
        _editable(editor, name)
    return names


def _editable(editor: Editor, name: str | None) -> str | None:
    known: tuple[str, ...] = tuple(getattr(editor, "attributes", ()))
    if name is not None and known and name not in known:
        raise unknown_name("attribute of the model", name, known)
    return name


def _drawn(
    editor: Editor, data: AttributeDataset, attribute: str, rows: list[int], present: Any
) -> list[tuple[Pixels, Pixels]]:
    x = to_float(data.batch(rows).images).contiguous(memory_format=torch.channels_last)
    target = torch.from_numpy((np.asarray(present) == 0).astype(np.int64))
    pictures = [
        to_uint8(images).permute(0, 2, 3, 1).contiguous().numpy()
        for images in (x, as_seen(editor(x, attribute, target)))
    ]
    return list(zip(*pictures, strict=True))


def _described(tested: Classifier) -> dict[str, Any]:
    return {
        "name": tested.name,
        "family": tested.family,
        "task": tested.task,
        "scores": list(tested.names),
        "image_size": tested.image_size,
        "guessed": list(tested.notes),
    }


def _notes(tested: Classifier, data: AttributeDataset) -> tuple[str, ...]:
    notes = [
        "Every conclusion is about these images, and attributes as this editor draws them.",
        *(f"Of the classifier, {note}." for note in tested.notes),
    ]
    if tested.image_size is not None and tested.image_size > data.image_size:
        notes.append(
            f"The classifier takes images of {tested.image_size} pixels; the edits have "
            f"{data.image_size} and were enlarged, so it may read them otherwise than sharp photos."
        )
    return tuple(notes)


def _entailed(editor: Editor, asked: Sequence[str]) -> list[str]:
    """What changes with the attributes that are intervened on."""
    if not isinstance(editor, ModelEditor):
        return []
    return [said for name in asked for said in entailed(name, editor.model.config)]


def _name(model: ModelLike) -> str:
    return os.fspath(model) if isinstance(model, (str, os.PathLike)) else type(model).__name__
