"""Judges as the package ships them: arrays in half precision, graded again as they are stored.

    python experiments/ship_judges.py JUDGE … --data CELEBA --out src/cdvae_gan/weights/judges

``--data`` is the data that they were trained on. Scales, offsets and thresholds stay those that
were found on its tune half; the card's figures are measured again on its report half, and how many
answers rounding has changed there is printed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.judges import Judge, grade, load_judge, save_judge
from cdvae_gan.evaluation.judges.store import judge_of
from cdvae_gan.evaluation.splits import halves

LICENCE = (
    "Trained on images of CelebA, which is for non-commercial research; these weights carry that "
    "limit. Stored in half precision."
)

_STORED = {torch.float32: torch.float16, torch.float64: torch.float32}


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("judges", nargs="+", type=Path, help="folders of judges")
    parser.add_argument("--data", required=True, help="the folder of CelebA")
    parser.add_argument("--out", type=Path, required=True, help="where the folders go")
    parser.add_argument("--prefix", default="celeba", help="of the names")
    options = parser.parse_args(arguments)
    try:
        for folder in options.judges:
            print(ship(folder, options.data, options.out, options.prefix))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def ship(folder: Path, data: str, out: Path, prefix: str) -> str:
    """Round, grade and write one judge; a line about it."""
    whole = load_judge(folder)
    state = load_file(folder / "judge.safetensors")
    half = {n: v.to(_STORED.get(v.dtype, v.dtype)).contiguous() for n, v in state.items()}
    lost = [n for n, v in half.items() if not v.isfinite().all()]
    if lost:
        raise InputError(f"{folder}: {lost[0]} does not fit into half precision")
    name = f"{prefix}-{whole.card.family}"
    card = replace(whole.card, name=name, notes=LICENCE)
    rounded = judge_of(
        card, {n: v.float() if v.is_floating_point() else v for n, v in half.items()}
    )
    data_set = open_dataset(data, size=64, attributes=whole.card.attributes)
    report = halves(data_set).report
    save_judge(out / name, replace(card, quality=grade(rounded, report)), half)
    megabytes = (out / name / "judge.safetensors").stat().st_size / 1e6
    return f"{name}: {megabytes:.1f} MB, {changed(whole, rounded, report):.4f} of answers changed"


def changed(one: Judge, other: Judge, images: AttributeDataset) -> float:
    """The share of answers in which two judges differ."""
    differ = 0.0
    for start in range(0, len(images), 512):
        batch = images.batch(range(start, min(start + 512, len(images)))).images
        differ += float((one.read(batch) != other.read(batch)).float().mean(dim=1).sum())
    return differ / len(images)


if __name__ == "__main__":
    sys.exit(main())
