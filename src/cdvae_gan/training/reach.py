"""Reach: how far in a an intervention goes, so that it shows as clearly as in real photos.

Training draws at a = 0 and a = 1, with terms that pull either way: critics that want to see what is
asked, prices on change and on what looks drawn. Where it ends is shy of some values and overdoes
others. G is smooth in a, so that a″ = a + ρ (a′ − a) with ρ < 1 shows less and with
ρ > 1 more. For each attribute k and each direction the reach is the ρ at which

    mean of min(1, 2 F(ℓ_k(x′)))  −  price · mean of |x′ − x|,    x without what is asked,

is largest. ℓ_k is the log-odds of q(a_k = 1 | x), as E reads it, and F(ℓ) the share of photos with
what is asked that show it less clearly: an edit counts whole where it is as clear as the middle of
them, and no more beyond that. So an edit goes on for as long as it gains more clearness than its
change costs: far where little changes, as with a smile, and less far where much does, as with hair;
but at least so far that half of the edits are clearer than a quarter of the photos, and no farther
than to where half are clearer than nine in ten of them, or than ever. No judge takes part.

With a network that tells people apart (`cdvae_gan.training.identity`) an edit stops where it makes
another person of somebody: where the similarity of x and x′ that one in ten falls short of is down
to that of two photos of one person, of which one has the attribute and the other has not, but not
before that least. It is those few that are taken for others, and a median hardly tells of them.
Attributes that seldom change within people are free of it.
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
    Destination,
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
from cdvae_gan.training.identity import pairs_that_differ, share_within_people

__all__ = ["BOUNDS", "calibrated"]

BOUNDS = (0.5, 4.0)
"""What a reach may be"""
_TRIED: list[float] = np.linspace(*BOUNDS, 15).tolist()
_BETWEEN: list[float] = np.linspace(*BOUNDS, 351).tolist()
_FEWEST = 8
_LEAST, _MOST = 0.25, 0.9
"""The shares of photos than which half of the edits are clearer, whatever it costs or brings"""
_PAIRS = 400
_LEAST_ALIKE = 0.1
"""The share of edits, and of pairs of photos, by whose similarity people are told apart"""
_WITHIN = 0.25
"""Attributes of which less of the variance lies within people may make others of them"""


@torch.no_grad()
def calibrated(
    model: CDVAEGAN,
    data: AttributeDataset,
    *,
    price: float = 8.0,
    images: int = 100,
    seed: int = 0,
    people: IdentityNetwork | None = None,
    faint: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CDVAEGAN:
    """The same weights with a measured reach.

    Args:
        model: A model.
        data: Photos with labels of the model's attributes, such as it was trained on.
        price: Of the change, as a share of edits that become clear for an L1 in [0, 1]: at 8 an
            edit goes on where .01 more of change makes more than another .08 of the edits clear.
        images: For each attribute, at most so many photos with it and as many without, by seed. A
            direction with fewer than 8 on either side keeps a reach of 1.
        seed: Of the draw.
        people: Tells people apart, for data that says who is on its photos; None to go as far as
            is clear, whoever it becomes.
        faint: What to leave out of edits, see `ModelConfig`; None for what the model does.
        progress: Is told how many of all directions are done.

    Returns:
        A new model without a card: the figures of the old one are of other counterfactuals.

    Raises:
        InputError: The data lacks an attribute of the model, is of another size, does not say who
            is on its photos where ``people`` must know, or a value is out of range.
    """
    if not price >= 0:
        raise InputError(f"price must not be negative, not {price}")
    if data.image_size != model.image_size:
        raise InputError(f"the model takes images of {model.image_size} pixels: open the data so")
    data = data.select(model.attributes)
    model = model.adjusted(faint=faint)
    draw = np.random.default_rng(seed)
    model.eval()
    known: list[_People | None] = [None] * len(model.attributes)
    if people is not None:
        known = _people(people.to(model.prior.device), data, seed)
    reach = []
    for k in range(len(model.attributes)):
        off, on = (_photos(data, k, value, images, draw) for value in (0, 1))
        if min(len(off), len(on)) < _FEWEST:
            reach.append((1.0, 1.0))
        else:
            put_on = _Direction(model, k, 1, off).reach(on, price, known[k])
            reach.append((put_on, _Direction(model, k, 0, on).reach(off, price, known[k])))
        if progress is not None:
            progress(k + 1, len(model.attributes))
    return model.adjusted(reach=reach)


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

    def reach(self, real: Tensor, price: float, people: _People | None) -> float:
        """The ρ of most worth; less where ``people`` see others in the counterfactuals by then."""
        drawn = [self._drawn(r) for r in _TRIED]
        clear = _between(torch.stack([self._clearness(x) for x in drawn]))
        change = _between(torch.stack([(x - self.photos).abs().mean() / 2 for x in drawn]))
        photos = self._clearness(real).sort().values
        ahead = torch.searchsorted(photos, clear) / len(photos)
        worth = (2 * ahead).clamp(max=1).mean(dim=1) - price * change
        median = clear.median(dim=1).values
        least, most = (
            _first(median >= torch.minimum(photos.quantile(q), median.max()))
            for q in (_LEAST, _MOST)
        )
        best = int(worth[: most + 1].argmax())
        if people is not None:
            other = _between(_alike(people.network, self.photos, drawn)) <= people.least
            best = min(best, _first(other))
        return round(_BETWEEN[max(best, least)], 2)

    def _clearness(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model.encoder(x.to(self.photos)).a_logits
        return self.sign * logits[:, self.k]

    def _drawn(self, reach: float) -> Tensor:
        found, model = self.found, self.model
        a = found.a + reach * (self.asked - found.a)
        there = Destination(a, a, model.decoder(found.z, a, found.u))
        detail, faint = model.config.detail, model.config.faint
        return move(self.photos, found, there, detail, faint, model.retoucher)[0]


def _between(values: Tensor) -> Tensor:
    """What was measured at each ρ that was tried, in lines between them."""
    at = torch.as_tensor(np.interp(_BETWEEN, _TRIED, np.arange(len(_TRIED))))
    low = at.long().clamp(max=len(values) - 2)
    share = (at - low).to(values).reshape(-1, *[1] * (values.ndim - 1))
    return torch.lerp(values[low], values[low + 1], share)


def _first(reached: Tensor) -> int:
    """The first place where it holds, or the last of all."""
    return int(reached.int().argmax()) if bool(reached.any()) else len(reached) - 1


@dataclass(frozen=True)
class _People:
    """How alike photos of one person are to a network."""

    network: IdentityNetwork
    least: float
    """The similarity that one in ten pairs of photos of one person fall short of, where one has the
    attribute and one has not"""


def _alike(network: IdentityNetwork, photos: Tensor, drawn: list[Tensor]) -> Tensor:
    """What one in ten similarities of photos with each of many versions of them fall short of."""
    who = network(photos).embedding
    return torch.stack([(who * network(x).embedding).sum(1).quantile(_LEAST_ALIKE) for x in drawn])


def _people(network: IdentityNetwork, data: AttributeDataset, seed: int) -> list[_People | None]:
    """For each attribute; None where it seldom changes within people, or few pairs are known."""
    device = network.to_embedding.weight.device
    found: list[_People | None] = []
    for k, within in enumerate(share_within_people(data)):
        pairs = pairs_that_differ(data, k, _PAIRS, seed)
        if len(pairs) < _FEWEST or within < _WITHIN:
            found.append(None)
        else:
            one, other = (to_float(data.batch(rows).images.to(device)) for rows in pairs.T)
            found.append(_People(network, float(_alike(network, one, [other]))))
    return found
