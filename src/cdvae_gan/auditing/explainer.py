"""Counterfactual explanations of a classifier's answer, in the way of alibi and DiCE.

Asked why a classifier says what it says of an image, the explainer answers with the nearest image
of which it says something else: of all attributes and strengths s whose flip turns the answer,
those with the least mean |x′ − x|, one for each attribute (Wachter et al. 2017, with Pearl's
counterfactuals as the candidates).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.auditing.placebo import as_seen
from cdvae_gan.counterfactual import ImageLike, as_batch
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.classifiers import Classifier, ClassifierLike, load_classifier
from cdvae_gan.evaluation.edits import ModelEditor
from cdvae_gan.evaluation.foreign import Task
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.model import CDVAEGAN, load

__all__ = ["CounterfactualExplainer", "Explanation", "Found"]

_PROBED = 64
_STRENGTHS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Found:
    """One counterfactual of one image."""

    attribute: str
    value: int
    """What the attribute was set to"""
    strength: float
    image: npt.NDArray[np.uint8]
    """uint8 ``(H, W, 3)``"""
    score: float
    """Of the classifier, for the score that was explained"""
    distance: float
    """mean |x′ − x| in grey levels of 255"""


@dataclass(frozen=True, repr=False)
class Explanation:
    """What came out for a batch of images; ``explanation[i]`` is that of one.

    For a single image ``orig_class``, ``orig_proba``, ``cf`` and ``all`` are laid out as in alibi's
    explanations, and ``cfs_list`` as in DiCE's.
    """

    images: npt.NDArray[np.uint8]
    """uint8 ``(B, H, W, 3)``, at the model's resolution"""
    answers: npt.NDArray[np.bool_]
    """``(B,)``: what the classifier said"""
    scores: npt.NDArray[np.float64]
    """``(B,)``"""
    found: tuple[tuple[Found, ...], ...]
    """For each image its counterfactuals, the nearest first; empty where none turned the answer"""
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        turned = sum(bool(row) for row in self.found)
        return f"<Explanation of {len(self)} images, of which {turned} have counterfactuals>"

    def __getitem__(self, i: int) -> Explanation:
        rows = slice(i, i + 1) if i >= 0 else slice(len(self) + i, len(self) + i + 1)
        if not len(self.images[rows]):
            raise IndexError(i)
        return Explanation(
            self.images[rows], self.answers[rows], self.scores[rows], self.found[rows], self.meta
        )

    @property
    def orig_class(self) -> int:
        """1 for yes and 0 for no."""
        return int(self._only.answers[0])

    @property
    def orig_proba(self) -> float:
        """The score of the image as it is."""
        return float(self._only.scores[0])

    @property
    def cf(self) -> dict[str, Any] | None:
        """The nearest counterfactual: ``X`` uint8 ``(1, H, W, 3)``, ``class``, ``proba`` and more.

        None where no edit turned the answer.
        """
        return self.all[0] if self.all else None

    @property
    def all(self) -> list[dict[str, Any]]:
        """All of them, the nearest first."""
        only = self._only
        return [
            {
                "X": one.image[None],
                "class": 1 - only.orig_class,
                "proba": one.score,
                "attribute": one.attribute,
                "value": one.value,
                "strength": one.strength,
                "distance": one.distance,
            }
            for one in only.found[0]
        ]

    @property
    def cfs_list(self) -> list[list[Found]]:
        """For each image its counterfactuals."""
        return [list(row) for row in self.found]

    @property
    def _only(self) -> Explanation:
        if len(self) != 1:
            raise InputError(f"an explanation of {len(self)} images: take one, explanation[0]")
        return self


class CounterfactualExplainer:
    """Explains a classifier's answers by the nearest counterfactual that turns them.

    Args:
        classifier: A path, ``module:function`` or callable, as `cdvae_gan.audit` takes it.
        model: A model, its path or its name.
        attributes: That may be changed; by default all of the model.
        score: Of a classifier with several, the one to explain; by default the only one.
        strengths: That are tried.
        task: See `cdvae_gan.audit`.
        outputs: See `cdvae_gan.audit`.
        threshold: See `cdvae_gan.audit`; a regressor needs one.
        device: Where networks run.

    Example:
        >>> explainer = CounterfactualExplainer("clf.onnx", model="celeba64")
        >>> explanation = explainer.explain("face.jpg")
        >>> explanation.cf["attribute"], explanation.cf["proba"]
        ('Eyeglasses', 0.81)
    """

    def __init__(
        self,
        classifier: ClassifierLike,
        model: str | Path | CDVAEGAN = "celeba64",
        *,
        attributes: Sequence[str] | None = None,
        score: str | None = None,
        strengths: Sequence[float] = _STRENGTHS,
        task: Task | None = None,
        outputs: Literal["logits", "probabilities"] | None = None,
        threshold: float | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.model = load(model, device=device) if isinstance(model, str | Path) else model
        self.attributes = tuple(attributes or self.model.attributes)
        for name in self.attributes:
            if name not in self.model.attributes:
                raise unknown_name("attribute of the model", name, self.model.attributes)
        self.strengths = tuple(sorted(strengths))
        self._classifier = classifier
        self._options: dict[str, Any] = {
            "classes": None if score is None else [score],
            "task": task,
            "outputs": outputs,
            "threshold": threshold,
            "device": device,
        }
        self._loaded: Classifier | None = None

    def explain(
        self, x: ImageLike | Sequence[ImageLike] | Tensor | npt.NDArray[Any]
    ) -> Explanation:
        """Explain what the classifier says of images.

        Args:
            x: Pictures, paths, a float tensor ``(B, 3, H, W)`` in [−1, 1], or an array uint8
                ``(B, H, W, 3)``, of the model's size where it is no picture.

        Raises:
            InputError: An image of another size, a classifier without answers, or one with several
                scores of which none was chosen.
        """
        batch = self._batch(x)
        images = to_uint8(batch)
        classifier = self._read_by(images)
        scores, yes = classifier.read(images)
        assert yes is not None
        found: list[list[Found]] = [[] for _ in batch]
        editor = ModelEditor(self.model)
        present = editor.read(batch)
        for name in self.attributes:
            target = (~present[:, self.model.attributes.index(name)]).long()
            for i, one in self._turned(batch, editor, name, target, yes[:, 0], classifier):
                found[i].append(one)
        return Explanation(
            images=images.permute(0, 2, 3, 1).contiguous().numpy(),
            answers=yes[:, 0].numpy(),
            scores=scores[:, 0].double().numpy(),
            found=tuple(tuple(sorted(row, key=lambda one: one.distance)) for row in found),
            meta={
                "name": type(self).__name__,
                "type": ["blackbox"],
                "explanations": ["local"],
                "score": classifier.names[0],
                "attributes": list(self.attributes),
                "strengths": list(self.strengths),
                "notes": list(classifier.notes),
            },
        )

    def generate_counterfactuals(
        self, query_instances: Any, total_CFs: int = 1
    ) -> list[list[Found]]:  # DiCE's own spelling
        """For each image the nearest counterfactuals, as DiCE's method of this name is called."""
        return [row[:total_CFs] for row in self.explain(query_instances).cfs_list]

    def _turned(
        self,
        x: Tensor,
        editor: ModelEditor,
        name: str,
        target: Tensor,
        yes: Tensor,
        classifier: Classifier,
    ) -> list[tuple[int, Found]]:
        """Of each image the weakest edit of one attribute that turns the answer."""
        result: dict[int, Found] = {}
        for strength in self.strengths:
            drawn = as_seen(editor(x, name, target, strength))
            scores, answers = classifier.read(to_uint8(drawn))
            assert answers is not None
            distance = 127.5 * (drawn - x).abs().mean(dim=(1, 2, 3))
            pictures = to_uint8(drawn).permute(0, 2, 3, 1).contiguous().numpy()
            for i in torch.nonzero(answers[:, 0] != yes)[:, 0].tolist():
                if i not in result:
                    result[i] = Found(
                        attribute=name,
                        value=int(target[i]),
                        strength=strength,
                        image=pictures[i],
                        score=float(scores[i, 0]),
                        distance=float(distance[i]),
                    )
        return list(result.items())

    def _read_by(self, images: Tensor) -> Classifier:
        if self._loaded is None:
            # A few images say too little of the range of what comes out.
            drawn = to_uint8(as_seen(self.model.sample(_PROBED, seed=0).images)).to(images.device)
            probe = torch.cat([images, drawn])
            loaded = load_classifier(self._classifier, probe, **self._options)
            if len(loaded.names) != 1:
                raise InputError(
                    f"classifier {loaded.name!r} has several scores, "
                    f"{', '.join(loaded.names)}: say which to explain, score="
                )
            if loaded.read(images[:1]).yes is None:
                raise InputError(
                    f"{loaded.name!r} is a regressor, which has no answer to turn: give a threshold"
                )
            self._loaded = loaded
        return self._loaded

    def _batch(self, x: Any) -> Tensor:
        if isinstance(x, np.ndarray):
            size = self.model.image_size
            if x.dtype != np.uint8 or x.ndim != 4 or x.shape[1:] != (size, size, 3):
                raise InputError(
                    f"an array of images must be uint8 (B, {size}, {size}, 3), not {x.dtype} "
                    f"{x.shape}"
                )
            return to_float(torch.from_numpy(x).permute(0, 3, 1, 2))
        return as_seen(as_batch(x, self.model.image_size)[0])
