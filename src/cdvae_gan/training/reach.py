"""Reach: how far in a an intervention goes, so that it shows as clearly as in real photos.

Training draws at a = 0 and a = 1, with terms that pull either way: critics that want to see what is
asked, prices on change and on what looks drawn. Where it ends is shy of some values and overdoes
others. G is smooth in a, so that a″ = a + ρ (a′ − a) with ρ < 1 shows less and with
ρ > 1 more, and for each attribute k and each direction there is a ρ with

    median of ℓ_k(x′), x without what is asked    =    quantile of ℓ_k(x), x with it

ℓ_k is the log-odds of q(a_k = 1 | x), as E reads it: the counterfactuals of people who do not smile
then smile as much as people do who smile. The quantile is ½ where half of them should be clearer
than half of the photos are; a larger one asks of half of them to be clearer than most photos. No
judge takes part.

With a network that tells people apart (`cdvae_gan.training.identity`) an edit stops where it makes
another person of somebody: where the median of the similarities of x and x′ falls to the lower
quartile of those of two photos of one person. It goes at least so far that half of the edits are
clearer than a quarter of the photos, and attributes that seldom change within people are free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from cdvae_gan.networks.identity import IdentityNetwork
from cdvae_gan.training.identity import pairs_of_people, share_within_people

__all__ = ["BOUNDS", "calibrated"]

BOUNDS = (0.5, 3.25)
"""What a reach may be"""
_TRIED = [float(r) for r in np.linspace(*BOUNDS, 12)]
_FEWEST = 8
_PAIRS = 400
_QUARTER = 0.25
_WITHIN = 0.25
"""Attributes of which less of the variance lies within people may make others of them"""


@torch.no_grad()
def calibrated(
    model: CDVAEGAN,
    data: AttributeDataset,
    *,
    quantile: float = 0.5,
    images: int = 100,
    seed: int = 0,
    people: IdentityNetwork | None = None,
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
        people: Tells people apart, for data that says who is on its photos; None to go as far as
            is clear, whoever it becomes.
        progress: Is told how many of all directions are done.

    Returns:
        A new model without a card: the figures of the old one are of other counterfactuals.

    Raises:
        InputError: The data lacks an attribute of the model, is of another size, does not say who
            is on its photos where ``people`` must know, or a value is out of range.
    """
    if not 0 < quantile < 1:
        raise InputError(f"quantile must lie between 0 and 1, not {quantile}")
    if data.image_size != model.image_size:
        raise InputError(f"the model takes images of {model.image_size} pixels: open the data so")
    data = data.select(model.attributes)
    draw = np.random.default_rng(seed)
    model.eval()
    known = None if people is None else _People.of(people.to(model.prior.device), data, seed)
    reach = []
    for k in range(len(model.attributes)):
        off, on = (_photos(data, k, value, images, draw) for value in (0, 1))
        if min(len(off), len(on)) < _FEWEST:
            reach.append((1.0, 1.0))
        else:
            put_on = _Direction(model, k, 1, off).reach(on, quantile, known)
            reach.append((put_on, _Direction(model, k, 0, on).reach(off, quantile, known)))
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

    def reach(self, real: Tensor, quantile: float, people: _People | None) -> float:
        """The ρ at which half of the counterfactuals are as clear as so many real photos.

        Less where ``people`` see others in them by then.
        """
        drawn = [self._drawn(r) for r in _TRIED]
        clear = [self._clearness(x) for x in drawn]
        # Beyond where it is clearest an edit only gets worse.
        clearest = _TRIED[int(np.argmax(clear))]
        far = _crossing(clear, self._clearness(real, quantile), clearest)
        if people is None or people.within[self.k] < _WITHIN:
            return far
        told = people.seen(self.photos)
        unlike = [-float((told * people.seen(x)).sum(dim=1).median()) for x in drawn]
        other = _crossing(unlike, -people.alike, BOUNDS[1])
        return min(far, max(other, _crossing(clear, self._clearness(real, _QUARTER), clearest)))

    def _clearness(self, x: Tensor, quantile: float = 0.5) -> float:
        logits = self.model.encoder(x.to(self.photos)).a_logits
        return float((self.sign * logits[:, self.k]).quantile(quantile))

    def _drawn(self, reach: float) -> Tensor:
        found, model = self.found, self.model
        a = found.a + reach * (self.asked - found.a)
        drawing = model.decoder(found.z, a, found.u)
        return move(self.photos, found, a, drawing, model.config.detail)[0]


def _crossing(values: list[float], wanted: float, otherwise: float) -> float:
    """The first ρ at which values are so large, in a line between those tried."""
    at = next((i for i, v in enumerate(values) if v >= wanted), None)
    if at is None:
        return otherwise
    if at == 0:
        return _TRIED[0]
    share = (wanted - values[at - 1]) / (values[at] - values[at - 1])
    return round(_TRIED[at - 1] + share * (_TRIED[at] - _TRIED[at - 1]), 3)


@dataclass(frozen=True)
class _People:
    """How alike photos of one person are to a network."""

    network: IdentityNetwork
    alike: float
    """The lower quartile of the similarities of two photos of one person"""
    within: list[float]
    """For each attribute, see `share_within_people`"""

    @classmethod
    def of(cls, network: IdentityNetwork, data: AttributeDataset, seed: int) -> _People:
        pairs = pairs_of_people(data, _PAIRS, seed)
        device = network.to_embedding.weight.device
        one, other = (
            network(to_float(data.batch(rows).images.to(device))).embedding for rows in pairs.T
        )
        alike = float((one * other).sum(dim=1).quantile(_QUARTER))
        return cls(network, alike, share_within_people(data).tolist())

    def seen(self, x: Tensor) -> Tensor:
        """Who is on images, ``(B, d)``."""
        seen: Tensor = self.network(x).embedding
        return seen
