"""From a report of ``cdvae-gan evaluate`` to what a model's card shows.

    python experiments/card_tables.py REPORT src/cdvae_gan/weights/celeba64

Writes metrics.json, which ``cdvae-gan edit --list`` reads, and prints the tables for the card.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

_SECTIONS = ("Attribute by attribute", "Judge by judge", "By group")


def main() -> None:
    """Write the figures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("weights", type=Path)
    o = parser.parse_args()
    results = json.loads((o.report / "results.json").read_text())
    deception = results["tables"]["deception"]
    figures = {
        "judges": [j["name"] for j in results["about"]["judges"]],
        "images": results["about"]["data"]["images"],
        "deception": {
            name: round(deception[name]["all"]["value"], 3)
            for name in results["about"]["attributes"]
        },
    }
    (o.weights / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    for section in re.split(r"^## ", (o.report / "report.md").read_text(), flags=re.MULTILINE):
        if section.startswith(_SECTIONS):
            print("## " + section)


if __name__ == "__main__":
    main()
