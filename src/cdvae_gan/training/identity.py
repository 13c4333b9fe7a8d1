"""A network that tells people apart, learned before a training from who is on the photos.

Two photos of a person differ in what a person can change, a smile, glasses, a beard; the network
learns to see past that, and so its distance between a photo and an edit says how far the edit has
gone beyond it. It is learned from the training photos alone and shares nothing with the network
by which `evaluation` tells people apart.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.images import to_float
from cdvae_gan.networks.identity import IdentityNetwork
from cdvae_gan.objective import known_cross_entropy
from cdvae_gan.training.augmentation import Augmentation, mirrored
from cdvae_gan.training.start import Learned, learned_weights

__all__ = [
    "check_people",
    "identity_weights",
    "learn_identity",
    "learned_identity",
    "pairs_that_differ",
    "share_within_people",
]

_PEOPLE = 64
_TEMPERATURE = 0.1
_LEARNING_RATE = 2e-3
_NAME = "identity."
"""Of the network in a run's checkpoint"""


def check_people(data: AttributeDataset) -> NDArray[np.int64]:
    """Who is on the photos, ``(N,)``.

    Raises:
        InputError: Where that is not known, or fewer than two people are on several photos.
    """
    if data.identities is None:
        raise InputError(
            "to tell people apart (weights.identity, --people) it must be known who is on each "
            f"photo, which {data.name} does not say"
        )
    people = np.asarray(data.identities)
    several = int((np.unique(people, return_counts=True)[1] > 1).sum())
    if several < 2:
        raise InputError(
            "to tell people apart (weights.identity, --people) two people or more must have "
            f"several photos: {data.name} has {several}"
        )
    return people


def learn_identity(
    network: IdentityNetwork,
    data: AttributeDataset,
    steps: int,
    seed: int = 0,
    *,
    mirror: bool = True,
    bf16: bool = False,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Teach a network, in place, to find the other photo of a person among those of others.

    Of 64 people a step two photos each, all augmented; the loss is the normalised cross-entropy of
    similarities at temperature 0.1 (NT-Xent: Chen et al. 2020), and the attributes' cross-entropy.

    Args:
        network: Of the data's attributes.
        data: Photos with identities.
        steps: How many.
        seed: Of the order and the augmentation.
        mirror: Whether photos are mirrored at random.
        bf16: Whether convolutions run in bfloat16.
        report: Is told the step and the share of photos whose other was found, now and then.

    Raises:
        InputError: See `check_people`.
    """
    photos_of = _photos_of(check_people(data))
    draw = np.random.default_rng(seed)
    device = network.to_embedding.weight.device
    n = min(_PEOPLE, len(photos_of))
    other = torch.arange(2 * n, device=device).roll(n)
    optimizer = AdamW(network.parameters(), _LEARNING_RATE, weight_decay=0.01)
    schedule = OneCycleLR(optimizer, _LEARNING_RATE, total_steps=max(2, steps))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for step in range(1, steps + 1):
            people = draw.choice(len(photos_of), n, replace=False)
            pairs = np.stack([draw.choice(photos_of[i], 2, replace=False) for i in people], axis=1)
            images, labels = data.batch(pairs.reshape(-1))
            x = to_float(images.to(device))
            x = mirrored(x) if mirror else x
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                seen = network(Augmentation.draw(len(x), device)(x))
            similar = seen.embedding @ seen.embedding.T / _TEMPERATURE
            similar = similar.masked_fill(torch.eye(2 * n, device=device) > 0, -torch.inf)
            loss = F.cross_entropy(similar, other)
            loss = loss + known_cross_entropy(seen.attributes, labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if report is not None and (step % 250 == 0 or step == steps):
                report(step, float((similar.argmax(dim=1) == other).float().mean()))


def identity_weights(learned: Learned) -> dict[str, Tensor]:
    """Those of the network that tells people apart; none where no such network was learned."""
    return {n.removeprefix(_NAME): v for n, v in learned.weights.items() if n.startswith(_NAME)}


def learned_identity(run: str | Path) -> IdentityNetwork:
    """The network that a run with `weights.identity` has learned.

    Raises:
        InputError: There is no such run, or it has none.
    """
    if not (Path(run) / "checkpoints" / "last.ckpt").is_file():
        raise InputError(f"{str(run)!r} is no run: a run's folder has checkpoints/last.ckpt")
    learned = learned_weights(run)
    own = identity_weights(learned)
    if not own:
        raise InputError(
            f"the run in {str(run)!r} tells no people apart: train one with "
            "--set weights.identity=10"
        )
    network = IdentityNetwork(len(learned.attributes))
    network.load_state_dict(own)
    return network.requires_grad_(False).eval()


def share_within_people(data: AttributeDataset) -> Tensor:
    """For each attribute the share of its variance that lies within people, ``(K,)`` in [0, 1].

    A smile comes and goes: near 1. Whether someone is a man does not: near 0, and whoever changes
    it may well make another person of them. Pooled over people with two known labels or more.

    Raises:
        InputError: See `check_people`.
    """
    _, who = np.unique(check_people(data), return_inverse=True)
    shares = []
    for labels in np.asarray(data.labels).T:
        known = labels >= 0
        people, values = who[known], labels[known].astype(np.float64)
        n = np.bincount(people, minlength=who.max() + 1)
        mean = np.bincount(people, values, minlength=len(n)) / np.maximum(n, 1)
        inside = ((values - mean[people]) ** 2).sum() / max((n[n > 0] - 1).sum(), 1)
        total = values.var() if len(values) else 0.0
        shares.append(min(inside / total, 1.0) if total else 0.0)
    return torch.tensor(shares, dtype=torch.float32)


def pairs_that_differ(
    data: AttributeDataset, attribute: int, pairs: int, seed: int
) -> NDArray[np.int64]:
    """Rows of two photos of one person, the second with an attribute that the first lacks.

    Of so many people at most, drawn by seed: ``(n, 2)``.

    Raises:
        InputError: See `check_people`.
    """
    labels, draw = np.asarray(data.labels)[:, attribute], np.random.default_rng(seed)
    photos_of = _photos_of(check_people(data))
    found = []
    for i in draw.permutation(len(photos_of)):
        without, with_it = (photos_of[i][labels[photos_of[i]] == value] for value in (0, 1))
        if len(without) and len(with_it):
            found.append((draw.choice(without), draw.choice(with_it)))
        if len(found) == pairs:
            break
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _photos_of(people: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each person who has several."""
    order = np.argsort(people, kind="stable")
    _, first = np.unique(people[order], return_index=True)
    return [rows for rows in np.split(order, first[1:]) if len(rows) > 1]
