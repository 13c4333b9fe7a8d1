"""Is a judge still convinced after the picture was handled as pictures are?

    as is      x′ itself
    blur       a Gaussian of σ = 1 pixel
    JPEG 75    saved as JPEG of quality 75, without chroma subsampling, and read again
    shift      one pixel to the right and one down, the edge repeated

An edit that shows survives all three. One that only tickles a judge, as an adversarial pattern
does, may not. The factual is handled in the same way, and counts where it is still read right.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cdvae_gan.evaluation.bootstrap import RESAMPLES
from cdvae_gan.evaluation.metrics.base import Groups, MeanOver, Summed, Table
from cdvae_gan.evaluation.metrics.deception import fooled
from cdvae_gan.images import to_pil

__all__ = ["AS_IS", "HANDLINGS", "Robustness"]

AS_IS = "as is"

_SIGMA = 1.0
_REACH = 3
_QUALITY = 75


def blurred(images: Tensor) -> Tensor:
    """Images uint8 ``(B, 3, H, W)`` through a Gaussian of σ = 1 pixel."""
    place = torch.arange(-_REACH, _REACH + 1, dtype=torch.float32)
    bell = torch.exp(-(place**2) / (2 * _SIGMA**2))
    bell = (bell / bell.sum()).repeat(3, 1, 1, 1)
    x = F.pad(images.float(), (_REACH,) * 4, mode="replicate")
    x = F.conv2d(F.conv2d(x, bell, groups=3), bell.transpose(2, 3), groups=3)
    return x.round().clamp(0, 255).to(torch.uint8)


def compressed(images: Tensor) -> Tensor:
    """Images uint8 ``(B, 3, H, W)`` saved as JPEG and read again."""
    return torch.stack([_compressed(image) for image in images])


def shifted(images: Tensor) -> Tensor:
    """Images uint8 ``(B, 3, H, W)`` one pixel further right and down."""
    x = F.pad(images.float(), (1, 0, 1, 0), mode="replicate")
    return x[:, :, :-1, :-1].to(torch.uint8)


def _compressed(image: Tensor) -> Tensor:
    stream = io.BytesIO()
    to_pil(image).save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    with Image.open(stream) as again:
        return torch.from_numpy(np.array(again.convert("RGB"))).permute(2, 0, 1)


HANDLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "blur": blurred,
    f"JPEG {_QUALITY}": compressed,
    "shift": shifted,
}
"""What is done to pictures, from uint8 ``(B, 3, H, W)`` to the same."""


class Robustness:
    """Deception of handled pictures, in [0, 1]; higher is better.

    A row for each attribute and a column for each handling, both directions together.

    Args:
        attributes: The K names.
        trusted: Of each attribute, whether the judge can be believed.
    """

    def __init__(self, attributes: Sequence[str], trusted: Sequence[bool] | None = None) -> None:
        self._ratios = MeanOver(attributes, (AS_IS, *HANDLINGS), trusted, share=True)

    def update(
        self,
        attribute: str,
        handling: str,
        labels: Groups,
        before: Groups,
        after: Groups,
        groups: Groups,
    ) -> None:
        """Add flips, with the judge's answers on handled factuals and counterfactuals.

        The other arguments are those of `Deception.update`; ``handling`` is a column.
        """
        seen, right = fooled(labels, before, after)
        self._ratios.add(groups, attribute, handling, seen, right)

    def summed(self) -> Summed:
        """The table before any resampling."""
        return self._ratios.summed()

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._ratios.reset()
