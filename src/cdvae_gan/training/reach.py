"""Reach: how far in a an intervention goes, so that it shows as clearly as in real photos.

Training draws at a = 0 and a = 1, with terms that pull either way: critics that want to see what is
asked, prices on change and on what looks drawn. Where it ends is shy of some values and overdoes
others. G is smooth in a, so that a″ = a + ρ (a′ − a) with ρ < 1 shows less and with
ρ > 1 more, and for each attribute k and each direction there is a ρ with

    quantile of ℓ_k(x′), x without what is asked    =    quantile of ℓ_k(x), x with it

ℓ_k is the log-odds of q(a_k = 1 | x), as E reads it: the counterfactuals of people who do not smile
then smile as much as people do who smile. The quantile is ½ where they should be alike in the
middle; a larger one asks for clearer cases than most real ones are. No judge takes part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cdvae_gan.action import LEAVE
from cdvae_gan.counterfactual import (
    Abduction,
    abduct,
    act_by_code,
    move,
    rules_of,
)
from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.images import to_float
from cdvae_gan.model import CDVAEGAN

__all__ = ["BOUNDS", "calibrated"]

BOUNDS = (0.5, 2.5)
"""What a reach may be"""
_HALVINGS = 6
_FEWEST = 8


@torch.no_grad()
def calibrated(
    model: CDVAEGAN,
    data: AttributeDataset,
    *,
    quantile: float = 0.5,
    images: int = 100,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CDVAEGAN:
    """The same weights with a measured reach.

    Args:
        model: A model.
        data: Photos with labels of the model's attributes, such as it was trained on.
        quantile: Of the clearness of real photos, in (0, 1).
        images: For each attribute, at most so many photos with it and as many without, by seed. A
            direction with fewer than 8 on either side keeps a reach of 1.
        seed: Of the draw.
        progress: Is told how many of all directions are done.

    Returns:
        A new model without a card: the figures of the old one are of other counterfactuals.

    Raises:
        InputError: The data lacks an attribute of the model, is of another size, or a value is out
            of range.
    """
    if not 0 < quantile < 1:
        raise InputError(f"quantile must lie between 0 and 1, not {quantile}")
    if data.image_size != model.image_size:
        raise InputError(f"the model takes images of {model.image_size} pixels: open the data so")
    data = data.select(model.attributes)
    draw = np.random.default_rng(seed)
    model.eval()
    reach = []
    for k in range(len(model.attributes)):
        off, on = (_photos(data, k, value, images, draw) for value in (0, 1))
        if min(len(off), len(on)) < _FEWEST:
            reach.append((1.0, 1.0))
        else:
            put_on = _Direction(model, k, 1, off).reach(on, quantile)
            reach.append((put_on, _Direction(model, k, 0, on).reach(off, quantile)))
        if progress is not None:
            progress(k + 1, len(model.attributes))
    return model.reaching(reach)


def _photos(
    data: AttributeDataset, k: int, value: int, images: int, draw: np.random.Generator
) -> Tensor:
    rows = np.flatnonzero(np.asarray(data.labels)[:, k] == value)
    return to_float(data.batch(np.sort(draw.permutation(rows)[:images])).images)


class _Direction:
    """Photos, and an attribute that is put on or taken off them."""

    def __init__(self, model: CDVAEGAN, k: int, value: int, photos: Tensor) -> None:
        self.model, self.k, self.sign = model, k, 1 if value else -1
        code = torch.full((len(model.attributes),), LEAVE, device=model.prior.device)
        code[k] = value
        self.photos = photos.to(code.device)
        self.found: Abduction = abduct(model, self.photos, None, code)
        self.asked = act_by_code(
            self.found.a, self.found.probabilities, code, rules_of(model.config, code.device), 1.0
        )

    def reach(self, real: Tensor, quantile: float) -> float:
        """The ρ at which counterfactuals are as clear as real photos that have the value."""
        wanted = self._clearness(real.to(self.photos), quantile)
        low, high = BOUNDS
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self._clearness(self._drawn(middle), quantile) < wanted:
                low = middle
            else:
                high = middle
        return round((low + high) / 2, 3)

    def _clearness(self, x: Tensor, quantile: float) -> float:
        clear: Tensor = self.sign * self.model.encoder(x).a_logits[:, self.k]
        return float(clear.quantile(quantile))

    def _drawn(self, reach: float) -> Tensor:
        found, model = self.found, self.model
        a = found.a + reach * (self.asked - found.a)
        drawing = model.decoder(found.z, a, found.u)
        return move(self.photos, found, a, drawing, model.config.detail)[0]
