"""Teach a model to undo its own edits, E too, without D.

    python experiments/undo.py MODEL --source SOURCE --steps 1900 --rate 7e-4 --out runs/undone

No picture says what a photo with another value would be. But the model says it: and of an edit x′
that it drew of a photo x, x is the truth of what undoing it should draw, wherever x′ is wrong. So a
copy learns to draw photos from edits, all labels known, as machine translation learns from its own
translations back (Sennrich et al. 2016, Lample et al. 2018). The edits are those of the model as it
was: nothing can be hidden in them for the copy to find, so E may learn, which for the term `cycle`
of the objective stands still.

What is learned, x″ being what undoing the edit makes of x′:

| term | what it is |
|------|--------------------------------------------------------------------------|
| undo | ‖x″ − x‖, from x′ alone, with the detail of x′                            |
| draw | ‖G(μ(x), a) − x‖ and ‖G(μ(x′), a) − x‖, without any                       |
| read | −log q(a = y ∣ x), −log q(a = a′ ∣ x′)                                    |
| same | ‖μ(x′) − μ(x)‖²                                                          |
| keep | ‖μ(x) − μ_0(x)‖², μ_0 that of the model as it was                         |
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from cdvae_gan import CDVAEGAN, load
from cdvae_gan.counterfactual import transport
from cdvae_gan.data import open_dataset
from cdvae_gan.networks.decoder import Drawing
from cdvae_gan.networks.encoder import Encoding
from cdvae_gan.training.erasure import erase
from cdvae_gan.training.interventions import InterventionSampler
from cdvae_gan.training.prior import match_prior
from learning import Batches, copies, learn

_SPREAD = 0.02
"""Standard deviation of what is added to μ"""


@dataclass(frozen=True)
class Terms:
    """Weights; see the module."""

    undo: float = 8.0
    draw: float = 0.5
    read: float = 0.1
    same: float = 0.05
    keep: float = 0.02


class Undoing:
    """The loss of undoing edits of batches of images.

    Args:
        teacher: Who draws the edits.
        pupil: Who undoes them.
        batches: Of images.
        terms: Their weights.
    """

    def __init__(
        self, teacher: CDVAEGAN, pupil: CDVAEGAN, batches: Batches, terms: Terms | None = None
    ) -> None:
        self.teacher, self.pupil, self.batches = teacher, pupil, batches
        self.terms = terms or Terms()
        self.interventions = InterventionSampler(teacher.prior, cap=1.0)  # none is rare

    def __call__(self) -> Tensor:
        """Of the next batch."""
        x, a = self.batches()
        other = self.interventions(a).a
        with torch.no_grad():
            known = self.teacher.encoder(x).z_mean
            edit = transport(
                x, self.teacher.decoder(known, a), self.teacher.decoder(known, other), detail=1.0
            ).image.clamp(-1, 1)
        e: Encoding = self.pupil.encoder(torch.cat([x, edit]))
        of_x, of_edit = e.z_mean.chunk(2)
        z = e.z_mean + _SPREAD * torch.randn_like(e.z_mean)
        z_x, z_edit = z.chunk(2)
        drawn: Drawing = self.pupil.decoder(
            torch.cat([z_x, z_edit, z_edit]), torch.cat([a, other, a])
        )
        photo, factual, undone = drawn.split([len(x)] * 3)
        back = transport(edit, factual, undone, detail=1.0).image
        t = self.terms
        return (
            t.undo * F.l1_loss(back, x)
            + t.draw * (F.l1_loss(photo.location, x) + F.l1_loss(undone.location, x))
            + t.read * F.binary_cross_entropy_with_logits(e.a_logits, torch.cat([a, other]))
            + t.same * F.mse_loss(of_edit, of_x.detach())
            + t.keep * F.mse_loss(of_x, known)
        )


def undone(
    model: CDVAEGAN,
    batches: Batches,
    steps: int,
    rate: float,
    *,
    terms: Terms | None = None,
    renew: int | None = None,
    console: Console | None = None,
) -> CDVAEGAN:
    """A copy that has learned to undo the edits of a model.

    Args:
        model: The model.
        batches: Of images with all labels, of its attributes and size.
        steps: How many.
        rate: The highest learning rate.
        terms: The weights of what is learned.
        renew: After how many steps the edits become those of the copy as it is then; None: never.
        console: Where to say how it goes.
    """
    pupil, average = copies(model)
    undoing = Undoing(copy.deepcopy(model).eval(), pupil, batches, terms)
    seen = count(1)

    def lesson() -> Tensor:
        if renew and next(seen) % renew == 0:
            undoing.teacher.load_state_dict(average.state_dict())
        return undoing()

    torch.manual_seed(batches.seed)  # of interventions and of z
    learn(pupil, average, lesson, steps, rate, console=console)
    return average


def main() -> None:
    """Write the model that learned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--source", required=True, help="images with all labels")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--erase", action="store_true", help="erase z of what was learned")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    o = parser.parse_args()
    model = load(o.model)
    data = open_dataset(o.source, size=model.image_size, attributes=model.attributes, progress=True)
    data = data.split("train")
    batches = Batches(data, o.batch, o.seed)
    found = undone(model, batches, o.steps, o.rate, console=Console())
    if o.erase:
        erase(found.encoder, data)
    match_prior(found, data)
    print(found.save(o.out))


if __name__ == "__main__":
    main()
