"""From a report of ``cdvae-gan evaluate`` to what a model's card shows.

    python experiments/card_tables.py REPORT src/cdvae_gan/weights/celeba64

Writes metrics.json, which ``cdvae-gan edit --list`` reads, and prints the tables for the card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cdvae_gan
from cdvae_gan.evaluation.provenance import model_digest

_SECTIONS = (
    "Attribute by attribute",
    "Judge by judge",
    "Strength and robustness",
    "What stays",
    "Realism",
    "Inside the model",
    "By group",
)


def file_digest(weights: Path) -> str:
    """A hash of the file of a model's weights, 16 hexadecimal digits.

    Not `model_digest`, which changes when the configuration gets a new field.
    """
    return hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest()[:16]


def figures_of(results: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """What ``metrics.json`` holds: of which weights, and what can be measured again without judges.

    Args:
        results: Of ``results.json``.
        weights: See `file_digest`.
    """
    about, tables = results["about"], results["tables"]
    names = about["attributes"]
    return {
        "weights": weights,
        "judges": [j["name"] for j in about["judges"]],
        "images": about["data"]["images"],
        "deception": {name: round(tables["deception"][name]["all"]["value"], 3) for name in names},
        "reconstruction L1": _interval(tables["reconstruction"]["image"]["L1"]),
        "labels, balanced accuracy": {
            name: _interval(tables["labels"][name]["balanced accuracy"]) for name in names
        },
    }


def _interval(estimate: Mapping[str, float]) -> list[float]:
    """Value, and the ends of its interval of 95 %."""
    return [round(estimate[part], 4) for part in ("value", "low", "high")]


def main() -> None:
    """Write the figures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("weights", type=Path)
    o = parser.parse_args()
    results = json.loads((o.report / "results.json").read_text())
    if results["about"]["model"]["digest"] != model_digest(cdvae_gan.load(o.weights)):
        parser.error(f"{o.report} is of another model than {o.weights}: evaluate that one")
    figures = figures_of(results, file_digest(o.weights))
    (o.weights / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    for section in re.split(r"^## ", (o.report / "report.md").read_text(), flags=re.MULTILINE):
        if section.startswith(_SECTIONS):
            print("## " + section)


if __name__ == "__main__":
    main()
