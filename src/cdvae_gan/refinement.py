"""An edit in a photo of more pixels than the model has: put into it, and gone over there.

With X the photo at twice the model's resolution, x the same at the model's, x′ its edit, and ↑ from
the model's pixels to the photo's:

    X₀ = X + ↑[v (x′ − x)] − ↑[f] (X − ↑x)       f = v′ (1 − κ (1 − m (1 − r)))
    X′ = X₀ + h ⊙ R′(X, X₀, ↑v, ↑(v m), a″ − a)

The first line puts the *change* into the photo, which so keeps its own sharpness, and fades the
photo's fine detail X − ↑x where the model gave up its own (the mask m) and x′ does not resemble x:
glasses that were taken off would stay as a ghost, yet hair of another colour keeps its strands. r
is the slope of x′ on x around each pixel, in [0, 1]; v and v′ are 0 where x′ − x can't be seen.

What was drawn at the model's resolution is soft there. The refiner R′ is a retoucher at twice that
resolution, h is ↑v widened by a few pixels: where no change can be seen, it changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cdvae_gan.counterfactual import Counterfactuals, steps
from cdvae_gan.errors import InputError
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.networks.retoucher import Retoucher

__all__ = ["LUMA", "Change", "Pasted", "coarse", "fine", "paste", "reduced", "refine"]

_SEEN = (1.0, 3.0)
"""Of 255: changes that are dropped, and that are kept whole"""
_REPLACING = (6.0, 25.0)
"""Changes that leave the photo's fine detail alone, and that may end it"""
_NOISE = 4.0
"""Variance of brightness, in squares of 255ths, that is no structure"""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness"""


class Change(NamedTuple):
    """What an edit does to photos, at one of the two resolutions."""

    x: Tensor
    """``(B, 3, s, s)`` in [−1, 1]: the photos"""
    added: Tensor
    """``(B, 3, s, s)`` in [−2, 2]: what is added to them"""
    faded: Tensor
    """``(B, 1, s, s)`` in [0, 1]: how far their detail beyond this resolution goes"""


class Pasted(NamedTuple):
    """Photos with their change, before they are gone over."""

    image: Tensor
    """``(B, 3, 2S, 2S)`` in [−1, 1]: X₀"""
    seen: Tensor
    """``(B, 1, 2S, 2S)`` in [0, 1]: ↑v, where there is a change to see"""
    mask: Tensor
    """``(B, 1, 2S, 2S)`` in [0, 1]: ↑(v m)"""
    faded: Tensor
    """``(B, 1, 2S, 2S)`` in [0, 1]: ↑f"""

    def gone_over(self, refiner: Retoucher, photos: Tensor, step: Tensor) -> Tensor:
        """X′ before clipping, of the photos X and the a″ − a that were asked for."""
        added: Tensor = refiner(photos, self.image, self.seen, self.mask, step=step)
        return self.image + added


def coarse(found: Counterfactuals) -> Change:
    """What counterfactuals change, where it can be seen, at the model's resolution."""
    change = found.images - found.factual
    faded = _fading(found.factual, found.images, found.mask, found.detail)
    return Change(found.factual, _visible(change) * change, faded)


def fine(model: CDVAEGAN, photos: Tensor, found: Counterfactuals) -> Change:
    """What counterfactuals change in photos of twice the model's resolution; see `refine`."""
    pasted, image = _refined(model, photos, found)
    return Change(photos, image - photos, pasted.faded)


def reduced(images: Tensor) -> Tensor:
    """``(B, C, 2S, 2S)`` at half the size."""
    return _resized(images, images.shape[2] // 2)


def paste(photos: Tensor, x: Tensor, drawn: Tensor, mask: Tensor, detail: float = 1.0) -> Pasted:
    """X₀: photos with the change of an edit in them.

    Args:
        photos: ``(B, 3, 2S, 2S)`` in [−1, 1]: X.
        x: ``(B, 3, S, S)`` in [−1, 1]: the same at the model's size.
        drawn: ``(B, 3, S, S)`` in [−1, 1]: x′.
        mask: ``(B, 1, S, S)`` in [0, 1]: m.
        detail: κ in [0, 1].
    """
    seen = _visible(drawn - x)
    faded = _enlarged(_fading(x, drawn, mask, detail)).clamp(0, 1)
    image = photos + _enlarged(seen * (drawn - x)) - faded * (photos - _enlarged(x))
    over, given_up = (
        F.interpolate(v, scale_factor=2, mode="bilinear", align_corners=False)
        for v in (seen, seen * mask)
    )
    return Pasted(image.clamp(-1, 1), over, given_up, faded)


def refine(model: CDVAEGAN, photos: Tensor, found: Counterfactuals) -> Tensor:
    """X′: counterfactuals in photos of twice the model's resolution, gone over there.

    Args:
        model: A model with a refiner.
        photos: ``(B, 3, 2S, 2S)`` in [−1, 1]: the photos.
        found: Their counterfactuals at the model's own resolution.

    Returns:
        ``(B, 3, 2S, 2S)`` in [−1, 1].

    Raises:
        InputError: For a model without a refiner, or photos of another size or number.
    """
    return _refined(model, photos, found)[1]


@torch.no_grad()
def _refined(model: CDVAEGAN, photos: Tensor, found: Counterfactuals) -> tuple[Pasted, Tensor]:
    """X₀ and X′."""
    if model.refiner is None:
        raise InputError("the model has no refiner: cdvae-gan retouch --large teaches one")
    n, _, side, _ = found.images.shape
    if photos.shape != (n, 3, 2 * side, 2 * side):
        raise InputError(f"there must be {n} photos of {2 * side}×{2 * side} pixels")
    pasted = paste(photos, found.factual, found.images, found.mask, found.detail)
    device = model.prior.device
    there = Pasted(*(part.to(device) for part in pasted))
    image = there.gone_over(model.refiner, photos.to(device), steps(model, found))
    return pasted, image.clamp(-1, 1).cpu()


def _visible(change: Tensor, between: tuple[float, float] = _SEEN) -> Tensor:
    """v, from 0 where nothing around a pixel changes so that it can be seen, to 1.

    Args:
        change: ``(B, 3, S, S)`` in [−2, 2]: x′ − x.
        between: The sizes, of 255, between which it rises, by the smoothstep.

    Returns:
        ``(B, 1, S, S)``.
    """
    low, high = between
    size = 127.5 * change.abs().amax(dim=1, keepdim=True)
    around = F.avg_pool2d(F.max_pool2d(_bordered(size, 2), 3, 1), 3, 1)
    t = ((around - low) / (high - low)).clamp(0, 1)
    return t.square() * (3 - 2 * t)


def _fading(x: Tensor, drawn: Tensor, mask: Tensor, detail: float) -> Tensor:
    """f, how far the photo's fine detail goes, ``(B, 1, S, S)`` in [0, 1].

    Args:
        x: ``(B, 3, S, S)`` in [−1, 1].
        drawn: The same, edited.
        mask: ``(B, 1, S, S)`` in [0, 1]: where the model gave up the photo's detail.
        detail: κ in [0, 1].
    """
    lost = 1 - detail * (1 - mask * (1 - _resemblance(x, drawn)))
    return _visible(drawn - x, _REPLACING) * lost


def _enlarged(field: Tensor) -> Tensor:
    """``(B, C, S, S)`` at twice the size, such that `reduced` gives it back, nearly."""
    large = _resized(field, 2 * field.shape[2])
    return large + _resized(field - reduced(large), 2 * field.shape[2])


def _resized(images: Tensor, side: int) -> Tensor:
    smaller = side < images.shape[2]
    return F.interpolate(
        images, size=(side, side), mode="bicubic", antialias=smaller, align_corners=False
    )


def _resemblance(x: Tensor, drawn: Tensor) -> Tensor:
    """Slope of the brightness of x′ on that of x around each pixel; ``(B, 1, S, S)`` in [0, 1].

    1 where nothing has structure: what is even has no detail to fade.
    """
    luma = x.new_tensor(LUMA)[None, :, None, None]
    a, b = (127.5 * (luma * v).sum(dim=1, keepdim=True) for v in (x, drawn))
    mean_a, mean_b = (_mean(v, 5) for v in (a, b))
    covariance = _mean(a * b, 5) - mean_a * mean_b
    variance = _mean(a * a, 5) - mean_a.square()
    return ((covariance + _NOISE) / (variance + _NOISE)).clamp(0, 1)


def _mean(field: Tensor, side: int) -> Tensor:
    """Means over squares."""
    return F.avg_pool2d(_bordered(field, side // 2), side, 1)


def _bordered(field: Tensor, by: int) -> Tensor:
    """With what lies at the border repeated beyond it."""
    return F.pad(field, (by,) * 4, mode="replicate")
