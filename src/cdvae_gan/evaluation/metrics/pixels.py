"""What edits do to pixels: nothing where nothing is asked, back where they are undone, and no more.

With |x − x′| the mean over the pixels and channels of an image in [−1, 1], so in [0, 2]:

    composition     |x − x′|, x′ = do(nothing) applied once, or ten times over      0 is best
    reversibility   |x − x″|, x″ = the flip of the flip                             0 is best
    minimality      |x − x′| of the edit, and the share of pixels of which a
                    channel changes by more than 10/255       small is best at equal deception
    reconstruction  |x − G(z, a)|, PSNR in dB and SSIM        0, high and 1 are best
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import RESAMPLES
from cdvae_gan.evaluation.metrics.base import Groups, MeanOver, Summed, Table

__all__ = ["CHANGED", "L1", "Composition", "Minimality", "Reconstruction", "Reversibility"]

L1, CHANGED, PSNR, SSIM = "L1", "changed", "PSNR", "SSIM"

_VISIBLE = 2 * 10 / 255
_WINDOW = 5  # half of the 11 pixels of the Gaussian window


class Composition:
    """mean |x − x′| for do(nothing), in [0, 2]; 0 is best. A row for each number of rounds.

    Args:
        rounds: After how many rounds to look.
    """

    def __init__(self, rounds: Sequence[int] = (1, 10)) -> None:
        self.rounds = tuple(rounds)
        self.largest = dict.fromkeys(self.rounds, 0.0)
        """max |x − x′| over all images, pixels and channels"""
        self._means = MeanOver([str(r) for r in self.rounds], (L1,))

    def update(self, rounds: int, x: Tensor, x_prime: Tensor, groups: Groups) -> None:
        """Add images ``(B, 3, H, W)`` in [−1, 1] and what became of them after so many rounds."""
        difference = _difference(x, x_prime)
        self.largest[rounds] = max(self.largest[rounds], float(difference.max()))
        self._means.add(groups, str(rounds), L1, _mean(difference), 1)

    def summed(self) -> Summed:
        """The table before any resampling."""
        return self._means.summed().without_mean()

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self.largest = dict.fromkeys(self.rounds, 0.0)
        self._means.reset()


class Reversibility:
    """mean |x − x″| for a flip and the flip back, in [0, 2]; 0 is best.

    Args:
        attributes: The K names.
    """

    def __init__(self, attributes: Sequence[str]) -> None:
        self._means = MeanOver(attributes, (L1,))

    def update(self, attribute: str, x: Tensor, x_back: Tensor, groups: Groups) -> None:
        """Add images ``(B, 3, H, W)`` in [−1, 1], and the same flipped there and back."""
        self._means.add(groups, attribute, L1, _mean(_difference(x, x_back)), 1)

    def summed(self) -> Summed:
        """The table before any resampling."""
        return self._means.summed()

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._means.reset()


class Minimality:
    """How much of an image an edit changes; small is good at equal deception, 0 is no edit.

    Columns: ``L1``, mean |x − x′| in [0, 2]; ``changed``, the share of pixels in [0, 1] of which a
    channel moves by more than 10 of 255 grey levels.

    Args:
        attributes: The K names.
    """

    def __init__(self, attributes: Sequence[str]) -> None:
        self._means = MeanOver(attributes, (L1, CHANGED))

    def update(self, attribute: str, x: Tensor, x_prime: Tensor, groups: Groups) -> None:
        """Add images ``(B, 3, H, W)`` in [−1, 1] and their counterfactuals."""
        difference = _difference(x, x_prime)
        changed = (difference.amax(dim=1) > _VISIBLE).float().mean(dim=(1, 2))
        self._means.add(groups, attribute, L1, _mean(difference), 1)
        self._means.add(groups, attribute, CHANGED, changed.cpu(), 1)

    def summed(self) -> Summed:
        """The table before any resampling."""
        return self._means.summed()

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._means.reset()


class Reconstruction:
    """How well the model draws an image again from its latents alone, without its residual.

    Columns: ``L1`` in [0, 2], lower is better; ``PSNR`` in dB and ``SSIM`` in [−1, 1] (Wang et al.
    2004), higher is better; the two by torchmetrics, averaged over images.
    """

    def __init__(self) -> None:
        self._means = MeanOver(("image",), (L1, PSNR, SSIM))

    def update(self, x: Tensor, drawn: Tensor, groups: Groups) -> None:
        """Add images ``(B, 3, H, W)`` in [−1, 1] and their reconstructions."""
        difference = _difference(x, drawn)
        # Both are defined on intensities: black is 0, and the products in SSIM are of that.
        x, drawn = (x.detach().float() + 1) / 2, (drawn.detach().float() + 1) / 2
        psnr = peak_signal_noise_ratio(drawn, x, data_range=1.0, reduction="none", dim=(1, 2, 3))
        for column, values in ((L1, _mean(difference)), (PSNR, psnr), (SSIM, _ssim(x, drawn))):
            self._means.add(groups, "image", column, values.cpu(), 1)

    def summed(self) -> Summed:
        """The table before any resampling."""
        return self._means.summed().without_mean()

    def compute(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Table:
        return self.summed().table(resamples=resamples, seed=seed)

    def reset(self) -> None:
        self._means.reset()


def _difference(x: Tensor, other: Tensor) -> Tensor:
    if x.shape != other.shape or x.ndim != 4:
        raise InputError(
            f"images to compare must have one shape (B, 3, H, W), not {tuple(x.shape)} and "
            f"{tuple(other.shape)}"
        )
    return (x.detach().float() - other.detach().float()).abs()


def _ssim(x: Tensor, drawn: Tensor) -> Tensor:
    """SSIM of each image, over the windows that lie inside it, as Wang et al. define it."""
    found = structural_similarity_index_measure(
        drawn, x, data_range=1.0, reduction="none", return_full_image=True
    )
    inside = found[1][:, :, _WINDOW:-_WINDOW, _WINDOW:-_WINDOW]
    return inside.mean(dim=(1, 2, 3))


def _mean(difference: Tensor) -> Tensor:
    return difference.mean(dim=(1, 2, 3)).cpu()
