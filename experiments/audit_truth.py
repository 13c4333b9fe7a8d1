"""Does an audit say the truth? Classifiers on drawn avatars, whose true dependence is known.

    python experiments/audit_truth.py                      the figures of the lab book
    python experiments/audit_truth.py --small              a minute, to see that it runs
    python experiments/audit_truth.py --model runs/avatars also a model's edits against the truth

The true effect of an attribute is taken over a pool of avatars, each drawn with and without it. An
audit sees a sample of the pool. Two kinds of classifier:

    known     colour of the clothes + β · [the nearest known picture has glasses] + noise that
              differs from picture to picture: depends on glasses by β, and not on hats
    learned   a network that reads smiles, trained where Smile has the value of Glasses with p = .9
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import cdvae_gan
from cdvae_gan.auditing import Audit
from cdvae_gan.data import AttributeDataset
from cdvae_gan.evaluation.edits import Editor, ModelEditor, TruthEditor
from cdvae_gan.evaluation.judges import Judge, JudgeTraining, train_judge
from cdvae_gan.images import to_float, to_uint8

AMOUNTS = (0.0, 0.05, 0.1, 0.3)
NOISE = 0.3
AUDITED = ("Glasses", "Hat")
UNRELATED = "Suit"

Score = Callable[[Tensor], Tensor]


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--n", type=int, default=150, help="images of an audit")
    parser.add_argument("--pool", type=int, default=1000)
    parser.add_argument("--train", type=int, default=4000, help="avatars that networks learn from")
    parser.add_argument("--epochs", type=float, default=6)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--model", help="a model of avatars of that size")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON file")
    o = parser.parse_args()
    if o.small:
        o.seeds, o.n, o.pool, o.train, o.epochs = 10, 60, 150, 600, 4
    pool = cdvae_gan.open_dataset(f"avatars:n={o.pool},seed=11,validation=0", size=o.size)
    editor = TruthEditor(pool)
    found: dict[str, Any] = {"options": {k: str(v) for k, v in vars(o).items()}}
    found["known"] = known(pool, editor, o)
    found["learned"] = learned(pool, editor, o)
    if o.out:
        o.out.write_text(json.dumps(found, indent=2) + "\n")


def known(
    pool: AttributeDataset, editor: TruthEditor, o: argparse.Namespace
) -> list[dict[str, Any]]:
    """A classifier made to depend on glasses by a known amount."""
    has_glasses = recogniser(pool, editor, "Glasses")
    rows = []
    print(f"known amount: {o.seeds} audits of {o.n} of {o.pool} avatars")
    for amount in AMOUNTS:
        score = depends(has_glasses, amount)
        truth = {name: true_effect(score, pool, editor, name) for name in AUDITED}
        audits = [
            audit(noisy(score, seed), sample(pool, o.n, seed), editor, seed, AUDITED)
            for seed in range(o.seeds)
        ]
        for name in AUDITED:
            rows.append({"amount": amount, **summary(name, truth[name], audits)})
            print(line(f"amount {amount:<4g} {name}", rows[-1]))
    return rows


def learned(
    pool: AttributeDataset, editor: TruthEditor, o: argparse.Namespace
) -> list[dict[str, Any]]:
    """A network that has learned a shortcut, and what a model's edits find of it."""
    source = (
        f"avatars:n={o.train},seed=13,validation=0.2,confound=Glasses+Smile:0.9,confound_in=all"
    )
    judge = network(source, "Smile", o)

    def score(x: Tensor) -> Tensor:
        return judge.logits(to_uint8(x))[:, 0].sigmoid()

    names = tuple(n for n in pool.attributes if n != UNRELATED)
    truth = {name: true_effect(score, pool, editor, name) for name in names}
    makers: dict[str, Editor] = {"truth": editor}
    if o.model:
        makers["model"] = ModelEditor(cdvae_gan.load(o.model))
    rows = []
    for kind, maker in makers.items():
        print(f"learned shortcut, edits by {kind}")
        audits = [
            audit(score, sample(pool, o.n, seed), maker, seed, names) for seed in range(o.seeds)
        ]
        for name in names:
            rows.append({"edits": kind, **summary(name, truth[name], audits)})
            print(line(name, rows[-1]))
    return rows


def network(source: str, attribute: str, o: argparse.Namespace) -> Judge:
    """A plain CNN that reads one attribute."""
    data = cdvae_gan.open_dataset(source, size=o.size, attributes=[attribute])
    return train_judge(data, family="cnn", training=JudgeTraining(epochs=o.epochs, bf16=False))


def recogniser(pool: AttributeDataset, editor: TruthEditor, name: str) -> Score:
    """Whether an image has an attribute: as the nearest picture has it, of all that are drawn."""
    labels = torch.from_numpy(pool.labels.astype(np.int64))
    x = to_float(pool.batch(range(len(pool))).images)
    pictures, values = [x], [labels[:, pool.attributes.index(name)]]
    for other in AUDITED:
        column = labels[:, pool.attributes.index(other)]
        pictures.append(editor(x, other, 1 - column))
        values.append(1 - values[0] if other == name else values[0])
    flat, known = torch.cat(pictures).flatten(1), torch.cat(values).float()
    return lambda images: known[torch.cdist(images.flatten(1), flat).argmin(1)]


def depends(has_glasses: Score, amount: float) -> Score:
    """Colour of the clothes, and an amount more with glasses."""

    def score(x: Tensor) -> Tensor:
        clothes = x[..., -x.shape[-1] // 8 :, :].mean(dim=(1, 2, 3))
        return clothes + amount * has_glasses(x)

    return score


def noisy(score: Score, seed: int) -> Score:
    """The same with noise that is another for every picture."""

    def noised(x: Tensor) -> Tensor:
        seeds = [(seed, zlib.crc32(p.numpy().tobytes())) for p in to_uint8(x).contiguous()]
        noise = [np.random.default_rng(s).normal() for s in seeds]
        return score(x) + NOISE * torch.tensor(noise).float()

    return noised


def true_effect(score: Score, pool: AttributeDataset, editor: TruthEditor, name: str) -> float:
    """Mean of s(with) − s(without) over the whole pool."""
    total = 0.0
    for start in range(0, len(pool), 256):
        x = to_float(pool.batch(range(start, min(start + 256, len(pool)))).images)
        on, off = (
            editor(x, name, torch.full((len(x),), value, dtype=torch.long)) for value in (1, 0)
        )
        total += float((score(on) - score(off)).sum())
    return total / len(pool)


def sample(pool: AttributeDataset, n: int, seed: int) -> AttributeDataset:
    """Some of the pool."""
    return pool.take(np.sort(np.random.default_rng(seed).choice(len(pool), n, replace=False)))


def audit(
    score: Score, data: AttributeDataset, maker: Editor, seed: int, names: tuple[str, ...]
) -> Audit:
    """One audit without the parts that are not needed here."""
    return cdvae_gan.audit(
        score,
        data,
        model=maker,
        interventions=names,
        unrelated=UNRELATED,
        task="regression",
        strengths=(),
        shown=0,
        limit=None,
        resamples=500,
        batch_size=256,
        seed=seed,
    )


def summary(name: str, truth: float, audits: list[Audit]) -> dict[str, float | str]:
    """Over audits: how far from the truth, how often it lies within, how often it is called."""
    effects = [a[name].effects[0] for a in audits]
    inside = [e.change.low <= truth <= e.change.high for e in effects]
    return {
        "attribute": name,
        "truth": truth,
        "estimate": float(np.mean([e.change.value for e in effects])),
        "spread": float(np.std([e.change.value for e in effects])),
        "inside": float(np.mean(inside)),
        "depends": float(np.mean([e.verdict == "depends" for e in effects])),
        "p_below_.05": float(np.mean([e.p <= 0.05 for e in effects])),
    }


def line(label: str, row: dict[str, float | str]) -> str:
    """As it is printed."""
    return (
        f"  {label:22} true {row['truth']:+.4f}  mean estimate {row['estimate']:+.4f} "
        f"(spread {row['spread']:.4f})  within the interval {row['inside']:.2f}  "
        f"'depends' {row['depends']:.2f}  p ≤ .05 {row['p_below_.05']:.2f}"
    )


if __name__ == "__main__":
    main()
