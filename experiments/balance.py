"""Do counterfactuals help the worst group? A small residual network, trained in eight ways.

    python experiments/balance.py --small                          avatars, a minute
    python experiments/balance.py --work runs/balance \
        --celeba CELEBA --judge judges/cnn                         CelebA and avatars, five seeds
    python experiments/balance.py … --fractions 0.01,0.1,1         also 1 % and 10 % of the data

Tasks, each with its groups (target × group), measured on the validation split:

    blond      CelebA, Blond_Hair × Male: few blond men
    glasses    CelebA, Eyeglasses × Male
    avatars    Smile × Glasses, equal in 95 % of the training split, independent in validation

    erm        as it is                                resample    every group as often
    reweight   every group with the same weight        mixup, jitter   ordinary augmentation
    ours       with counterfactuals from augment       ours+resample, ours+reweight
    ours+reweight-real    weights even out the real images; counterfactuals count 1 each, and take
                          no weight from the few real ones of a rare group

All networks take equally many steps; none is chosen by looking at the validation split. Every
trained network leaves a file in the work folder, so a broken run goes on where it was. Intervals
draw validation images (or persons); the spread is that over seeds.

What it leaves open: the generator was trained on the whole training split, so with 1 % and 10 % of
the data it has seen more than the classifiers; and the judge that filters has seen the same skew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

import cdvae_gan
from cdvae_gan.data import AttributeDataset
from cdvae_gan.data.cache import digest
from cdvae_gan.evaluation.bootstrap import Estimate, estimates, grouped
from cdvae_gan.evaluation.judges.network import augmented
from cdvae_gan.evaluation.judges.networks import ResidualNetwork, channels_last
from cdvae_gan.evaluation.splits import groups_of
from cdvae_gan.images import to_float

BASELINES = ("erm", "resample", "reweight", "mixup", "jitter")
OURS = ("ours", "ours+resample", "ours+reweight", "ours+reweight-real")
METHODS = (*BASELINES, *OURS)
TASKS = ("blond", "glasses", "avatars")
BATCH = 128
MIXUP = 0.4

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A data set in which a target goes with a group."""

    name: str
    source: str
    target: str
    group: str
    model: str
    judges: tuple[str, ...]
    size: int
    edit: Literal["target", "group", "both"]


@dataclass(frozen=True)
class Part:
    """Images with a target and a group."""

    data: AttributeDataset
    target: Labels
    group: Labels

    @classmethod
    def of(cls, data: AttributeDataset, task: Task) -> Part:
        """Those of which both are known."""
        labels = data.select((task.target, task.group)).labels.astype(np.int64)
        known = np.flatnonzero((labels >= 0).all(1))
        return cls(data.take(known), *labels[known].T)

    @property
    def cell(self) -> Labels:
        """``(N,)`` in {0, 1, 2, 3}."""
        return 2 * self.target + self.group


def main() -> None:
    """Train what has not been trained yet, and print the tables."""
    o = options()
    found = {}
    for task in tasks(o):
        if task.name not in o.tasks:
            continue
        data = cdvae_gan.open_dataset(task.source, size=task.size, progress=True)
        validation = Part.of(data.split("validation"), task)
        for fraction in o.fractions:
            label = f"{task.name}, {fraction:.0%} of the data"
            train = Part.of(some(data.split("train"), fraction), task)
            correct = trained(task, train, validation, fraction, o)
            print(f"\n{label}: {len(train.data):,} images, groups {counts(train)}")
            print(f"  validation {len(validation.data):,}, groups {counts(validation)}")
            found[label] = show(correct, validation)
    (o.work / "results.json").write_text(json.dumps(found, indent=2) + "\n")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/balance"))
    parser.add_argument("--small", action="store_true", help="avatars alone, a minute")
    parser.add_argument("--celeba", help="folder of CelebA; without it avatars alone")
    parser.add_argument("--model", default="celeba64", help="of CelebA")
    parser.add_argument("--judge", action="append", default=[], help="filters CelebA's edits")
    parser.add_argument("--avatars-model", default="truth", help="truth: the true counterfactuals")
    parser.add_argument("--avatars-judge", action="append", default=[])
    parser.add_argument("--edit", default="target", choices=("target", "group", "both"))
    parser.add_argument("--tasks", type=partial(names, known=TASKS), default=TASKS)
    parser.add_argument("--methods", type=partial(names, known=METHODS), default=METHODS)
    parser.add_argument("--fractions", type=numbers, default=(1.0,))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=8, help="of the original training split")
    parser.add_argument("--least-steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=24)
    o = parser.parse_args()
    if o.small:
        o.celeba, o.seeds, o.epochs, o.least_steps, o.width = None, 2, 4, 40, 8
        o.work = o.work / "small"
    if o.celeba and not o.judge:
        parser.error("CelebA's edits need a --judge to filter them")
    o.work.mkdir(parents=True, exist_ok=True)
    return o


def names(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Names of an option."""
    chosen = tuple(text.split(","))
    for name in chosen:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
    return chosen


def numbers(text: str) -> tuple[float, ...]:
    """Fractions of an option."""
    return tuple(float(part) for part in text.split(","))


def tasks(o: argparse.Namespace) -> Iterator[Task]:
    """What is asked for."""
    if o.celeba:
        judges = tuple(o.judge)
        for name, target in (("blond", "Blond_Hair"), ("glasses", "Eyeglasses")):
            yield Task(name, o.celeba, target, "Male", o.model, judges, 64, o.edit)
    n, size = (700, 64) if o.small else (6000, 64)
    yield Task(
        name="avatars",
        source=f"avatars:n={n},seed=21,validation=0.25,confound=Glasses+Smile:0.95",
        target="Smile",
        group="Glasses",
        model=o.avatars_model,
        judges=tuple(o.avatars_judge),
        size=size,
        edit=o.edit,
    )


def some(data: AttributeDataset, fraction: float) -> AttributeDataset:
    """A part of the images, which the greater parts hold too."""
    order = np.random.default_rng(0).permutation(len(data))
    return data.take(np.sort(order[: max(1, round(fraction * len(data)))]))


def trained(
    task: Task, train: Part, validation: Part, fraction: float, o: argparse.Namespace
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which validation images the networks of each method get right, ``(seeds, N)``."""
    made = cache(partial(counterfactuals, task, train, fraction, o))
    plan = (task, o.epochs, o.least_steps, o.learning_rate, o.width)
    stem = f"{task.name}-{fraction:g}-{digest(plan)}"
    correct = {}
    for method in o.methods:
        paths = [o.work / "networks" / f"{stem}-{method}-{s}.npy" for s in range(o.seeds)]
        for seed, path in enumerate(paths):
            if not path.is_file():
                parts = [train, made()] if method in OURS else [train]
                steps = max(o.least_steps, round(o.epochs * len(train.data) / BATCH))
                network = fit(parts, method.removeprefix("ours+"), steps, seed, o)
                right = predictions(network, validation) == (validation.target == 1)
                keep(path, right)
                print(f"  {path.stem}: {right.mean():.3f}", flush=True)
        correct[method] = np.stack([np.load(path) for path in paths])
    return correct


def keep(path: Path, values: npt.NDArray[np.bool_]) -> None:
    """Write an array, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial.npy")
    np.save(unfinished, values)
    unfinished.replace(path)


def counterfactuals(task: Task, train: Part, fraction: float, o: argparse.Namespace) -> Part:
    """What `augment` adds to these images."""
    folder = o.work / "augmented" / f"{task.name}-{fraction:g}-{task.edit}"
    found = cdvae_gan.augment(
        train.data,
        folder,
        target=task.target,
        balance_over=task.group,
        model=task.model,
        judges=task.judges,
        unfiltered=not task.judges,
        edit=task.edit,
        originals="none",
    )
    for cell in found.cells:
        if cell.wanted:
            refused = sum(cell.refused.values())
            print(f"  {cell.name}: {cell.added} added, {refused} refused, {cell.short} lacking")
    return Part.of(cdvae_gan.open_dataset(folder, size=task.size), task)


def fit(
    parts: Sequence[Part], method: str, steps: int, seed: int, o: argparse.Namespace
) -> ResidualNetwork:
    """Train one network."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    network = channels_last(ResidualNetwork(1, width=o.width)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=o.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, o.learning_rate, total_steps=steps + 1, pct_start=0.15
    )
    cell = np.concatenate([part.cell for part in parts])
    target = np.concatenate([part.target for part in parts])
    counted = np.ones(len(cell), bool)
    if method == "reweight-real":
        counted[len(parts[0].cell) :] = False
    share = np.bincount(cell[counted], minlength=4) / counted.sum()
    even = np.ones(len(cell))
    even[counted] = 1 / (np.count_nonzero(share) * share[cell[counted]])  # mean 1
    chances = even / even.sum() if method == "resample" else None
    for _ in range(steps):
        rows = generator.choice(len(cell), BATCH, p=chances)
        x, y = images(parts, rows), torch.from_numpy(target[rows]).float()
        x = ordinary(x, generator, jitter=method == "jitter")
        weight = torch.from_numpy(even[rows]).float() if method.startswith("reweight") else None
        if method == "mixup":
            x, y = mixed(x, y, generator)
        loss = F.binary_cross_entropy_with_logits(network(x)[:, 0], y, weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def images(parts: Sequence[Part], rows: Labels) -> Tensor:
    """Of the parts one after the other: uint8 ``(B, 3, H, W)``."""
    result, start = None, 0
    for part in parts:
        inside = (rows >= start) & (rows < start + len(part.data))
        if inside.any():
            found = part.data.batch(rows[inside] - start).images
            if result is None:
                result = torch.empty(len(rows), *found.shape[1:], dtype=torch.uint8)
            result[torch.from_numpy(inside)] = found
        start += len(part.data)
    assert result is not None
    return result


def ordinary(x: Tensor, generator: np.random.Generator, *, jitter: bool) -> Tensor:
    """Mirrored at random; with jitter also shifted and recoloured. Float in about [−1, 1]."""
    if jitter:
        return augmented(x, generator)
    mirrored = torch.from_numpy(generator.random(len(x)) < 0.5)[:, None, None, None]
    y = to_float(x)
    return torch.where(mirrored, y.flip(3), y).contiguous(memory_format=torch.channels_last)


def mixed(x: Tensor, y: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018)."""
    share = torch.from_numpy(generator.beta(MIXUP, MIXUP, len(x))).float()
    order = torch.from_numpy(generator.permutation(len(x)))
    wide = share[:, None, None, None]
    return wide * x + (1 - wide) * x[order], share * y + (1 - share) * y[order]


@torch.no_grad()
def predictions(network: ResidualNetwork, part: Part) -> npt.NDArray[np.bool_]:
    """``(N,)``: yes or no."""
    starts = range(0, len(part.data), 256)
    rows = (np.arange(s, min(s + 256, len(part.data))) for s in starts)
    logits = [network(to_float(part.data.batch(r).images))[:, 0] for r in rows]
    return (torch.cat(logits) > 0).numpy()


def counts(part: Part) -> str:
    """``t0g0 … t1g1`` with their sizes."""
    sizes = np.bincount(part.cell, minlength=4)
    return ", ".join(f"t{c // 2}g{c % 2} {n:,}" for c, n in enumerate(sizes))


def show(correct: dict[str, npt.NDArray[np.bool_]], part: Part) -> dict[str, Any]:
    """Average and worst-group accuracy of every method, and how the best compares."""
    methods = tuple(correct)
    worst = worst_of(correct, part)
    average = [
        estimates(
            grouped(np.stack([c.mean(0), np.ones(len(part.data))], 1), groups_of(part.data)),
            lambda t: t[..., 0] / t[..., 1],
            len(part.data),
        ).item()
        for c in correct.values()
    ]
    table = {}
    for i, method in enumerate(methods):
        seeds = [
            min(c[part.cell == g].mean() for g in np.unique(part.cell)) for c in correct[method]
        ]
        print(
            f"  {method:14} average {plain(average[i])}   worst group {plain(worst[i])}"
            f"   over seeds {np.mean(seeds):.3f} ± {np.std(seeds):.3f}"
        )
        table[method] = {
            "average": average[i].to_dict(),
            "worst": worst[i].to_dict(),
            "worst_of_each_seed": [float(s) for s in seeds],
        }
    for ours in OURS:
        for other in ("resample", "reweight"):
            if ours in correct and other in correct:
                d = worst_difference(correct[ours], correct[other], part)
                print(f"  worst group, {ours} less {other}: {plain(d)}")
                table[f"{ours} less {other}"] = {"worst": d.to_dict()}
    return table


def worst_of(correct: dict[str, npt.NDArray[np.bool_]], part: Part) -> list[Estimate]:
    """The accuracy in the worst group, averaged over seeds, of each method."""
    sums = np.stack([by_cell(c, part) for c in correct.values()], axis=1)
    found = estimates(
        grouped(sums, groups_of(part.data)),
        lambda t: np.nanmin(t[..., 0] / t[..., 1], axis=-1),
        len(part.data),
    )
    return list(found)


def worst_difference(
    one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], part: Part
) -> Estimate:
    """Of two methods on the same resamples of images."""
    sums = np.stack([by_cell(one, part), by_cell(other, part)], axis=1)

    def statistic(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        worst = np.nanmin(t[..., 0] / t[..., 1], axis=-1)
        less: npt.NDArray[np.float64] = worst[..., 0] - worst[..., 1]
        return less

    found = estimates(grouped(sums, groups_of(part.data)), statistic, len(part.data))
    result: Estimate = found.item()
    return result


def by_cell(correct: npt.NDArray[np.bool_], part: Part) -> npt.NDArray[np.float64]:
    """``(N, 4, 2)``: of each image, in its group's place, the share of seeds right, and 1."""
    sums = np.zeros((len(part.data), 4, 2))
    rows = np.arange(len(part.data))
    sums[rows, part.cell] = np.stack([correct.mean(0), np.ones(len(rows))], axis=1)
    return sums


def plain(e: Estimate) -> str:
    """``.812 [.790, .831]``."""
    return f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"


if __name__ == "__main__":
    main()
