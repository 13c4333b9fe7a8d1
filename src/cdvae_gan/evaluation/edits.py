"""What is evaluated: anything that turns an image into the one with an attribute set otherwise.

An *editor* is a function ``editor(x, attribute, target, strength)`` of images float ``(B, 3, H,
W)`` in [−1, 1], the name of an attribute, its new value for each image ``(B,)`` in {0, 1}, and how
far to go in [0, 1]. It knows no labels. `ModelEditor` makes one of a CDVAE-GAN.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from cdvae_gan.counterfactual import Abduction, abduct, act, predict
from cdvae_gan.errors import unknown_name
from cdvae_gan.model import CDVAEGAN

__all__ = ["Editor", "ModelEditor"]


class Editor(Protocol):
    """Sets one attribute of images, or none."""

    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        """Counterfactuals ``(B, 3, H, W)`` in [−1, 1]; ``attribute`` None is do(nothing)."""


class ModelEditor:
    """A CDVAE-GAN as an editor. It remembers the latents of the images it saw last.

    Args:
        model: The model.
        detail: κ; None for the model's own default.
    """

    def __init__(self, model: CDVAEGAN, detail: float | None = None) -> None:
        self.model = model
        self.detail = model.config.detail if detail is None else detail
        self._seen: tuple[Tensor, Abduction] | None = None

    @torch.no_grad()
    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        model = self.model
        found = self._abduction(x)
        if attribute is None or target is None:
            return predict(model, x, found, found.a, self.detail)[0]
        if attribute not in model.attributes:
            raise unknown_name("attribute", attribute, model.attributes)
        on, off = (
            act(found.a, {attribute: value}, model.attributes, model.config.exclusive, strength).a
            for value in (1.0, 0.0)
        )
        a = torch.where(target[:, None] > 0.5, on, off)
        return predict(model, x, found, a, self.detail)[0]

    def _abduction(self, x: Tensor) -> Abduction:
        if self._seen is None or self._seen[0] is not x:
            self._seen = (x, abduct(self.model, x))
        return self._seen[1]
