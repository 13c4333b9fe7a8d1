"""How the shipped model of avatars was trained, in six parts.

    python experiments/train_avatars64.py --out runs/avatars64

In four of them z stays erased; in the last three an edit is undone, too (`weights.cycle`). On an
H100, beside another training, the first three took five minutes; the others took some four hours on
one processor core. D began anew in the fourth, here it goes on. ``--share`` makes all parts
shorter.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cdvae_gan.data import open_dataset
from cdvae_gan.demo import demo_config
from cdvae_gan.training import Limits, TrainConfig, train

SOURCE = "avatars:n=20000,validation=0.02"
SIZE = 64


def parts() -> list[tuple[int, TrainConfig]]:
    """The number of steps and the settings of each part."""
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
    return [
        (2661, first),
        (1370, replace(first, seed=8, erase=True)),
        (1159, replace(last, seed=9, erase=True)),
        (6218, replace(undone, seed=10, erase=True)),
        (2765, replace(moving, seed=11)),
        (1609, replace(moving, seed=12, erase=True)),
    ]


def main() -> None:
    """Train, part after part; a part that is over is not trained again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", default=SOURCE)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--share", type=float, default=1.0, help="of the steps")
    o = parser.parse_args()
    data = open_dataset(o.source, size=o.size, progress=True)
    before: Path | None = None
    for number, (steps, config) in enumerate(parts(), 1):
        run = o.out / f"part-{number}"
        begun = (run / "checkpoints" / "last.ckpt").is_file()
        train(
            data,
            run,
            Limits(steps=max(1, round(o.share * steps))),
            config,
            resume=begun,
            start_from=None if begun else before,
            validate_every=1000,
            console=Console(),
        )
        before = run
    print(f"the model: {before}")


if __name__ == "__main__":
    main()
