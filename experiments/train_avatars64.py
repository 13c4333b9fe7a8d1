"""How the shipped model of avatars was trained, in twelve parts.

    python experiments/train_avatars64.py --out runs/avatars64

From the second on z is erased, but for those in which the encoder learns on: the fifth, and the
seventh to the tenth. From the fourth on an edit is undone, too (`weights.cycle`). The ninth and the
tenth both go on from the eighth, and the eleventh from the mean of their weights. On an H100,
beside another training, the first three took five minutes; the others took some seven hours on one
processor core. D began anew in the fourth and went on in the eleventh, where here it is the other
way round. ``--share`` makes all parts shorter.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from between import between
from cdvae_gan import load
from cdvae_gan.data import open_dataset
from cdvae_gan.demo import demo_config
from cdvae_gan.training import Limits, TrainConfig, train

SOURCE = "avatars:n=20000,validation=0.02"
SIZE = 64


@dataclass(frozen=True)
class Part:
    """A training from where others ended."""

    steps: int
    config: TrainConfig
    starts: tuple[int, ...]
    """Numbers of the parts whose mean it starts from; none for new weights"""


def parts() -> list[Part]:
    """What is trained, from the first on."""
    first = replace(demo_config(seed=7), width=44, batch_size=64)
    last = replace(first, learning_rate=5e-4, learning_rate_d=4e-4, ema=0.9995)
    undone = replace(
        last,
        batch_size=32,
        learning_rate=7e-4,
        head_start=200,
        weights=replace(last.weights, cycle=20.0),
    )
    moving = replace(undone, weights=replace(undone.weights, z_rate=0.1))
    nearer = _nearer(moving, 40, 0.045, 5e-4, seed=14)
    slower = _nearer(moving, 60, 0.03, 1e-4, seed=17)
    return [
        Part(2661, first, ()),
        Part(1370, replace(first, seed=8, erase=True), (1,)),
        Part(1159, replace(last, seed=9, erase=True), (2,)),
        Part(6218, replace(undone, seed=10, erase=True), (3,)),
        Part(2765, replace(moving, seed=11), (4,)),
        Part(1609, replace(moving, seed=12, erase=True), (5,)),
        Part(2963, replace(moving, seed=13), (6,)),
        Part(1598, nearer, (7,)),
        Part(954, replace(nearer, head_start=0), (8,)),
        Part(944, _nearer(moving, 100, 0.02, 7e-4, seed=15), (8,)),
        Part(1803, replace(_nearer(moving, 60, 0.03, 4e-4, seed=16), erase=True), (9, 10)),
        Part(1300, replace(slower, erase=True, head_start=0), (11,)),
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
    parser.add_argument("--source", default=SOURCE)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--share", type=float, default=1.0, help="of the steps")
    o = parser.parse_args()
    data = open_dataset(o.source, size=o.size, progress=True)
    for number, part in enumerate(parts(), 1):
        run = _run(o.out, number)
        begun = (run / "checkpoints" / "last.ckpt").is_file()
        train(
            data,
            run,
            Limits(steps=max(1, round(o.share * part.steps))),
            part.config,
            resume=begun,
            start_from=None if begun else _start(o.out, part),
            validate_every=1000,
            console=Console(),
        )
    print(f"the model: {run}")


def _run(out: Path, number: int) -> Path:
    return out / f"part-{number}"


def _start(out: Path, part: Part) -> Path | None:
    """What a part starts from: a run, or the mean of two, which has no D."""
    runs = [_run(out, number) for number in part.starts]
    if len(runs) < 2:
        return runs[0] if runs else None
    one, other = (load(run) for run in runs)
    return between(one, other, 0.5).save(out / "mean")


if __name__ == "__main__":
    main()
