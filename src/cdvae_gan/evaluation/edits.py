"""What is evaluated: anything that turns an image into the one with an attribute set otherwise.

An *editor* is a function ``editor(x, attribute, target, strength)`` of images float ``(B, 3, H,
W)`` in [−1, 1], the name of an attribute, its new value for each image ``(B,)`` in {0, 1}, and how
far to go in [0, 1]. It knows no labels. `ModelEditor` makes one of a CDVAE-GAN, `TruthEditor` one
of drawn pictures. An editor may have ``attributes``, the names that it can set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdvae_gan.action import LEAVE
from cdvae_gan.counterfactual import (
    Abduction,
    abduct,
    abduct_for,
    act_by_code,
    predict,
    rules_of,
)
from cdvae_gan.data.cache import digest
from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.model import CDVAEGAN, load

__all__ = [
    "TRUTH",
    "Editor",
    "ModelEditor",
    "ModelLike",
    "TruthEditor",
    "as_pictures",
    "editor_on",
    "setting",
]

TRUTH = "truth"
"""In place of a model: draw the true counterfactuals, of avatars."""

_REMEMBERED = 2  # the photos, and what was just made of them, which may have to be undone
_DRAWN = 4096  # true counterfactuals
_SIZE = 64  # of images, where an editor takes any


class Editor(Protocol):
    """Sets one attribute of images, or none."""

    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        """Counterfactuals ``(B, 3, H, W)`` in [−1, 1]; ``attribute`` None is do(nothing)."""


def setting(attribute: str, target: Tensor, attributes: Sequence[str]) -> Tensor:
    """The intervention that asks each image for a value of its own, see :mod:`cdvae_gan.action`.

    Args:
        attribute: Which to set.
        target: ``(B,)`` in {0, 1}: its new values.
        attributes: The K names.

    Returns:
        Codes, ``(B, K)``.

    Raises:
        InputError: For an unknown name.
    """
    if attribute not in attributes:
        raise unknown_name("attribute", attribute, attributes)
    code = torch.full((len(target), len(attributes)), LEAVE, device=target.device)
    code[:, attributes.index(attribute)] = target.float()
    return code


ModelLike = str | os.PathLike[str] | CDVAEGAN | Editor
"""A model, its path or its name, any editor, or `TRUTH`."""


def editor_on(
    model: ModelLike,
    data: AttributeDataset | Callable[[int], AttributeDataset],
    device: str | torch.device = "cpu",
) -> tuple[Editor, AttributeDataset]:
    """An editor, and images of the size that it takes.

    Args:
        model: See `ModelLike`.
        data: Images, or a function that opens them at a size in pixels.
        device: Where a model runs that is loaded here.

    Raises:
        InputError: There is no such model, it is for images of another size, or the truth is not
            known.
    """
    given = os.fspath(model) if isinstance(model, (str, os.PathLike)) else model
    loaded = load(given, device=device) if isinstance(given, str) and given != TRUTH else given
    size = loaded.image_size if isinstance(loaded, CDVAEGAN) else _SIZE
    opened = data if isinstance(data, AttributeDataset) else data(size)
    if isinstance(loaded, CDVAEGAN):
        if opened.image_size != size:
            raise InputError(
                f"the model is for images of {size} pixels, {opened.name} has been opened at "
                f"{opened.image_size}"
            )
        return ModelEditor(loaded), opened
    return (TruthEditor(opened) if isinstance(loaded, str) else loaded), opened


class ModelEditor:
    """A CDVAE-GAN as an editor. It remembers the latents of the images it saw last.

    Args:
        model: The model, on any device; answers come back where the images are.
        detail: κ; None for the model's own default.
    """

    def __init__(self, model: CDVAEGAN, detail: float | None = None) -> None:
        self.model = model
        self.detail = model.config.detail if detail is None else detail
        self._rules = rules_of(model.config, model.prior.device)
        self._seen: list[tuple[Tensor, Tensor, Abduction]] = []

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names that it can set."""
        return self.model.attributes

    @torch.no_grad()
    def read(self, x: Tensor) -> Tensor:
        """What the model takes to be there: bool ``(B, K)``."""
        return (self.abduction(x).a > 0.5).to(x.device)

    @torch.no_grad()
    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        model = self.model
        moved, found = self._abducted(x)
        a, code = found.a, torch.full_like(found.a, LEAVE)
        if attribute is not None and target is not None:
            code = setting(attribute, target.to(a.device), model.attributes)
            found = abduct_for(model, found, code)
            a = act_by_code(found.a, found.probabilities, code, self._rules, strength)
        return predict(model, moved, found, a, code, self.detail)[0].to(x.device)

    def abduction(self, x: Tensor) -> Abduction:
        """What the model infers of images ``(B, 3, H, W)`` in [−1, 1], on its own device."""
        return self._abducted(x)[1]

    @torch.no_grad()
    def _abducted(self, x: Tensor) -> tuple[Tensor, Abduction]:
        known = next((entry for entry in self._seen if entry[0] is x), None)
        if known is None:
            device = next(self.model.parameters()).device
            # Another layout may be rounded otherwise: who asks must not decide the answer.
            moved = x.to(device, memory_format=torch.channels_last)
            known = (x, moved, abduct(self.model, moved))
        # The photos are asked for again and again, so they are never the ones that are forgotten.
        others = [entry for entry in self._seen if entry is not known]
        self._seen = [known, *others][:_REMEMBERED]
        return known[1], known[2]


class TruthEditor:
    """The editor without error: it draws the true counterfactuals of drawn pictures.

    It knows a picture by its pixels, so it edits those of its data set and no others. With a
    strength below 1 it mixes the picture and the true counterfactual.

    Args:
        dataset: Drawn pictures, with all their attributes known.

    Raises:
        InputError: The data set has no true counterfactuals.
    """

    def __init__(self, dataset: AttributeDataset) -> None:
        if dataset.truth is None:
            raise InputError(f"{dataset.name} has no true counterfactuals: avatars have")
        self.dataset = dataset
        self._truth = dataset.truth
        images = dataset.images
        self._row = {digest((images[i].tobytes(),)): i for i in range(len(dataset))}
        # An edit is asked for again and again: at several strengths, by several audits.
        self._draw = lru_cache(_DRAWN)(self._drawn)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names that it can set."""
        return self.dataset.attributes

    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        if attribute is None or target is None:
            return x
        if attribute not in self.attributes:
            raise unknown_name("attribute", attribute, self.attributes)
        pictures = to_uint8(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        rows = [self._row.get(digest((p.tobytes(),))) for p in pictures]
        if None in rows:
            raise InputError(f"an image is none of {self.dataset.name}: its truth is not known")
        drawn = [self._draw(r, attribute, int(v)) for r, v in zip(rows, target, strict=True)]
        truth = to_float(torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)).to(x.device)
        return truth if strength == 1 else torch.lerp(x, truth, strength)

    def _drawn(self, row: int | None, attribute: str, value: int) -> npt.NDArray[np.uint8]:
        assert row is not None
        return self._truth(row, {attribute: value})


def as_pictures(editor: Editor) -> Editor:
    """The same editor, whose answers have the 256 levels of a picture that is saved."""

    def edit(
        x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        return to_float(to_uint8(editor(x, attribute, target, strength)))

    return edit
