"""Try a change to the settings of demo-train: so many steps, then compared with the truth.

    python experiments/demo_settings.py '{"learning_rate_d": 2e-4, "weights": {"gate": 0.3}}'

Steps and not seconds, so that a busy machine gives the same answer; measured on avatars of a seed
that neither the demo nor ``avatar_error.py`` reports.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cdvae_gan.data import open_dataset
from cdvae_gan.demo import demo_config
from cdvae_gan.evaluation.truth import counterfactual_error
from cdvae_gan.training import Limits, train

_TUNE = "avatars:n=600,seed=7,validation=0.5"


def main() -> None:
    """Print the error of each attribute and their mean, with intervals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("changes", nargs="?", default="{}", help="JSON of TrainConfig's fields")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=32)
    o = parser.parse_args()
    changes = json.loads(o.changes)
    base = demo_config(o.seed)
    weights = replace(base.weights, **changes.pop("weights", {}))
    config = replace(base, weights=weights, **changes)
    with tempfile.TemporaryDirectory() as folder:
        model = train(
            open_dataset("avatars", size=o.size),
            Path(folder) / "run",
            Limits(steps=o.steps),
            config,
            validate_every=10**9,
            console=Console(),
        )
    result = counterfactual_error(model, open_dataset(_TUNE, size=o.size).split("validation"))
    for name, e in {**result.attributes, "mean": result.mean}.items():
        print(f"{name:10} {e.value:.3f} [{e.low:.3f}, {e.high:.3f}] n = {e.n}")


if __name__ == "__main__":
    main()
