"""How many flips of the validation split's report half does a judge believe?

python experiments/first_run.py MODEL SOURCE --judge DIR
python experiments/first_run.py MODEL SOURCE --judge DIR --train-judge DIR
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cdvae_gan.data import open_dataset
from cdvae_gan.evaluation.edits import ModelEditor
from cdvae_gan.evaluation.flips import flip_deception
from cdvae_gan.evaluation.judges import load_judge, train_judge
from cdvae_gan.evaluation.splits import halves
from cdvae_gan.model import load


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("source")
    parser.add_argument("--judge", nargs="+", required=True, help="folders of judges")
    parser.add_argument("--train-judge", help="train a plain CNN first and save it here")
    parser.add_argument("--n", type=int, help="only the first n images")
    parser.add_argument("--detail", type=float)
    parser.add_argument("--out", help="JSON file")
    options = parser.parse_args()
    model = load(options.model)
    dataset = open_dataset(
        options.source, size=model.image_size, attributes=model.attributes, progress=True
    )
    if options.train_judge:
        train_judge(dataset, options.train_judge, report=print)
    shown = halves(dataset).report
    if options.n:
        shown = shown.take(np.arange(min(options.n, len(shown))))
    editor = ModelEditor(model, options.detail)
    results = {}
    for folder in options.judge:
        found = flip_deception(editor, load_judge(folder), shown)
        print(f"\njudge {found.judge}, {len(shown)} images; * not trusted, not in the mean")
        print("deception among images whose factual the judge reads right; unconditional")
        print(found.deception)
        print("\nother attributes whose reading stays")
        print(found.preservation)
        print(f"\nmax |x' - x| for do(nothing): {found.composition:.3g}")
        results[found.judge] = {
            "deception": found.deception.to_dict(),
            "preservation": found.preservation.to_dict(),
            "confusion": found.confusion.to_dict(),
            "composition_max": found.composition,
        }
    if options.out:
        Path(options.out).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
