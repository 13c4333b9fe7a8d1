"""How the shipped model of avatars was trained, in twenty-five parts.

    python experiments/train_avatars64.py --out runs/avatars64

From the second to the twelfth z is erased, but for those in which the encoder learns on: the fifth,
and the seventh to the tenth. From the fourth on an edit is undone, too (`weights.cycle`). Where two
parts start from one, the next goes on from the mean of their weights. In the thirteenth z is turned
for edits to change no more than they must (`least_change.py`); from then on the model learns to
undo its own edits without D (`undo.py`), the encoder learning on; z is erased in between and for
the last.

On an H100, beside another training, the first three took five minutes; the others took some eleven
hours on one processor core. D began anew in the fourth and went on in the eleventh, where here it
is the other way round; the fourteenth was broken off after half of its steps, its rate being at
half; z was erased by LEACE up to the eleventh. ``--share`` makes all parts shorter.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from between import between
from cdvae_gan import CDVAEGAN, load
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.demo import demo_config
from cdvae_gan.training import Limits, TrainConfig, train
from cdvae_gan.training.erasure import erase
from cdvae_gan.training.prior import match_prior
from learning import Batches
from least_change import least_change, turned
from undo import Terms, undone

SOURCE = "avatars:n=20000,validation=0.02"
MORE = "avatars:n=60000,validation=0.02"
SIZE = 64


@dataclass(frozen=True)
class Part:
    """A training from where others ended."""

    steps: int
    config: TrainConfig
    starts: tuple[int, ...]
    """Numbers of the parts whose mean it starts from; none for new weights"""


@dataclass(frozen=True)
class Turned:
    """A part in which a copy learns to be a model turned, E and G for so many steps each."""

    steps: int
    seed: int
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Undone:
    """A part in which a model learns to undo its own edits."""

    steps: int
    rate: float
    seed: int
    starts: tuple[int, ...]
    hidden: float = 2.0
    """How often images are drawn of whose hair a hat leaves little to see, beside the others"""
    terms: Terms = field(default_factory=Terms)
    renew: int | None = None
    """See `undone`"""
    more: bool = False
    """Whether of `MORE` avatars"""


@dataclass(frozen=True)
class Erased:
    """A part, or the mean of two, with z erased."""

    starts: tuple[int, ...]
    faint: float | None = None
    """What to leave out of edits; None for what the model does"""


def parts() -> list[Part | Turned | Undone | Erased]:
    """What is trained, from the first on."""
    first = replace(demo_config(seed=7), width=44, batch_size=64)
    last = replace(first, learning_rate=5e-4, learning_rate_d=4e-4, ema=0.9995)
    cycled = replace(
        last,
        batch_size=32,
        learning_rate=7e-4,
        head_start=200,
        weights=replace(last.weights, cycle=20.0),
    )
    moving = replace(cycled, weights=replace(cycled.weights, z_rate=0.1))
    nearer = _nearer(moving, 40, 0.045, 5e-4, seed=14)
    slower = _nearer(moving, 60, 0.03, 1e-4, seed=17)
    drawn = Terms(draw=0.75)
    sharper = replace(drawn, read=0.7)
    return [
        Part(2661, first, ()),
        Part(1370, replace(first, seed=8, erase=True), (1,)),
        Part(1159, replace(last, seed=9, erase=True), (2,)),
        Part(6218, replace(cycled, seed=10, erase=True), (3,)),
        Part(2765, replace(moving, seed=11), (4,)),
        Part(1609, replace(moving, seed=12, erase=True), (5,)),
        Part(2963, replace(moving, seed=13), (6,)),
        Part(1598, nearer, (7,)),
        Part(954, replace(nearer, head_start=0), (8,)),
        Part(944, _nearer(moving, 100, 0.02, 7e-4, seed=15), (8,)),
        Part(1803, replace(_nearer(moving, 60, 0.03, 4e-4, seed=16), erase=True), (9, 10)),
        Part(1300, replace(slower, erase=True, head_start=0), (11,)),
        Turned(1600, 1, (12,)),
        Undone(800, 7e-4, 1, (13,)),
        Undone(1075, 5e-4, 2, (14,), hidden=7, terms=Terms(read=1.0)),
        *(Undone(575, 7e-4, seed, (15,), 6, sharper, renew=250) for seed in (3, 4)),
        Erased((16, 17)),
        Undone(560, 7e-4, 5, (18,), more=True),
        Erased((19,)),
        *(Undone(780, 7e-4, seed, (20,), terms=drawn, renew=300, more=True) for seed in (6, 7)),
        Erased((21, 22)),
        Undone(1070, 1e-3, 8, (23,), terms=drawn, renew=300, more=True),
        Erased((24,), faint=0.01),
    ]


def _nearer(
    config: TrainConfig, cycle: float, adversarial: float, learning_rate: float, seed: int
) -> TrainConfig:
    """With more weight on being undone, and less on being taken for real."""
    weights = replace(config.weights, cycle=cycle, adversarial=adversarial, branch=adversarial)
    return replace(config, weights=weights, learning_rate=learning_rate, seed=seed)


def main() -> None:
    """Train, part after part; a part that is over is not trained again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", help="of all parts; what is in the module otherwise")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--share", type=float, default=1.0, help="of the steps")
    o = parser.parse_args()

    @cache
    def opened(source: str) -> AttributeDataset:
        return open_dataset(o.source or source, size=o.size, progress=True)

    data = opened(SOURCE)
    for number, part in enumerate(parts(), 1):
        run = _run(o.out, number)
        start = _start(o.out, number, part.starts)
        if isinstance(part, Part):
            begun = (run / "checkpoints" / "last.ckpt").is_file()
            train(
                data,
                run,
                Limits(steps=_steps(part, o.share)),
                part.config,
                resume=begun,
                start_from=None if begun else start,
                validate_every=1000,
                console=Console(),
            )
        elif not (run / "model").is_dir():
            assert start is not None
            shown = opened(MORE) if isinstance(part, Undone) and part.more else data
            _taught(part, load(start), shown.split("train"), o.share).save(run / "model")
    print(f"the model: {run}")


def _run(out: Path, number: int) -> Path:
    return out / f"part-{number}"


def _start(out: Path, number: int, starts: tuple[int, ...]) -> Path | None:
    """What a part starts from: a run, or the mean of two, which has no D."""
    runs = [_run(out, n) for n in starts]
    if len(runs) < 2:
        return runs[0] if runs else None
    one, other = (load(run) for run in runs)
    return between(one, other, 0.5).save(out / f"mean-{number}")


def _steps(part: Part | Turned | Undone, share: float) -> int:
    return max(1, round(share * part.steps))


def _taught(
    part: Turned | Undone | Erased, model: CDVAEGAN, data: AttributeDataset, share: float
) -> CDVAEGAN:
    if isinstance(part, Erased):
        erase(model.encoder, data)
        match_prior(model, data)
        return model.adjusted(faint=part.faint)
    steps = _steps(part, share)
    if isinstance(part, Turned):
        batches = Batches(data, 64, part.seed, _often(data, 4.0))
        return turned(model, least_change(model), batches, steps, covers="Hat", console=Console())
    return undone(
        model,
        Batches(data, 48, part.seed, _often(data, part.hidden)),
        steps,
        part.rate,
        terms=part.terms,
        renew=part.renew,
        console=Console(),
    )


def _often(data: AttributeDataset, hidden: float) -> NDArray[np.float64]:
    """``(N,)``: how often to draw each image."""
    hat, long_hair = data.select(("Hat", "LongHair")).labels.T
    often: NDArray[np.float64] = np.where((hat == 1) & (long_hair == 0), hidden, 1.0)
    return often


if __name__ == "__main__":
    main()
