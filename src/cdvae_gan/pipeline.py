"""A model as a call from pictures to pictures, in the way of a pipeline of diffusers.

    pipe = CounterfactualPipeline.from_pretrained("celeba64").to("cuda")
    image = pipe("face.jpg", do={"Smiling": 1}).images[0]

That library is not needed. Pictures come out at the model's resolution; `cdvae_gan.edit` puts the
change back into a photo of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cdvae_gan.counterfactual import Counterfactuals, Do, ImageLike, Labels
from cdvae_gan.errors import unknown_name
from cdvae_gan.model import CDVAEGAN, load

__all__ = ["CounterfactualPipeline", "Output", "OutputType"]

OutputType = Literal["pil", "np", "pt"]
"""PIL images, numpy float ``(B, H, W, 3)`` in [0, 1], or torch float ``(B, 3, H, W)`` in [0, 1]."""

Images = list[Image.Image] | npt.NDArray[np.float32] | Tensor


@dataclass(frozen=True)
class Output:
    """What a call returns."""

    images: Images
    """The counterfactuals, as `OutputType` says"""
    counterfactuals: Counterfactuals
    """All else: the photos, what was read off both, masks"""


class CounterfactualPipeline:
    """A model behind a call.

    Args:
        model: The model.

    Example:
        >>> pipe = CounterfactualPipeline.from_pretrained("celeba64")
        >>> smiling = pipe(photos, do={"Smiling": 1}).images
        >>> dataset.map(lambda rows: {"smiling": pipe(rows["image"], do={"Smiling": 1}).images},
        ...             batched=True)
    """

    def __init__(self, model: CDVAEGAN) -> None:
        self.model = model

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, device: str | torch.device = "cpu"
    ) -> CounterfactualPipeline:
        """Load a model; arguments and errors are those of `cdvae_gan.load`."""
        return cls(load(source, device=device))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.prior.device

    def to(self, device: str | torch.device) -> CounterfactualPipeline:
        """Move the model, and return this pipeline."""
        self.model.to(device)
        return self

    def __call__(
        self,
        image: ImageLike | Sequence[ImageLike] | Tensor,
        do: Do,
        *,
        strength: float = 1.0,
        detail: float | None = None,
        attributes: Labels | None = None,
        output_type: OutputType = "pil",
    ) -> Output:
        """Draw the pictures that would have been.

        Args:
            image: A PIL image, a path, a list of them, or a float tensor ``(B, 3, H, W)`` in
                [−1, 1].
            do: Attribute name to 0, 1, a strength in between, or ``"flip"``.
            strength: How far to go, in [0, 1].
            detail: κ in [0, 1]; None for the model's own.
            attributes: Labels, where known.
            output_type: See `OutputType`.

        Returns:
            An image for each that was given, in a list also where it was one.

        Raises:
            InputError: As `cdvae_gan.counterfactual.explain`, or for an unknown output type.
        """
        if output_type not in get_args(OutputType):
            raise unknown_name("output type", output_type, get_args(OutputType))
        found = self.model.counterfactual(
            image, do, detail, strength=strength, attributes=attributes
        )
        return Output(_as(found, output_type), found)


def _as(found: Counterfactuals, output_type: OutputType) -> Images:
    if output_type == "pil":
        return found.pil()
    images = found.images.add(1).div(2)
    return images if output_type == "pt" else images.permute(0, 2, 3, 1).numpy()
