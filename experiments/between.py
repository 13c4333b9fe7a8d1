"""A model between two: the mean of their weights (Wortsman et al. 2022, Izmailov et al. 2018).

    python experiments/between.py FIRST SECOND --share 0.4 --celeba CELEBA --out runs/between

Where one of two models was trained on from the other, what lies between their weights draws too,
with edits between theirs. Given one that convinces judges by caricature and one that is real but
shy, there are models between them that keep most of what is good in either. z of the mean is erased
again, since a mean of two erased encoders is not quite erased; `cdvae-gan calibrate` measures its
reach anew.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cdvae_gan import CDVAEGAN, load
from cdvae_gan.data import open_dataset
from cdvae_gan.errors import InputError
from cdvae_gan.training.erasure import erase


def between(first: CDVAEGAN, second: CDVAEGAN, share: float) -> CDVAEGAN:
    """(1 − share) of the first and share of the second, weight by weight.

    Raises:
        InputError: They are not of one kind, or the share is not in [0, 1].
    """
    config = replace(first.config, reach=(), faint=0.0)
    if config != replace(second.config, reach=(), faint=0.0, alternatives=config.alternatives):
        raise InputError("only models of equal configuration have something between them")
    if not 0 <= share <= 1:
        raise InputError(f"--share must lie in [0, 1], not {share}")
    model = CDVAEGAN(config).eval()
    one, other = first.state_dict(), second.state_dict()
    model.load_state_dict({name: _mean(value, other[name], share) for name, value in one.items()})
    return model


def _mean(one: Tensor, other: Tensor, share: float) -> Tensor:
    return torch.lerp(one, other, share) if one.is_floating_point() else one  # or it is a count


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--share", type=float, required=True, help="of the second")
    parser.add_argument("--celeba", help="photos to erase z with; without, it is left as it is")
    parser.add_argument("--out", type=Path, required=True)
    o = parser.parse_args()
    model = between(load(o.first), load(o.second), o.share)
    if o.celeba:
        data = open_dataset(o.celeba, size=model.image_size, attributes=model.attributes)
        erase(model.encoder, data.split("train"))
        model.config = replace(model.config, alternatives=data.alternatives)
    print(model.save(o.out, half=True))


if __name__ == "__main__":
    main()
