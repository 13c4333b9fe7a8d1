"""What is evaluated: anything that turns an image into the one with an attribute set otherwise.

An *editor* is a function ``editor(x, attribute, target, strength)`` of images float ``(B, 3, H,
W)`` in [−1, 1], the name of an attribute, its new value for each image ``(B,)`` in {0, 1}, and how
far to go in [0, 1]. It knows no labels. `ModelEditor` makes one of a CDVAE-GAN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from cdvae_gan.counterfactual import Abduction, abduct, act, predict
from cdvae_gan.errors import unknown_name
from cdvae_gan.model import CDVAEGAN

__all__ = ["Editor", "ModelEditor", "set_attribute"]


class Editor(Protocol):
    """Sets one attribute of images, or none."""

    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        """Counterfactuals ``(B, 3, H, W)`` in [−1, 1]; ``attribute`` None is do(nothing)."""


def set_attribute(
    a: Tensor,
    attribute: str,
    target: Tensor,
    attributes: Sequence[str],
    exclusive: Sequence[Sequence[str]] = (),
    strength: float = 1.0,
) -> Tensor:
    """a′ ``(B, K)``, where each image is asked for a value of its own.

    Args:
        a: ``(B, K)`` in {0, 1}: what is there.
        attribute: Which to set.
        target: ``(B,)`` in {0, 1}: its new values.
        attributes: The K names.
        exclusive: As in :func:`cdvae_gan.counterfactual.act`.
        strength: How far to go, in [0, 1].

    Raises:
        InputError: For an unknown name.
    """
    if attribute not in attributes:
        raise unknown_name("attribute", attribute, attributes)
    on, off = (act(a, {attribute: v}, attributes, exclusive, strength).a for v in (1.0, 0.0))
    return torch.where(target[:, None] > 0.5, on, off)


class ModelEditor:
    """A CDVAE-GAN as an editor. It remembers the latents of the images it saw last.

    Args:
        model: The model, on any device; answers come back where the images are.
        detail: κ; None for the model's own default.
    """

    def __init__(self, model: CDVAEGAN, detail: float | None = None) -> None:
        self.model = model
        self.detail = model.config.detail if detail is None else detail
        self._seen: tuple[Tensor, Tensor, Abduction] | None = None

    @torch.no_grad()
    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        model = self.model
        moved, found = self._abduction(x)
        a = found.a
        if attribute is not None and target is not None:
            names, exclusive = model.attributes, model.config.exclusive
            a = set_attribute(a, attribute, target.to(a.device), names, exclusive, strength)
        return predict(model, moved, found, a, self.detail)[0].to(x.device)

    def _abduction(self, x: Tensor) -> tuple[Tensor, Abduction]:
        if self._seen is None or self._seen[0] is not x:
            moved = x.to(next(self.model.parameters()).device)
            self._seen = (x, moved, abduct(self.model, moved))
        return self._seen[1:]
