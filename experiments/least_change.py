"""Turn a model's z so that its edits change no more than they must, and teach E and G to do so.

    python experiments/least_change.py MODEL --source SOURCE --covers Hat --out runs/least

Data say what the blond look like and what the dark do, not which of the blond a dark one would be:
with z ~ N(0, I) whatever a, and R_a orthogonal, E with R_aᵀ μ(x) and G(R_a z, a) draw the same
reconstructions and the same samples, and other counterfactuals. No term on them that looks at
one image at a time can tell. What is left is that an edit should be as small as it can: of all
couplings of two normal distributions the one that is least in mean square has a covariance that is
symmetric and has no negative direction (Dowson & Landau 1982; Olkin & Pukelsheim 1982). With J_v
the linear regression of G(z, a_k = v) on z, the covariance of the two drawings seen from z is
M = J_1 J_0ᵀ; the directions in which its symmetric part is negative are those where who has more
of something gets less of it by the edit, and there R_k = I − 2 V Vᵀ turns z round.

A network cannot be multiplied by R_a; a copy learns to be the old one turned: E to tell R_aᵀ μ(x)
of x and of its edits, G to draw what the old one draws of R_a z. That takes minutes, without D.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from cdvae_gan import CDVAEGAN, load
from cdvae_gan.counterfactual import transport
from cdvae_gan.data import open_dataset
from cdvae_gan.errors import unknown_name
from cdvae_gan.networks.encoder import Encoding
from learning import Batches, copies, learn

_DRAWN = 8000
_BATCH = 64
_NEGLIGIBLE = 0.02
"""Of the largest eigenvalue of M: what is closer to 0 is noise of the regression"""
_LEARNING_RATE = 1e-3
_SWAPPED = 0.25
_NOISE = 0.1
_VARIANCE = 0.05
_LOGITS = 0.02


class Turn:
    """R_a: one reflection after the other, of those attributes that are on.

    Args:
        directions: For each attribute an orthonormal basis ``(d, n)`` of what it turns round; n may
            be 0.
    """

    def __init__(self, directions: list[Tensor]) -> None:
        self.directions = directions

    def __call__(self, z: Tensor, a: Tensor) -> Tensor:
        """R_a z, for z ``(B, d)`` and a ``(B, K)`` in {0, 1}."""
        for k, v in enumerate(self.directions):
            z = z - 2 * a[:, k : k + 1] * (z @ v) @ v.T
        return z

    def back(self, z: Tensor, a: Tensor) -> Tensor:
        """R_aᵀ z."""
        return Turn(self.directions[::-1])(z, a.flip(1))


@torch.no_grad()
def least_change(model: CDVAEGAN, seed: int = 0) -> Turn:
    """The turn after which edits change no more than they must; see the module.

    Args:
        model: Of a z that is independent of a, such as one that was erased.
        seed: Of the z and a that are drawn.
    """
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(_DRAWN, model.config.z_dim, generator=draw)
    a = (torch.rand(_DRAWN, len(model.attributes), generator=draw) < model.prior).float()
    return Turn([_reversed(model, z, a, k) for k in range(len(model.attributes))])


def _reversed(model: CDVAEGAN, z: Tensor, a: Tensor, k: int) -> Tensor:
    off, on = (_slopes(model, z, _with(a, k, value)) for value in (0.0, 1.0))
    both = on @ off.T
    values, vectors = torch.linalg.eigh((both + both.T) / 2)
    wrong: Tensor = vectors[:, values < -_NEGLIGIBLE * values.max()]
    return wrong


def _with(a: Tensor, k: int, value: float) -> Tensor:
    a = a.clone()
    a[:, k] = value
    return a


def _slopes(model: CDVAEGAN, z: Tensor, a: Tensor) -> Tensor:
    """J, ``(d, 3·H·W)``."""
    parts = zip(z.split(_BATCH), a.split(_BATCH), strict=True)
    drawn = torch.cat([model.decode(*part) for part in parts]).flatten(1)
    slopes: Tensor = torch.linalg.lstsq(z, drawn - drawn.mean(0)).solution
    return slopes


class Lessons:
    """What the old model, turned, says of batches of images.

    Args:
        teacher: The old model.
        turn: What it is turned by.
        batches: Of images.
        covers: An attribute that hides what z should tell. Then E learns z from images without it,
            and from half of them with it put on.

    Raises:
        InputError: The model has no such attribute.
    """

    def __init__(
        self, teacher: CDVAEGAN, turn: Turn, batches: Batches, covers: str | None = None
    ) -> None:
        self.teacher, self.turn, self.batches = teacher, turn, batches
        if covers is not None and covers not in teacher.attributes:
            raise unknown_name("attribute", covers, teacher.attributes)
        self.covers = None if covers is None else teacher.attributes.index(covers)

    def of_encoder(self, encoder: nn.Module) -> Tensor:
        """How far an encoder is from telling the turned z of images and of their edits, and a."""
        x, a = self.batches()
        other = self._other(a)
        with torch.no_grad():
            told = self.teacher.encoder(x)
            z = self.turn.back(told.z_mean, a)
            known = torch.ones(len(x))
            if self.covers is not None:
                known = 1 - a[:, self.covers]
                put_on = torch.rand(len(x), generator=self.batches.draw) < 0.5
                other[:, self.covers] = torch.maximum(a[:, self.covers], put_on.float())
            edit = transport(
                x,
                self.teacher.decoder(told.z_mean, a),
                self.teacher.decoder(self.turn(z, other), other),
                detail=1.0,
            )
        found: Encoding = encoder(torch.cat([x, edit.image.clamp(-1, 1)]))
        off = (found.z_mean - z.repeat(2, 1)).square().mean(1) * known.repeat(2)
        spread = (found.z_log_variance[: len(x)] - told.z_log_variance).square().mean()
        read = F.binary_cross_entropy_with_logits(found.a_logits, torch.cat([a, other]))
        loss: Tensor = off.sum() / known.repeat(2).sum().clamp(min=1) + _VARIANCE * spread + read
        return loss

    def of_decoder(self, decoder: nn.Module) -> Tensor:
        """How far a decoder is from drawing what the turned one draws, of any a."""
        x, a = self.batches()
        other = self._other(a)
        with torch.no_grad():
            z = self.turn.back(self.teacher.encoder(x).z_mean, a)
            z = z + _NOISE * torch.randn(z.shape, generator=self.batches.draw)
            wanted = self.teacher.decoder(self.turn(z, other), other)
        drawn = decoder(z, other)
        location, *logits = (F.l1_loss(d, w) for d, w in zip(drawn, wanted, strict=True))
        return location + _LOGITS * torch.stack(logits).nansum()

    def _other(self, a: Tensor) -> Tensor:
        draw = self.batches.draw
        swapped = torch.rand(a.shape, generator=draw) < _SWAPPED
        anything = (torch.rand(a.shape, generator=draw) < 0.5).float()
        return torch.where(swapped, anything, a)


def turned(
    model: CDVAEGAN,
    turn: Turn,
    batches: Batches,
    steps: int,
    *,
    covers: str | None = None,
    console: Console | None = None,
) -> CDVAEGAN:
    """A copy that has learned to be a model turned.

    Args:
        model: The model.
        turn: See `least_change`.
        batches: Of images with all labels, of the model's attributes and size.
        steps: Of E, and as many of G.
        covers: See `Lessons`.
        console: Where to say how it goes.
    """
    pupil, average = copies(model)
    lessons = Lessons(model.eval(), turn, batches, covers)
    for network, kept, lesson in (
        (pupil.encoder, average.encoder, lessons.of_encoder),
        (pupil.decoder, average.decoder, lessons.of_decoder),
    ):
        learn(network, kept, partial(lesson, network), steps, _LEARNING_RATE, console=console)
    return average


def main() -> None:
    """Write the model that was turned, or say that there is nothing to turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--source", required=True, help="images with all labels")
    parser.add_argument("--covers", help="an attribute that hides what z should tell")
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    o = parser.parse_args()
    model = load(o.model)
    turn = least_change(model)
    for name, directions in zip(model.attributes, turn.directions, strict=True):
        print(f"{name}: {directions.shape[1]} of {model.config.z_dim} directions go the wrong way")
    if not any(directions.shape[1] for directions in turn.directions):
        return
    data = open_dataset(o.source, size=model.image_size, attributes=model.attributes, progress=True)
    batches = Batches(data.split("train"), _BATCH, o.seed)
    found = turned(model, turn, batches, o.steps, covers=o.covers, console=Console())
    print(found.save(o.out))


if __name__ == "__main__":
    main()
