"""The counterfactual error of a model on avatars that played no part in making or choosing it.

    python experiments/avatar_error.py MODEL [--source avatars:n=1000,seed=1,validation=0.5]

Settings of ``make demo-train`` were compared on the validation split of the default avatars (seed
0); this draws others.
"""

from __future__ import annotations

import argparse

import cdvae_gan
from cdvae_gan.evaluation.truth import counterfactual_error


def main() -> None:
    """Print the error of each attribute and their mean, with intervals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--source", default="avatars:n=1000,seed=1,validation=0.5")
    o = parser.parse_args()
    model = cdvae_gan.load(o.model)
    data = cdvae_gan.open_dataset(o.source, size=model.image_size).split("validation")
    result = counterfactual_error(model, data)
    for name, e in {**result.attributes, "mean": result.mean}.items():
        print(f"{name:10} {e.value:.3f} [{e.low:.3f}, {e.high:.3f}] n = {e.n}")


if __name__ == "__main__":
    main()
