"""A judge: an independent classifier that reads attributes off images, and its card.

A judge sees what a user sees, uint8 pixels, so nothing hidden below one grey level can please it.
Its scores become calibrated log odds by a scale and an offset for each attribute, and an answer by
a threshold on them, both found on the tune half of the validation split:

    logits = scale · scores(x) + offset        yes  ⇔  logits > threshold
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.evaluation.foreign import Scores

__all__ = ["TRUSTED_ABOVE", "Card", "Judge", "Quality", "Report", "Scores", "State"]

TRUSTED_ABOVE = 0.8
"""The balanced accuracy up to which an attribute of a judge is not trusted."""

State = dict[str, Tensor]
"""All that a trained judge has learned, as named arrays."""

Report = Callable[[str], None]
"""Called with a line of progress now and then."""

_BATCH = 256


@dataclass(frozen=True)
class Quality:
    """How well a judge reads one attribute of real images that it never saw."""

    balanced_accuracy: float | None
    low: float | None
    high: float | None
    n: int
    positives: int
    calibration_error: float | None = None

    @classmethod
    def of(cls, accuracy: Estimate, positives: int, calibration_error: float) -> Quality:
        """From an estimate; what is not known becomes None."""
        known = accuracy.to_dict()
        error = calibration_error if np.isfinite(calibration_error) else None
        return cls(known["value"], known["low"], known["high"], accuracy.n, positives, error)

    @property
    def trusted(self) -> bool:
        """Whether the balanced accuracy is known and above `TRUSTED_ABOVE`."""
        return self.balanced_accuracy is not None and self.balanced_accuracy > TRUSTED_ABOVE


@dataclass(frozen=True)
class Card:
    """What there is to know of a judge besides its weights.

    Attributes:
        name: What tables call it.
        family: What kind of classifier it is.
        attributes: The K names.
        image_size: The side in pixels to which images are brought before it sees them; None where
            it takes any.
        scales: K numbers, 1 by default.
        offsets: K numbers, 0 by default.
        thresholds: K numbers, 0 by default.
        quality: K figures from the report half; empty where nobody has measured.
        seed: Of its training.
        data: Name of the data set it was trained on.
        fingerprint: Of the images of it that were used.
        notes: What a reader must know, such as what it shares with the model.
        training: Settings, times and versions.
    """

    name: str
    family: str
    attributes: tuple[str, ...]
    image_size: int | None = None
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    quality: tuple[Quality, ...] = ()
    seed: int | None = None
    data: str = ""
    fingerprint: str = ""
    notes: str = ""
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        k = len(self.attributes)
        if not k or len(set(self.attributes)) != k:
            raise InputError(f"judge {self.name!r} needs at least one attribute, and no name twice")
        for what in ("scales", "offsets", "thresholds", "quality"):
            if len(getattr(self, what)) not in (0, k):
                raise InputError(f"judge {self.name!r}: {what} must have {k} entries, one each")

    @property
    def trusted(self) -> tuple[bool, ...]:
        """K answers: may this judge be believed? True also where nobody has measured it yet."""
        if not self.quality:
            return (True,) * len(self.attributes)
        return tuple(q.trusted for q in self.quality)

    def to_json(self) -> str:
        """As text; :meth:`from_json` reads it back."""
        return json.dumps({"card": "cdvae-gan judge", **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "the card") -> Card:
        """Read a card.

        Raises:
            InputError: For text that is not a judge's card; ``where`` names it.
        """
        try:
            values = json.loads(text)
            if values.pop("card") != "cdvae-gan judge":
                raise KeyError
            unknown = set(values) - {f.name for f in fields(cls)}
            if unknown:
                raise InputError(
                    f"{where} has fields this version does not know: {sorted(unknown)}"
                )
            values["quality"] = tuple(Quality(**q) for q in values.get("quality", ()))
            for name in ("attributes", "scales", "offsets", "thresholds"):
                values[name] = tuple(values.get(name, ()))
            return cls(**values)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise InputError(f"{where} is not the card of a judge") from None


@dataclass(frozen=True)
class Judge:
    """A classifier of attributes with its card.

    Example:
        >>> judge = load_judge("judges/cnn")
        >>> judge.read(images)  # uint8 (B, 3, H, W) -> bool (B, K)
    """

    card: Card
    scores: Scores
    digest: str = ""
    """A hash of the file of its weights, where it has one"""

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def attributes(self) -> tuple[str, ...]:
        return self.card.attributes

    @torch.no_grad()
    def raw_scores(self, images: Tensor) -> Tensor:
        """The classifier's own scores of images uint8 ``(B, 3, H, W)``: float ``(B, K)``."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise InputError(
                f"a judge takes uint8 images of shape (B, 3, H, W), not {images.dtype} of shape "
                f"{tuple(images.shape)}: cdvae_gan.images.to_uint8 makes them so"
            )
        k = len(self.attributes)
        parts = [
            self.scores(resized(chunk, self.card.image_size)).detach().float().cpu()
            for chunk in images.split(_BATCH)
        ]
        scores = torch.cat(parts) if parts else torch.zeros(0, k)
        if tuple(scores.shape) != (len(images), k):
            raise InputError(
                f"judge {self.name!r} returned scores of shape {tuple(scores.shape)}: expected "
                f"({len(images)}, {k}), one for each image and attribute"
            )
        return scores

    def logits(self, images: Tensor) -> Tensor:
        """Calibrated log odds ``(B, K)`` of images uint8 ``(B, 3, H, W)``."""
        return calibrated(self.raw_scores(images), self.card)

    def read(self, images: Tensor) -> Tensor:
        """Its answers, bool ``(B, K)``, on images uint8 ``(B, 3, H, W)``."""
        return self.answers(self.logits(images))

    def answers(self, logits: Tensor) -> Tensor:
        """From calibrated log odds to answers, bool ``(B, K)``."""
        return logits > _row(self.card.thresholds, 0.0, logits)

    def select(self, attributes: Sequence[str]) -> Judge:
        """The same judge on these of its attributes, in this order.

        Raises:
            InputError: For an attribute that the judge does not know.
        """
        for name in attributes:
            if name not in self.attributes:
                raise unknown_name(f"attribute of judge {self.name}", name, self.attributes)
        columns = [self.attributes.index(name) for name in attributes]
        kept: dict[str, Any] = {
            what: tuple(values[i] for i in columns) if (values := getattr(self.card, what)) else ()
            for what in ("attributes", "scales", "offsets", "thresholds", "quality")
        }
        whole = self.scores
        card = replace(self.card, **kept)
        return replace(self, card=card, scores=lambda images: whole(images)[:, columns])


def calibrated(scores: Tensor, card: Card) -> Tensor:
    """Scores ``(B, K)`` as log odds, by the scales and offsets of a card."""
    return scores * _row(card.scales, 1.0, scores) + _row(card.offsets, 0.0, scores)


def resized(images: Tensor, size: int | None) -> Tensor:
    """Images uint8 ``(B, 3, H, W)`` brought to ``size`` pixels, or as they are for None."""
    if size is None or tuple(images.shape[2:]) == (size, size):
        return images
    x = F.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)
    return x.round().clamp(0, 255).to(torch.uint8)


def _row(values: tuple[float, ...], default: float, like: Tensor) -> Tensor:
    return torch.tensor(values or (default,) * like.shape[1], dtype=like.dtype)
