"""Counterfactuals on the fly, while somebody else's network trains.

from cdvae_gan.torch import CounterfactualAugment

augment = CounterfactualAugment.balanced("celeba64", train, "Blond_Hair", "Male")
loader = DataLoader(pairs, batch_size=64, collate_fn=augment.collate)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from cdvae_gan.action import relabelled, related
from cdvae_gan.balancing.filter import Filter
from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.edits import ModelEditor
from cdvae_gan.evaluation.judges import Judge, load_judge
from cdvae_gan.images import to_uint8
from cdvae_gan.model import CDVAEGAN, load

__all__ = ["CounterfactualAugment"]


class CounterfactualAugment:
    """Sets one attribute of some images of a batch to what it is not, and their labels with it.

    Each image is flipped with a probability that may depend on its labels. Where a judge does not
    read the flip off the image, photo and label stay as they were. Attributes that exclude the one
    that is switched on are switched off in the labels as well.

    Args:
        model: A model, its path or its name.
        attributes: The K names of the labels' columns.
        flip: The attribute that is set.
        probability: Of a flip: a number, or one for values of the attributes in ``given``, such as
            ``{(0, 1): 0.4}``; 0 for what is not there.
        given: On which labels the probability depends.
        judges: Each must read the new value off the image.
        strength: Of the edits, in (0, 1].
        seed: Of the draws; a generator is used as it is. Workers of a data loader draw apart, and
            anew in each epoch, by the seeds that torch gives them.

    Raises:
        InputError: An attribute that the model or the labels don't have, or a probability outside
            [0, 1].
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | CDVAEGAN,
        attributes: Sequence[str],
        flip: str,
        probability: float | Mapping[tuple[int, ...], float] = 0.5,
        *,
        given: Sequence[str] = (),
        judges: Sequence[str | os.PathLike[str] | Judge] = (),
        strength: float = 1.0,
        seed: int | torch.Generator = 0,
    ) -> None:
        self.model = model if isinstance(model, CDVAEGAN) else load(os.fspath(model))
        self.attributes, self.flip, self.strength = tuple(attributes), flip, strength
        for known, what in ((self.attributes, "label"), (self.model.attributes, "attribute")):
            if flip not in known:
                raise unknown_name(what, flip, known)
        if not 0 < strength <= 1:
            raise InputError(f"strength must lie in (0, 1], not {strength}")
        self._given, self._chances = _chances(probability, given, self.attributes)
        loaded = [j if isinstance(j, Judge) else load_judge(j) for j in judges]
        self._keep = Filter.of(loaded, (flip,), (flip,))
        self._seed = seed
        self._generators: dict[int, torch.Generator] = {}

    def __repr__(self) -> str:
        judges = ", ".join(judge.name for judge in self._keep.judges) or "nobody"
        return f"{type(self).__name__}(flip={self.flip!r}, filtered by {judges})"

    @classmethod
    def balanced(
        cls,
        model: str | os.PathLike[str] | CDVAEGAN,
        dataset: AttributeDataset,
        target: str,
        over: str,
        **options: Any,
    ) -> CounterfactualAugment:
        """Flips the target just as often as makes it equally frequent in both groups.

        With p_g = P(t = 1 | g) in the data set and p = P(t = 1), images of a group with p_g < p
        that lack the target are flipped with probability (p − p_g) / (1 − p_g), and in a group with
        p_g > p those that have it with (p_g − p) / p_g. If all flips succeed, P(t = 1 | g) = p.

        Args:
            model: A model, its path or its name.
            dataset: The training images, with both names.
            target: What a classifier is to learn.
            over: What it is not to lean on.
            options: ``judges``, ``strength`` and ``seed``.
        """
        t, g = dataset.select((target, over)).labels.T
        known = (t >= 0) & (g >= 0)
        if len(np.unique(t[known])) < 2 or len(np.unique(g[known])) < 2:
            raise InputError(f"{target} and {over} must both have two values in {dataset.name}")
        network = model if isinstance(model, CDVAEGAN) else load(os.fspath(model))
        if over in related(target, network.config):
            raise InputError(
                f"a rule of the model ties {over} to {target}, so that {over} would be edited, "
                "too: balance over another attribute"
            )
        p = float(t[known].mean())
        table: dict[tuple[int, ...], float] = {}
        for group in (0, 1):
            here = float(t[known & (g == group)].mean())
            table[0, group] = max(0.0, (p - here) / (1 - here)) if here < 1 else 0.0
            table[1, group] = max(0.0, (here - p) / here) if here > 0 else 0.0
        return cls(network, dataset.attributes, target, table, given=(target, over), **options)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Augment a batch, or one image.

        Args:
            images: float ``(B, 3, H, W)`` in [−1, 1] of the model's size, or one ``(3, H, W)``.
            labels: ``(B, K)`` in {0, 1}, −1 for unknown, of any type; or ``(K,)``.

        Returns:
            New tensors of the same shapes and types; the images that are not flipped are the same
            to the last bit.
        """
        if images.ndim == 3:
            x, y = self(images[None], labels[None])
            return x[0], y[0]
        self._check(images, labels)
        generator = self._generator()
        chance = self._chance(labels)
        chosen = torch.rand(len(images), generator=generator) < chance
        if not chosen.any():
            return images.clone(), labels.clone()
        return self._flipped(images, labels, torch.nonzero(chosen)[:, 0])

    def collate(self, samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """A data loader's ``collate_fn``: batches samples of image and labels, and augments."""
        images, labels = default_collate(list(samples))
        return self(images, labels)

    def _flipped(self, images: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        k = self.attributes.index(self.flip)
        target = 1 - labels[rows, k].long()
        editor = ModelEditor(self.model)
        x = images[rows].float().contiguous(memory_format=torch.channels_last)
        edited = editor(x, self.flip, target, self.strength)
        kept = [r is None for r in self._keep(to_uint8(edited).cpu(), target[:, None]).refused]
        rows, edited, target = (v[torch.tensor(kept)] for v in (rows, edited, target))
        images, labels = images.clone(), labels.clone()
        images[rows] = edited.to(images.dtype)
        for row, value in zip(rows.tolist(), target.tolist(), strict=True):
            known = labels[row].cpu().numpy().astype(np.int8)
            after = relabelled(known, self.attributes, self.flip, value, self.model.config)
            labels[row] = torch.from_numpy(after).to(labels)
        return images, labels

    def _chance(self, labels: Tensor) -> Tensor:
        """``(B,)``: of a flip; 0 where the label is not known."""
        chance = torch.zeros(len(labels))
        for values, probability in self._chances.items():
            there = torch.ones(len(labels), dtype=torch.bool)
            for name, value in zip(self._given, values, strict=True):
                there &= labels[:, self.attributes.index(name)].cpu() == value
            chance[there] = probability
        known = labels[:, self.attributes.index(self.flip)].cpu() >= 0
        return torch.where(known, chance, 0)

    def _generator(self) -> torch.Generator:
        if isinstance(self._seed, torch.Generator):
            return self._seed
        worker = torch.utils.data.get_worker_info()
        number = 0 if worker is None else worker.seed  # another in every worker and epoch
        if number not in self._generators:
            spread = np.random.SeedSequence((self._seed, number)).generate_state(1)[0]
            self._generators[number] = torch.Generator().manual_seed(int(spread))
        return self._generators[number]

    def _check(self, images: Tensor, labels: Tensor) -> None:
        size = self.model.image_size
        if tuple(images.shape[1:]) != (3, size, size) or not images.is_floating_point():
            raise InputError(
                f"expected float images (B, 3, {size}, {size}) in [−1, 1], got {images.dtype} "
                f"{tuple(images.shape)}"
            )
        if tuple(labels.shape) != (len(images), len(self.attributes)):
            raise InputError(
                f"expected labels ({len(images)}, {len(self.attributes)}), got "
                f"{tuple(labels.shape)}"
            )


def _chances(
    probability: float | Mapping[tuple[int, ...], float],
    given: Sequence[str],
    attributes: tuple[str, ...],
) -> tuple[tuple[str, ...], dict[tuple[int, ...], float]]:
    table: dict[tuple[int, ...], float] = {}
    table.update(probability if isinstance(probability, Mapping) else {(): probability})
    for name in given:
        if name not in attributes:
            raise unknown_name("label", name, attributes)
    for values, p in table.items():
        if len(values) != len(given):
            raise InputError(f"{values} are not values of the {len(given)} attributes in given")
        if not 0 <= p <= 1:
            raise InputError(f"a probability must lie in [0, 1], not {p}")
    return tuple(given), table
