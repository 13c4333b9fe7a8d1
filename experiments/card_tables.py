"""From reports of ``cdvae-gan evaluate`` to the measured part of celeba64's card.

    python experiments/card_tables.py JUDGED FACES src/cdvae_gan/weights/celeba64

JUDGED is the folder of the first of `COMMANDS`, ``--out`` added, and FACES that in which the second
keeps its evaluation of faces, ``runs/reproduce/faces/evaluation``.
Writes metrics.json, which ``cdvae-gan edit --list`` reads, and all of README.md from its heading
``## Measured`` on. What lies before it is written by people.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cdvae_gan
from cdvae_gan.evaluation.card import metrics_of
from cdvae_gan.evaluation.findings import Findings
from cdvae_gan.evaluation.report import show
from frontier import OTHER_PEOPLE

HEADING = "## Measured"
COMMANDS = (
    "cdvae-gan evaluate celeba64 CELEBA --out REPORT --groups Male,Young "
    "--without identity,strength",
    "cdvae-gan reproduce CELEBA --shipped",
)
_WORST = 7
_SECTIONS = (
    "Attribute by attribute",
    "Judge by judge",
    "Strength and robustness",
    "What stays",
    "Inside the model",
    "By group",
)


def file_digest(weights: Path) -> str:
    """A hash of the file of a model's weights, 16 hexadecimal digits.

    Not `CDVAEGAN.digest`, which changes when the configuration gets a new field.
    """
    return hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest()[:16]


def figures_of(results: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """What ``metrics.json`` holds: of which weights, and what can be measured again without judges.

    Args:
        results: Of ``results.json``.
        weights: See `file_digest`.
    """
    names, tables = results["about"]["attributes"], results["tables"]
    return {
        "weights": weights,
        **metrics_of(Findings.from_dict(dict(results))),
        "reconstruction L1": _interval(tables["reconstruction"]["image"]["L1"]),
        "labels, balanced accuracy": {
            name: _interval(tables["labels"][name]["balanced accuracy"]) for name in names
        },
    }


def _interval(estimate: Mapping[str, float]) -> list[float]:
    """Value, and the ends of its interval of 95 %."""
    return [round(estimate[part], 4) for part in ("value", "low", "high")]


def goals(judged: Mapping[str, Any], faces: Mapping[str, Any]) -> str:
    """A table of the project's goals and of what was measured.

    Args:
        judged: ``results.json`` of all photos.
        faces: Of those whose identity was measured.
    """
    t, names = judged["tables"], judged["about"]["attributes"]
    deception, mean = t["deception"], t["deception"]["mean"]
    judges = [j["name"] for j in judged["about"]["judges"]]
    by_judge = ", ".join(f"{j} {show(t[f'deception/{j}']['mean']['all']['value'])}" for j in judges)
    trusted = [n for n in names if n not in judged["untrusted"].get("deception", ())]
    directions = sorted(
        (deception[name][way]["value"], f"{name} {'on' if way == 'put on' else 'off'}")
        for name in trusted
        for way in ("put on", "take off")
        if deception[name][way]["value"] is not None
    )
    worst = ", ".join(f"{name} {show(value, 2)}" for value, name in directions[:_WORST])
    person = faces["tables"]["identity/face"]
    same = [person[n]["same person"]["value"] for n in names if n not in OTHER_PEOPLE]
    times = [
        _told(t[f"realism/{of}"]["times the floor"]["Fréchet"], 1) for of in ("object", "face")
    ]
    kept = t["preservation"]["mean"]
    probes = [_told(t[f"probe/{p}"]["mean"]["balanced accuracy"]) for p in ("linear", "boosted")]
    rows = [
        ("deception, mean of attributes", _told(mean["all"]), ".90"),
        ("… put on, taken off", f"{_told(mean['put on'])}, {_told(mean['take off'])}", ""),
        ("… by judge", by_judge, ""),
        ("… worst directions", worst, ".75"),
        (
            "others kept, as read / net of true dependence",
            f"{_told(kept['kept'])} / {_told(kept['net of dependence'])}",
            ".93",
        ),
        ("do(nothing), L1", show(t["composition"]["1"]["L1"]["value"]), "0"),
        (
            "flipped back, L1 in [0, 1]",
            _told(t["reversibility"]["mean"]["L1"], 4, half=True),
            ".03",
        ),
        (
            f"same person by dlib; mean without {' and '.join(OTHER_PEOPLE)}",
            f"{_told(person['mean']['same person'])}; {show(sum(same) / len(same))}",
            ".95",
        ),
        ("Fréchet distance, times the floor, object / face features", " / ".join(times), "3"),
        ("attributes from z, linear / boosted probe", " / ".join(probes), ".60"),
        (
            "drawn again from the latents, L1 in [0, 1]",
            _told(t["reconstruction"]["image"]["L1"], 4, half=True),
            ".035",
        ),
    ]
    return _table(("figure", "measured", "goal"), "---", rows)


def identity(faces: Mapping[str, Any]) -> str:
    """A table of who is still who, by attribute."""
    table, columns = faces["tables"]["identity/face"], ("cosine", "kept", "same person")
    rows = [
        (name, *(_told(table[name][c]) for c in columns))
        for name in (*faces["about"]["attributes"], "mean")
    ]
    return _table(("attribute", *columns), "---:", rows)


def realism(judged: Mapping[str, Any]) -> str:
    """A table of Fréchet distances."""
    columns = ("counterfactual", "real (floor)", "excess", "times the floor")
    rows = []
    for features in ("object", "face"):
        table = judged["tables"][f"realism/{features}"]
        digits = (3, 3, 3, 1) if features == "object" else (4, 4, 4, 1)
        told = [_told(table[c]["Fréchet"], d) for c, d in zip(columns, digits, strict=True)]
        n, worth = (f"{table[row]['Fréchet']['n']:,}" for row in columns[:2])
        rows.append((features, *told, n, worth))
    return _table(("features", *columns, "n", "n of the floor"), "---:", rows)


def _table(head: Sequence[str], rule: str, rows: Sequence[Sequence[str]]) -> str:
    """In Markdown; names on the left, the rest by the rule."""
    lines = [head, ("---", *[rule] * (len(head) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _told(estimate: Mapping[str, float], digits: int = 3, half: bool = False) -> str:
    """With its interval; halved where it was measured in [0, 2]."""
    share = 0.5 if half else 1.0
    value, low, high = (show(share * estimate[p], digits) for p in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def measured(judged: Mapping[str, Any], faces: Mapping[str, Any], report: str) -> str:
    """The measured part of a card.

    Args:
        judged: See `goals`.
        faces: See `goals`.
        report: ``report.md`` beside the first.
    """
    data = judged["about"]["data"]
    sections = re.split(r"^## ", report, flags=re.MULTILINE)
    tables = "".join(f"## {s}" for s in sections if s.startswith(_SECTIONS))
    lines = re.sub(r"^#", "##", tables, flags=re.MULTILINE).splitlines()
    return f"""{HEADING}

By `{COMMANDS[0]}`:
{data["images"]:,} photos of {data["people"]:,} people, the report half of the
validation split (by identity), no labels given, the stored half-precision weights, intervals of
95 %, the judges that come with the package.
Identity by `{COMMANDS[1]}`.

{goals(judged, faces)}

{chr(10).join(line for line in lines if not line.startswith("!["))}

### Identity

{faces["about"]["data"]["images"]:,} photos: cosine of photo and counterfactual in dlib's features,
what is kept between strangers and the same picture, and the share taken for the same person.

{identity(faces)}

### Realism

One counterfactual of each photo, its attribute drawn by seed, and for each two other photos with
the labels that were asked for. The floor is the distance between two halves of these, one cut down
to as many as the counterfactuals count for: photos of one person are alike. It is smaller the more
photos there are, so how many times the floor depends on that; the excess does not.

{realism(judged)}
"""


def main() -> None:
    """Write the figures and the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("judged", type=Path, help="report of all photos")
    parser.add_argument("faces", type=Path, help="report of identity")
    parser.add_argument("weights", type=Path)
    o = parser.parse_args()
    digest = cdvae_gan.load(o.weights).digest()
    judged, faces = (json.loads((r / "results.json").read_text()) for r in (o.judged, o.faces))
    for folder, results in ((o.judged, judged), (o.faces, faces)):
        if results["about"]["model"]["digest"] != digest:
            parser.error(f"{folder} is of another model than {o.weights}: evaluate that one")
    figures = figures_of(judged, file_digest(o.weights))
    (o.weights / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    card = o.weights / "README.md"
    written = card.read_text("utf-8").split(f"\n{HEADING}\n")[0]
    report = (o.judged / "report.md").read_text("utf-8")
    card.write_text(f"{written.rstrip()}\n\n{measured(judged, faces, report)}", "utf-8")


if __name__ == "__main__":
    main()
